//! `acrossk8s runs`.

use std::path::Path;

use super::CommandError;
use crate::exit::ExitCode;
use crate::procedure::Resource;
use crate::run_directory;

/// Lists the runs and what may be left of each.
pub fn runs(runs: &Path) -> Result<ExitCode, CommandError> {
    let found =
        run_directory::list(runs).map_err(|error| CommandError::usage(format!("{}: {error}", runs.display())))?;
    if found.is_empty() {
        anstream::println!("no runs in {}", runs.display());
    }
    for (directory, journal) in found {
        let id = &directory.id;
        match journal {
            Err(error) => anstream::println!("{id}  unreadable: {error}"),
            Ok(state) if state.closed => anstream::println!("{id}  taken down, nothing left"),
            Ok(state) => {
                let left: Vec<_> = state.standing().collect();
                anstream::println!("{id}  open, {} things may stand: acrossk8s teardown --run {id}", left.len());
                for (_, entry) in left.iter().take(5) {
                    if let Ok(resource) = serde_json::from_value::<Resource>(entry.resource.clone()) {
                        anstream::println!("    {}", resource.describe());
                    }
                }
                if left.len() > 5 {
                    anstream::println!("    and {} more", left.len() - 5);
                }
            }
        }
    }
    Ok(ExitCode::Passed)
}
