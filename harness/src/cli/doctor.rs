//! `acrossk8s doctor`.

use std::path::Path;

use super::CommandError;
use super::args::DoctorArgs;
use crate::doctor::{self, Machine};
use crate::exit::ExitCode;

/// Tells what this machine allows and lacks.
pub fn doctor(runs: &Path, args: &DoctorArgs) -> Result<ExitCode, CommandError> {
    let findings = doctor::examine(&Machine::look(runs));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings).map_err(CommandError::unexpected)?);
    } else {
        for line in doctor::lines(&findings) {
            anstream::println!("{line}");
        }
    }
    Ok(if findings.can_run { ExitCode::Passed } else { ExitCode::NotProvisioned })
}
