//! `acrossk8s report`.

use std::path::Path;

use super::CommandError;
use super::args::ReportArgs;
use crate::events::read;
use crate::exit::ExitCode;
use crate::report::{self, Plain};

/// Makes the reports of a recorded stream again, and prints what the terminal showed.
pub fn report(args: &ReportArgs) -> Result<ExitCode, CommandError> {
    let events = read(&args.from).map_err(CommandError::usage)?;
    let to = args.to.as_deref().or_else(|| args.from.parent()).unwrap_or(Path::new("."));
    report::write(&events, to).map_err(CommandError::usage)?;
    let mut plain = Plain::default();
    for line in events.iter().flat_map(|event| plain.lines(event)) {
        anstream::println!("{line}");
    }
    Ok(ExitCode::Passed)
}
