//! What lies beneath a stop: CIDR blocks that overlap, or no VPC peering connection to lead a route to.

use acrossk8s_vpc::{PeeringState, Selector, Stop, Way};

use super::DNS_SERVICE;
use super::code::{Code, Own};
use super::model::Cause;
use super::sight::Sight;
use super::stops::pcx;
use crate::observation::DnsService;
use crate::topology::{ClusterIndex, overlap};

/// The annotation for a load balancer whose interface in each zone reaches the targets of every zone.
const CROSS_ZONE: &str = "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled";

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
            Stop::NoListener { load_balancer, packet: Selector::Tcp { port } } => {
                self.service_ports(load_balancer, *port)
            }
            Stop::NoTargetsInZone { load_balancer, .. } => self.service_of_one_zone(stop, load_balancer),
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

    /// A load balancer listens where its Service says: one that lacks a port gives it none.
    fn service_ports(&self, arn: &str, port: u16) -> Option<Cause> {
        let (at, service) = self.service_of(arn)?;
        let has = |(_, number, protocol, _): &(String, u16, String, String)| *number == port && protocol == "TCP";
        if service.ports.iter().any(has) {
            return None;
        }
        let ports: Vec<String> =
            service.ports.iter().map(|(_, port, protocol, _)| format!("{port} over {protocol}")).collect();
        let explanation = format!(
            "Service {DNS_SERVICE} of {} has {} instead of port {port} over TCP, and so has its load balancer {arn}",
            self.view.name(at),
            ports.join(", ")
        );
        Some(Cause {
            code: Code::Own(Own::DnsServicePortMismatch),
            way: Way::Forward,
            resources: vec![self.resource("service", DNS_SERVICE, at), self.resource("load-balancer", arn, at)],
            explanation,
            mend: self.apply_dns_service(at),
        })
    }

    /// A load balancer balances across zones when its Service says so.
    fn service_of_one_zone(&self, stop: &Stop, arn: &str) -> Option<Cause> {
        let (at, service) = self.service_of(arn)?;
        if service.annotations.get(CROSS_ZONE).is_some_and(|value| value == "true") {
            return None;
        }
        Some(Cause {
            code: Code::Analyzer(stop.code()),
            way: Way::Forward,
            resources: vec![self.resource("service", DNS_SERVICE, at), self.resource("load-balancer", arn, at)],
            explanation: format!("{stop}: Service {DNS_SERVICE} of {} lacks {CROSS_ZONE}", self.view.name(at)),
            mend: self.apply_dns_service(at),
        })
    }

    /// The Service that a load balancer was made for.
    fn service_of(&self, arn: &str) -> Option<(ClusterIndex, &DnsService)> {
        let at = self.owner(|it| it.load_balancers.iter().any(|it| it.arn == *arn))?;
        Some((at, self.view.dns_service(at).ok()?))
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
                // The one from which it is to be requested first.
                let mut vpcs = [(from, &a.id), (to, &b.id)];
                vpcs.sort_unstable();
                let resources = vpcs.map(|(index, id)| self.resource("vpc", id, index)).into();
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
