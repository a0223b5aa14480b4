//! What the catalogue guards: a clause is guarded by a fault when an invariant that checks it has to fail for the fault.

use super::Fault;
use crate::document::{CLAUSES, Clause, Level};
use crate::invariants::invariants;

/// Invariants that no fault of the catalogue fails, and why.
pub const UNSHOWN: &[(&str, &str)] = &[];

/// The `must` clauses that an invariant checks and no fault guards.
pub fn unguarded(catalogue: &[Fault]) -> Vec<&'static Clause> {
    CLAUSES
        .iter()
        .filter(|clause| clause.level == Level::Must)
        .filter(|clause| {
            let mut checks = invariants().iter().filter(|it| it.clauses.contains(&clause.id)).peekable();
            checks.peek().is_some()
                && !checks.any(|invariant| catalogue.iter().any(|fault| fault.caught_by.contains(invariant.id)))
        })
        .collect()
}
