//! Holding what a run with a fault came to against what the fault says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Fault;
use crate::diagnosis::{Named, causes_named};
use crate::events::Outcome as VerdictOutcome;
use crate::run::Outcome;
use crate::topology::Topology;

/// What a run with a fault came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Invariants that were judged.
    pub judged: BTreeSet<String>,
    /// Invariants that failed.
    pub failed: BTreeSet<String>,
    /// Invariants that were blocked.
    pub blocked: BTreeSet<String>,
    /// Invariants that name the fault and did not fail.
    pub missed: BTreeSet<String>,
    /// Invariants that do not name the fault and failed.
    pub surplus: BTreeSet<String>,
    /// Tasks that failed, and why.
    pub stopped: BTreeMap<String, String>,
    /// Tasks that the fault makes impossible and that did not fail.
    pub not_stopped: BTreeSet<String>,
    /// Tasks that failed and that the fault does not make impossible.
    pub surplus_stops: BTreeSet<String>,
    /// What the diagnosis of the failed probes named.
    pub diagnosed: BTreeSet<Named>,
    /// What it named and is not the true cause.
    pub misdiagnosed: BTreeSet<Named>,
    /// True causes that it did not name.
    pub undiagnosed: BTreeSet<Named>,
    /// Of probes that it named no cause for: why not.
    pub not_known: BTreeSet<String>,
    /// What teardown left and the fault does not keep from it.
    pub left: Vec<String>,
    /// What teardown should have left, and tells nothing of.
    pub not_left: BTreeSet<&'static str>,
}

impl Judgement {
    /// Whether exactly what names the fault failed, the diagnosis names what the fault does, and nothing is left.
    pub fn is_exact(&self) -> bool {
        self.missed.is_empty()
            && self.surplus.is_empty()
            && self.not_stopped.is_empty()
            && self.surplus_stops.is_empty()
            && self.misdiagnosed.is_empty()
            && self.undiagnosed.is_empty()
            && self.not_known.is_empty()
            && self.left.is_empty()
            && self.not_left.is_empty()
    }
}

/// Holds what a run with a fault came to against what the fault says.
///
/// Of a combination an invariant that names one of the two may also be blocked: the other is then its cause, since
/// nothing else fails. So may a cause not be named: the other stops every probe before. With luck no probe fails, and of
/// what takes time there may be nothing to see.
pub fn judge(fault: &Fault, topology: &Topology, outcome: &Outcome) -> Judgement {
    let with = |wanted: fn(&VerdictOutcome) -> bool| -> BTreeSet<String> {
        outcome.verdicts.iter().filter(|it| wanted(&it.outcome)).map(|it| it.invariant.clone()).collect()
    };
    let failed = with(|outcome| *outcome == VerdictOutcome::Fail);
    let blocked = with(|outcome| matches!(outcome, VerdictOutcome::Blocked { .. }));
    let named: BTreeSet<String> = fault.caught_by.iter().map(|id| (*id).to_owned()).collect();
    let shown = |id: &&String| failed.contains(*id) || !fault.of.is_empty() && blocked.contains(*id);
    let may = |id: &&String| named.contains(*id) || fault.may_fail.contains(id.as_str());
    let stopped: BTreeMap<String, String> = outcome.failures.clone();
    let (diagnosed, not_known) = causes_named(topology, &outcome.diagnoses);
    let causes = fault.diagnosed.causes();
    let is_allowed = |named: &Named| causes.contains(named) || !fault.of.is_empty() && fault.beside.contains(named);
    let all_are_due = fault.luck.is_none() && (fault.of.is_empty() || diagnosed.is_empty());
    Judgement {
        misdiagnosed: diagnosed.iter().filter(|it| !is_allowed(it)).copied().collect(),
        undiagnosed: causes.difference(&diagnosed).copied().filter(|_| all_are_due).collect(),
        not_known: if fault.luck.is_some() { BTreeSet::new() } else { not_known },
        diagnosed,
        judged: with(|_| true),
        missed: named.iter().filter(|id| !shown(id)).cloned().collect(),
        surplus: failed.iter().filter(|id| !may(id)).cloned().collect(),
        not_stopped: fault.stops.iter().filter(|task| !stopped.contains_key(*task)).cloned().collect(),
        surplus_stops: stopped.keys().filter(|task| !fault.stops.contains(*task)).cloned().collect(),
        left: outcome.left.iter().filter(|it| !fault.leaves.iter().any(|what| it.contains(what))).cloned().collect(),
        not_left: fault
            .leaves
            .iter()
            .filter(|what| !outcome.left.iter().any(|it| it.contains(**what)))
            .copied()
            .collect(),
        stopped,
        blocked,
        failed,
    }
}
