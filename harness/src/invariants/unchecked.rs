//! Clauses that no invariant checks, each with the reason.

use super::invariants;
use crate::document::{CLAUSES, ClauseId, NOT_COVERED};

const OPERATOR_MACHINE: &str = "it is about the machine of whoever follows the document; the harness uses API clients of its own in place of the tools";

/// Why no invariant checks a clause.
pub const UNCHECKED: &[(ClauseId, &str)] = &[
    (ClauseId::new(0, 1), "nothing before step 4 uses Helm"),
    (ClauseId::new(0, 2), OPERATOR_MACHINE),
    (
        ClauseId::new(0, 3),
        "policies are not read: that the calls are answered is checked instead (C0.3s), and creating needs no proof beyond \
         what was created",
    ),
    (ClauseId::new(0, 4), OPERATOR_MACHINE),
];

/// Every clause that [`judge`](super::judge) says nothing about, with the reason, in the order of the document: first those
/// of the steps that this version covers, then those that it does not.
///
/// Computed from the clauses that invariants name: a clause that is neither checked nor has a reason is listed with an
/// empty one, which a test rules out.
pub fn unchecked_clauses() -> Vec<(ClauseId, &'static str)> {
    let unchecked = CLAUSES
        .iter()
        .map(|clause| clause.id)
        .filter(|id| !invariants().iter().any(|invariant| invariant.clauses.contains(id)));
    let reason = |id| UNCHECKED.iter().find(|(unchecked, _)| *unchecked == id).map_or("", |(_, reason)| *reason);
    unchecked
        .map(|id| (id, reason(id)))
        .chain(NOT_COVERED.iter().map(|not_covered| (not_covered.id, not_covered.reason)))
        .collect()
}
