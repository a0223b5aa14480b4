//! Which failure explains which.

use super::verdict::Subject;
use crate::topology::ClusterIndex;

/// An invariant whose failure explains a failure of another, and for which subjects it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// Id of the invariant.
    pub invariant: &'static str,
    /// For which subjects.
    pub relation: Relation,
}

/// How the subject of a cause has to stand to the subject of its effect.
///
/// In each, a cause about the whole topology is related to every effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Every cluster of the one is a cluster of the other: a cluster and the pairs and directions it is in, a pair and
    /// both its directions. What is needed both ways, like a route.
    Around,
    /// As [`Relation::Around`], but a direction explains only the same direction. What is needed one way, like a
    /// security group's rule.
    Along,
    /// The cause is about the cluster that the effect goes out from. For an effect that is no direction: [`Relation::Around`].
    From,
    /// The cause is about the cluster that the effect goes to. For an effect that is no direction: [`Relation::Around`].
    To,
    /// The two share a cluster.
    Touching,
    /// Always.
    Everywhere,
}

impl Cause {
    /// A cause needed both ways.
    pub(super) const fn around(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::Around }
    }

    /// A cause needed in the effect's direction only.
    pub(super) const fn along(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::Along }
    }

    /// A cause at the cluster that the effect goes out from.
    pub(super) const fn from(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::From }
    }

    /// A cause at the cluster that the effect goes to.
    pub(super) const fn to(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::To }
    }

    /// A cause at any cluster of the effect.
    pub(super) const fn touching(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::Touching }
    }

    /// A cause for everything.
    pub(super) const fn everywhere(invariant: &'static str) -> Self {
        Self { invariant, relation: Relation::Everywhere }
    }
}

impl Relation {
    /// Whether a failure for `cause` explains one for `effect`.
    pub fn holds(self, cause: Subject, effect: Subject) -> bool {
        match self {
            _ if cause == Subject::All => true,
            Self::Everywhere => true,
            Self::Touching => touch(cause, effect),
            Self::Around => around(cause, effect),
            Self::Along => match (cause, effect) {
                (Subject::Direction { .. }, Subject::Direction { .. }) => cause == effect,
                _ => around(cause, effect),
            },
            Self::From => match effect {
                Subject::Direction { from, .. } => at(cause, effect, from),
                _ => around(cause, effect),
            },
            Self::To => match effect {
                Subject::Direction { to, .. } => at(cause, effect, to),
                _ => around(cause, effect),
            },
        }
    }
}

fn at(cause: Subject, effect: Subject, end: ClusterIndex) -> bool {
    match cause {
        Subject::Cluster { cluster } => cluster == end,
        _ => around(cause, effect),
    }
}

fn within(inner: Subject, outer: Subject) -> bool {
    let outer_clusters = outer.clusters();
    outer == Subject::All || inner != Subject::All && inner.clusters().iter().all(|it| outer_clusters.contains(it))
}

fn around(cause: Subject, effect: Subject) -> bool {
    within(cause, effect) || within(effect, cause)
}

fn touch(cause: Subject, effect: Subject) -> bool {
    let others = effect.clusters();
    effect == Subject::All || cause.clusters().iter().any(|it| others.contains(it))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::topology::Pair;

    fn c(index: usize) -> Subject {
        Subject::cluster(ClusterIndex(index))
    }

    fn d(from: usize, to: usize) -> Subject {
        Subject::direction(ClusterIndex(from), ClusterIndex(to))
    }

    fn p(a: usize, b: usize) -> Subject {
        Subject::pair(Pair { requester: ClusterIndex(a), accepter: ClusterIndex(b) })
    }

    #[rstest]
    #[case(Relation::Around, c(0), d(0, 1), true)]
    #[case(Relation::Around, c(2), d(0, 1), false)]
    #[case(Relation::Around, d(0, 1), c(0), true)]
    #[case(Relation::Around, d(0, 1), d(1, 0), true)]
    #[case(Relation::Around, d(0, 1), d(0, 2), false)]
    #[case(Relation::Around, p(0, 1), d(1, 0), true)]
    #[case(Relation::Around, p(0, 1), p(0, 2), false)]
    #[case(Relation::Around, Subject::All, d(1, 0), true)]
    #[case(Relation::Around, c(1), Subject::All, true)]
    #[case(Relation::Along, d(0, 1), d(1, 0), false)]
    #[case(Relation::Along, d(0, 1), d(0, 1), true)]
    #[case(Relation::Along, p(0, 1), d(1, 0), true)]
    #[case(Relation::From, c(0), d(0, 1), true)]
    #[case(Relation::From, c(1), d(0, 1), false)]
    #[case(Relation::From, c(1), c(1), true)]
    #[case(Relation::To, c(0), d(0, 1), false)]
    #[case(Relation::To, c(1), d(0, 1), true)]
    #[case(Relation::Touching, p(0, 1), d(2, 1), true)]
    #[case(Relation::Touching, p(0, 1), d(2, 3), false)]
    #[case(Relation::Touching, p(0, 1), Subject::All, true)]
    #[case(Relation::Everywhere, p(0, 1), d(2, 3), true)]
    fn relations(#[case] relation: Relation, #[case] cause: Subject, #[case] effect: Subject, #[case] expected: bool) {
        assert_eq!(relation.holds(cause, effect), expected);
    }
}
