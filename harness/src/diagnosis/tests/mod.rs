//! Diagnoses of observations with one deviation, and with several.

#![expect(clippy::unwrap_used, reason = "tests")]

mod deviations;
mod faults;
mod properties;
mod stops;

use super::{Cause, Conclusion, Diagnosis, Mend, told};
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

/// A cause says what mends it, and a person can paste the commands: every id in them is one of the observation.
fn can_be_mended(cause: &Cause, observation: &Observation) {
    let Mend { commands, advice } = &cause.mend;
    assert!(!commands.is_empty() || advice.is_some(), "{cause:#?}");
    let seen = serde_json::to_string(observation).unwrap();
    let ids = ["acl-", "arn:", "eni-", "i-", "pcx-", "rtb-", "sg-", "subnet-", "vpc-"];
    for word in commands.iter().flat_map(|command| command.split([' ', '=', ',', ')'])) {
        if ids.iter().any(|kind| word.starts_with(kind)) && word.contains(|c: char| c.is_ascii_digit()) {
            assert!(seen.contains(&format!("\"{word}\"")), "{word} is of nothing that was seen: {cause:#?}");
        }
    }
}

/// A diagnosis as it is shown.
fn text(topology: &Topology, diagnosis: &Diagnosis) -> String {
    anstream::adapter::strip_str(&diagnosis_lines(&told(topology, diagnosis)).join("\n")).to_string()
}
