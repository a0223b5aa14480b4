//! What lies beneath a stop: CIDR blocks that overlap, or no VPC peering connection to lead a route to.

use acrossk8s_vpc::{PeeringState, Stop, Way};

use super::code::{Code, Own};
use super::model::Cause;
use super::sight::Sight;
use super::stops::pcx;
use crate::topology::{ClusterIndex, overlap};

impl Sight<'_> {
    /// What lies beneath a stop: CIDR blocks that overlap, or no VPC peering connection to lead a route to.
    pub(super) fn beneath(&self, stop: &Stop, from: ClusterIndex, to: ClusterIndex) -> Option<Cause> {
        match stop {
            Stop::OverlappingVpc { way, reached, wanted, .. } => {
                let cause = self.overlap(self.of_vpc(reached)?, self.of_vpc(wanted)?)?;
                let explanation = format!("{}; {stop}", cause.explanation);
                Some(Cause { way: *way, explanation, ..cause })
            }
            // It came out in a third VPC.
            Stop::NoDestinationInterface { vpc, .. } => {
                let third = self.of_vpc(vpc).filter(|it| *it != from && *it != to)?;
                [to, from].into_iter().find_map(|end| self.overlap(end, third))
            }
            Stop::NoRoute { .. } | Stop::RouteLeadsElsewhere { .. } => self.no_peering(stop, from, to),
            _ => None,
        }
    }

    /// That CIDR blocks of two VPCs overlap, if they do.
    pub(super) fn overlap(&self, a: ClusterIndex, b: ClusterIndex) -> Option<Cause> {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let (view, blocks) = (self.view, self.view.cidr_blocks(high));
        let (mine, theirs) = view
            .cidr_blocks(low)
            .into_iter()
            .find_map(|mine| blocks.iter().find(|theirs| overlap(mine, **theirs)).map(|theirs| (mine, *theirs)))?;
        let vpc = |index| {
            let id = view.vpc(index).map_or_else(|_| "unknown".to_owned(), |vpc| vpc.id.clone());
            self.resource("vpc", id, index)
        };
        let explanation = format!(
            "{mine} of {} overlaps {theirs} of {}: VPCs with overlapping blocks cannot be peered, and an address in both \
             is ambiguous",
            view.name(low),
            view.name(high)
        );
        Some(Cause {
            code: Code::Own(Own::VpcCidrOverlap),
            way: Way::Forward,
            resources: vec![vpc(high), vpc(low)],
            explanation,
            mend: self.rebuild(high),
        })
    }

    /// What keeps a route from leading across: there is no peering connection, or one that never will carry packets.
    fn no_peering(&self, stop: &Stop, from: ClusterIndex, to: ClusterIndex) -> Option<Cause> {
        let (a, b) = (self.view.vpc(from).ok()?, self.view.vpc(to).ok()?);
        if [from, to].into_iter().any(|index| self.region_was_read(index, "peering connections").is_err()) {
            return None;
        }
        let pair = format!("{} ({}) and {} ({})", self.view.name(from), a.id, self.view.name(to), b.id);
        let peering = self.peering(from, to);
        let (code, explanation, resources, mend) = match peering {
            None if from != to => {
                let resources = vec![self.resource("vpc", &a.id, from), self.resource("vpc", &b.id, to)];
                let explanation =
                    format!("there is no VPC peering connection between {pair}, so no route leads across");
                (Own::PeeringMissing, explanation, resources, self.make_peering(from, to))
            }
            Some(it) if is_over(it.state) => {
                let resources = vec![pcx(&it.id)];
                let explanation = format!("{} between {pair} is {}, so no route leads across", it.id, it.state);
                (Own::PeeringNotActive, explanation, resources, self.revive_peering(from, to, it))
            }
            _ => return None,
        };
        Some(Cause { code: Code::Own(code), way: stop.way(), resources, explanation, mend })
    }
}

/// Whether a peering connection will never carry packets again.
const fn is_over(state: PeeringState) -> bool {
    use PeeringState::{Deleted, Deleting, Expired, Failed, Rejected};
    matches!(state, Deleting | Deleted | Rejected | Expired | Failed)
}
