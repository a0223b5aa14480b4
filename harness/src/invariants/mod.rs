//! What has to be true of an observed topology: pure checks, one file for each subject.
//!
//! [`judge`] evaluates every [`Invariant`] for each of its subjects and then tells causes from consequences: a finding
//! that fails because another invariant failed first becomes [`Outcome::Blocked`] and names the root causes, so that what
//! remains as [`Outcome::Fail`] is what somebody has to mend. What was not observed never passes.

mod cause;
mod check;
mod cidr;
mod clusters;
mod corefile;
mod corefile_zones;
mod dns;
mod dns_service;
#[cfg(test)]
mod fault_tests;
#[doc(hidden)]
pub mod fixture;
mod judge;
mod kubernetes;
mod load_balancer;
mod load_balancer_targets;
mod namespaces;
mod network_acls;
mod nginx;
#[cfg(test)]
mod observation_tests;
mod peering;
mod reading;
mod routes;
mod rules;
mod security_groups;
mod source_address;
mod storage;
#[cfg(test)]
mod tests;
mod unchecked;
mod verdict;
mod view;

pub use cause::{Cause, Relation};
pub use check::{Failure, Finding, Judged, Shortfall};
pub(crate) use dns::tell;
pub use judge::judge;
pub(crate) use source_address::keeps_pod_address;
pub use unchecked::{UNCHECKED, unchecked_clauses};
pub use verdict::{Outcome, Root, Subject, Verdict};
pub(crate) use view::View;

use std::sync::LazyLock;

use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::Topology;

/// A check of one or more clauses.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Its id, in kebab case. Ids are public: faults and reports name them.
    pub id: &'static str,
    /// What is true when it holds, as a phrase.
    pub title: &'static str,
    /// The level of its most binding clause.
    pub level: Level,
    /// The clauses that it checks.
    pub clauses: &'static [ClauseId],
    /// Invariants whose failure explains a failure of this one.
    pub causes: &'static [Cause],
    /// The check: a finding for each subject.
    pub check: fn(&Topology, &Observation) -> Vec<Finding>,
}

static ALL: LazyLock<Vec<&'static Invariant>> = LazyLock::new(|| {
    [
        reading::INVARIANTS,
        cidr::INVARIANTS,
        clusters::INVARIANTS,
        kubernetes::INVARIANTS,
        storage::INVARIANTS,
        peering::INVARIANTS,
        routes::INVARIANTS,
        network_acls::INVARIANTS,
        security_groups::INVARIANTS,
        dns_service::INVARIANTS,
        load_balancer::INVARIANTS,
        load_balancer_targets::INVARIANTS,
        namespaces::INVARIANTS,
        corefile::INVARIANTS,
        corefile_zones::INVARIANTS,
        nginx::INVARIANTS,
        dns::INVARIANTS,
        source_address::INVARIANTS,
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Every invariant, in the order of the procedure.
pub fn invariants() -> &'static [&'static Invariant] {
    &ALL
}

/// The invariant with an id.
pub fn find(id: &str) -> Option<&'static Invariant> {
    ALL.iter().copied().find(|invariant| invariant.id == id)
}
