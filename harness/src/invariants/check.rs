//! What a check finds, and the loops over subjects that checks are written with.

use super::verdict::Subject;
use crate::topology::{ClusterIndex, Pair, Topology};

/// Why an invariant does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was seen: ids, values, addresses.
    pub evidence: Vec<String>,
    /// Why it matters here.
    pub explanation: String,
    /// What mends it.
    pub remedy: String,
}

/// Anything but a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// It does not hold.
    Fail(Failure),
    /// What has to be looked at is not in the observation.
    Unseen {
        /// What.
        what: String,
    },
    /// It says nothing about the subject.
    NotApplicable {
        /// Why.
        reason: String,
    },
}

/// A check's result for one subject.
pub type Judged = Result<(), Shortfall>;

/// A check's result with its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// What was found.
    pub judged: Judged,
}

/// A failure, from its parts.
pub(super) fn fail(
    evidence: impl IntoIterator<Item = String>,
    explanation: impl Into<String>,
    remedy: impl Into<String>,
) -> Shortfall {
    Shortfall::Fail(Failure {
        evidence: evidence.into_iter().collect(),
        explanation: explanation.into(),
        remedy: remedy.into(),
    })
}

/// Passes when nothing is wrong, and fails with everything that is.
pub(super) fn none_wrong(wrong: Vec<String>, explanation: impl Into<String>, remedy: impl Into<String>) -> Judged {
    if wrong.is_empty() { Ok(()) } else { Err(fail(wrong, explanation, remedy)) }
}

/// Something that is not in the observation.
pub(super) fn unseen(what: impl Into<String>) -> Shortfall {
    Shortfall::Unseen { what: what.into() }
}

/// Something that the invariant says nothing about.
pub(super) fn not_applicable(reason: impl Into<String>) -> Shortfall {
    Shortfall::NotApplicable { reason: reason.into() }
}

/// A finding for each cluster.
pub(super) fn each_cluster(topology: &Topology, check: impl Fn(ClusterIndex) -> Judged) -> Vec<Finding> {
    topology.indices().map(|index| Finding { subject: Subject::cluster(index), judged: check(index) }).collect()
}

/// A finding for each pair.
pub(super) fn each_pair(topology: &Topology, check: impl Fn(Pair) -> Judged) -> Vec<Finding> {
    topology.pairs().into_iter().map(|pair| Finding { subject: Subject::pair(pair), judged: check(pair) }).collect()
}

/// A finding for each direction.
pub(super) fn each_direction(
    topology: &Topology,
    check: impl Fn(ClusterIndex, ClusterIndex) -> Judged,
) -> Vec<Finding> {
    topology
        .directions()
        .into_iter()
        .map(|(from, to)| Finding { subject: Subject::direction(from, to), judged: check(from, to) })
        .collect()
}
