//! The report as JSON, and the schemas of what is written.

use schemars::{Schema, schema_for};

use super::Report;
use crate::events::Event;

/// The report as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn to_json(report: &Report) -> Result<String, String> {
    let mut json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    json.push('\n');
    Ok(json)
}

/// The JSON schema of report.json.
pub fn report_schema() -> Schema {
    schema_for!(Report)
}

/// The JSON schema of a line of events.ndjson.
pub fn events_schema() -> Schema {
    schema_for!(Event)
}
