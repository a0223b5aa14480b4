//! What shows that a task was left out. Each step says it of itself, so that a new step is covered the day it is written.

use super::steps::{Scope, StepId};
use crate::diagnosis::Diagnosed;
use crate::topology::Topology;

/// What a run shows that leaves out one task of a step, everything else being done as documented.
#[derive(Debug, Clone, Copy)]
pub struct Omission {
    /// Invariants that fail.
    pub caught_by: &'static [&'static str],
    /// Invariants that also fail where there are three clusters or more.
    pub caught_by_others: &'static [&'static str],
    /// Tasks that cannot be done, given the one that is left out. What needs those is skipped.
    pub stops: fn(&Topology, Scope) -> Vec<(StepId, Scope)>,
    /// What its failed probes are diagnosed with.
    pub diagnosed: fn(&Topology, Scope) -> Diagnosed,
    /// Why nothing need show it: the document waits here, and who does not may be lucky.
    pub luck: Option<&'static str>,
    /// Invariants that may fail, to those without luck.
    pub may_fail: &'static [&'static str],
    /// The step that it undoes: without that there is nothing to undo, and so nothing to show.
    pub undoes: Option<StepId>,
}

impl Omission {
    /// What its failed probes are diagnosed with, and nothing that shows it yet.
    pub const fn diagnosed(diagnosed: fn(&Topology, Scope) -> Diagnosed) -> Self {
        Self {
            caught_by: &[],
            caught_by_others: &[],
            stops: |_, _| Vec::new(),
            diagnosed,
            luck: None,
            may_fail: &[],
            undoes: None,
        }
    }

    /// It makes no probe fail, and nothing shows it yet.
    pub const fn no_probe_fails() -> Self {
        Self::diagnosed(|_, _| Diagnosed::NoProbeFails)
    }

    /// The invariants that fail.
    #[must_use]
    pub const fn caught_by(self, invariants: &'static [&'static str]) -> Self {
        Self { caught_by: invariants, ..self }
    }

    /// The invariants that also fail where there are three clusters or more.
    #[must_use]
    pub const fn and_others(self, invariants: &'static [&'static str]) -> Self {
        Self { caught_by_others: invariants, ..self }
    }

    /// Other tasks cannot be done.
    #[must_use]
    pub const fn stops(self, tasks: fn(&Topology, Scope) -> Vec<(StepId, Scope)>) -> Self {
        Self { stops: tasks, ..self }
    }

    /// The step undoes another for the same scope.
    #[must_use]
    pub const fn undoes(self, step: StepId) -> Self {
        Self { undoes: Some(step), ..self }
    }

    /// It is a matter of luck, `why` being what makes it one: these invariants may fail, and no other does.
    #[must_use]
    pub const fn luck(self, why: &'static str, may_fail: &'static [&'static str]) -> Self {
        Self { luck: Some(why), may_fail, ..self }
    }
}
