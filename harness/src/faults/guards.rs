//! What the catalogue guards: a clause is guarded by a fault when an invariant that checks it has to fail for the fault.

use super::Fault;
use crate::document::{CLAUSES, Clause, Level};
use crate::invariants::invariants;

/// Invariants that no fault of the catalogue fails, and why.
pub const UNSHOWN: &[(&str, &str)] = &[
    ("observation-complete", "no fault takes rights or endpoints away: the harness itself could not go on"),
    ("cluster-names-distinct", "two files for one cluster make one cluster: a run of two cannot even begin"),
    ("auto-mode-off", "the emulation of eksctl refuses Auto Mode, which runs no CoreDNS pods"),
    ("vpc-cidr-block", "eksctl gives the VPC the block of its file, and a second block cannot be associated yet"),
    ("subnets-within-vpc", "AWS refuses a subnet outside the VPC"),
    ("peering-cidr-blocks", "AWS copies the blocks from the VPCs"),
    (
        "load-balancer-open",
        "a load balancer of the in-tree controller has no groups, and its targets take what their nodes take",
    ),
    (
        "tcp-to-peer",
        "what drops packets on the way is an invariant's own: this one fails when none of them explains it",
    ),
    ("tidb-ports", "the documented rules are for all traffic: what closes single ports fails first"),
    ("source-address", "nothing between two VPCs that are peered translates addresses"),
];

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
