//! Points in emulated time as the services write them.

use jiff::Timestamp;

use crate::clock::SimTime;

/// What an emulated world calls its beginning: 2026-01-01T00:00:00Z. Fixed, so that answers are the same each time.
const BEGINNING: i64 = 1_767_225_600;

/// ISO 8601 with milliseconds, as EC2 and ELBv2 write it.
pub fn iso8601(at: SimTime) -> String {
    let seconds = BEGINNING.saturating_add(i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
    let timestamp = Timestamp::new(seconds, 0).unwrap_or(Timestamp::MAX);
    format!("{}.{:03}Z", timestamp.strftime("%Y-%m-%dT%H:%M:%S"), at.subsec_millis())
}

/// Seconds since 1970 with a fraction, as EKS writes it.
pub fn epoch_seconds(at: SimTime) -> f64 {
    BEGINNING as f64 + at.as_millis() as f64 / 1000.0
}
