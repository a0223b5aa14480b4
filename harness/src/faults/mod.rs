//! Deliberate deviations from the procedure, each with the invariants that must catch it.
//!
//! A fault changes the topology or the tasks of a run and nothing else, and works through the same clients as the
//! procedure, so that it works on every environment.

mod catalogue;
mod causes;
mod corefiles;

pub use catalogue::CATALOGUE;
pub use causes::{Named, causes_of};

use std::collections::BTreeSet;

use crate::events::Outcome as VerdictOutcome;
use crate::procedure::Task;
use crate::run::Outcome;
use crate::topology::Topology;

/// One deliberate deviation.
pub struct Fault {
    /// Its id, for example `missing-route`.
    pub id: &'static str,
    /// What is done wrong.
    pub title: &'static str,
    /// What is wanted wrongly, before anything is made. Goes past validation on purpose.
    pub topology: fn(&mut Topology),
    /// Which tasks are left out or done otherwise.
    pub tasks: fn(&Topology, Vec<Task>) -> Vec<Task>,
    /// Ids of the invariants that have to fail; every other has to pass, or be blocked by one of these.
    pub caught_by: &'static [&'static str],
}

/// The fault with an id.
pub fn find(id: &str) -> Option<&'static Fault> {
    CATALOGUE.iter().find(|fault| fault.id == id)
}

/// What a run with a fault came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Invariants that failed.
    pub failed: BTreeSet<String>,
    /// Invariants that were blocked.
    pub blocked: BTreeSet<String>,
    /// Invariants that name the fault and did not fail.
    pub missed: BTreeSet<String>,
    /// Invariants that do not name the fault and failed.
    pub surplus: BTreeSet<String>,
    /// What teardown left.
    pub left: Vec<String>,
}

impl Judgement {
    /// Whether exactly the invariants that name the fault failed, and nothing is left.
    pub fn is_exact(&self) -> bool {
        self.missed.is_empty() && self.surplus.is_empty() && self.left.is_empty()
    }
}

/// Holds what a run with a fault came to against what the fault says.
pub fn judge(fault: &Fault, outcome: &Outcome) -> Judgement {
    let with = |wanted: fn(&VerdictOutcome) -> bool| -> BTreeSet<String> {
        outcome.verdicts.iter().filter(|it| wanted(&it.outcome)).map(|it| it.invariant.clone()).collect()
    };
    let failed = with(|outcome| *outcome == VerdictOutcome::Fail);
    let named: BTreeSet<String> = fault.caught_by.iter().map(|id| (*id).to_owned()).collect();
    Judgement {
        missed: named.difference(&failed).cloned().collect(),
        surplus: failed.difference(&named).cloned().collect(),
        blocked: with(|outcome| matches!(outcome, VerdictOutcome::Blocked { .. })),
        left: outcome.left.clone(),
        failed,
    }
}

/// The tasks without one of them; those that needed it no longer do.
fn without(tasks: Vec<Task>, id: &str) -> Vec<Task> {
    tasks
        .into_iter()
        .filter(|task| task.id() != id)
        .map(|mut task| {
            task.needs.retain(|need| need != id);
            task
        })
        .collect()
}

/// The tasks with another body for one of them.
fn instead(mut tasks: Vec<Task>, id: &str, body: crate::procedure::Body) -> Vec<Task> {
    for task in &mut tasks {
        if task.id() == id {
            task.body = body.clone();
        }
    }
    tasks
}
