//! Diagnoses of observations with one deviation, and with several.

#![expect(clippy::unwrap_used, reason = "tests")]

mod deviations;
mod faults;
mod properties;
mod stops;

use super::{Conclusion, Diagnosis, told};
use crate::observation::{Observation, ProbeRequest, ProbeResult};
use crate::report::diagnosis_lines;
use crate::topology::Topology;

/// Every probe from one cluster to another fails, as when nothing answers.
fn fail(observation: &mut Observation, from: usize, to: usize) {
    for probe in observation.probes.iter_mut().filter(|it| it.from == from && it.to == to) {
        probe.result = match probe.request {
            ProbeRequest::Http { .. } | ProbeRequest::Tcp { .. } => ProbeResult::TimedOut,
            ProbeRequest::Dns { .. } => ProbeResult::Dns { code: "SERVFAIL".to_owned(), addresses: Vec::new() },
        };
    }
}

/// What a diagnosis comes to, in short.
fn conclusion(diagnosis: &Diagnosis) -> String {
    match &diagnosis.conclusion {
        Conclusion::Clear => "clear".to_owned(),
        Conclusion::Stopped(cause) => format!("{} {}", cause.code, cause.resources[0]),
        Conclusion::Unknown { reason } => format!("not known: {reason}"),
    }
}

/// A diagnosis as it is shown.
fn text(topology: &Topology, diagnosis: &Diagnosis) -> String {
    anstream::adapter::strip_str(&diagnosis_lines(&told(topology, diagnosis)).join("\n")).to_string()
}
