//! Reports: subscribers to the events, and renderings of a recorded stream. They see nothing but events.

mod diagnosis;
mod json;
mod junit;
mod live;
mod plain;
mod summary;

pub use diagnosis::diagnosis_lines;
pub use json::{events_schema, report_schema, to_json};
pub use junit::to_junit;
pub use live::Live;
pub use plain::Plain;
pub use summary::{Counts, Report, TaskReport, summarise};

use std::path::Path;

use crate::events::Event;
use crate::run_directory;

/// Writes report.json and junit.xml of a stream of events into a directory.
///
/// # Errors
/// With the file that cannot be written, and why.
pub fn write(events: &[Event], directory: &Path) -> Result<(), String> {
    let report = summarise(events);
    for (name, text) in [(run_directory::REPORT, to_json(&report)?), (run_directory::JUNIT, to_junit(&report)?)] {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
