//! What stops a packet, by the id of the thing that stops it.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Direction, PeeringState, RouteTarget, Selector};

/// Which of the two packets of a round trip is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The request, from the client.
    Forward,
    /// The answer, back to the client.
    Return,
}

impl Way {
    fn packet(self) -> &'static str {
        match self {
            Way::Forward => "the packet",
            Way::Return => "the answer",
        }
    }
}

/// The first thing that stops a packet or the answer to it. `Display` says what it is and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stop {
    /// The source address belongs to no interface of its VPC.
    #[error("no network interface of {vpc} has the source address {address}: packets with it are dropped")]
    NoSourceInterface {
        /// The VPC.
        vpc: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// The packet came to the VPC of its destination, where no interface has the address.
    #[error("no network interface of {vpc} has the address {address}: nothing there receives the packet")]
    NoDestinationInterface {
        /// The VPC.
        vpc: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// The address is that of another VPC's resolver, which answers only inside its VPC.
    #[error("{address} is the DNS resolver of {vpc}, which answers only to interfaces of that VPC")]
    ResolverOfOtherVpc {
        /// The VPC that the resolver belongs to.
        vpc: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// Something refers to an id that is not there.
    #[error("{referrer} refers to {id}, which does not exist")]
    UnknownResource {
        /// What refers to it.
        referrer: String,
        /// The missing id.
        id: String,
    },
    /// The effective route table has no route to the destination.
    #[error(
        "{} to {destination} stops in {subnet}: its route table {route_table} has no route to that address; add one",
        way.packet()
    )]
    NoRoute {
        /// Which packet.
        way: Way,
        /// The subnet that the packet leaves.
        subnet: String,
        /// Its effective route table.
        route_table: String,
        /// Where the packet was going.
        destination: Ipv4Addr,
    },
    /// The best route leads out of the VPCs by a gateway: only a less specific route, such as `0.0.0.0/0`, matches.
    #[error(
        "{} to {destination} leaves {subnet} for {target}, as the best route of {route_table} is {route}; add a route \
         to the VPC peering connection that leads to {destination}", way.packet()
    )]
    RouteLeadsElsewhere {
        /// Which packet.
        way: Way,
        /// The subnet that the packet leaves.
        subnet: String,
        /// Its effective route table.
        route_table: String,
        /// Destination of the route taken.
        route: Ipv4Net,
        /// Id of the gateway that the route points to.
        target: String,
        /// Where the packet was going.
        destination: Ipv4Addr,
    },
    /// The best route is in the state `blackhole`.
    #[error(
        "{} to {destination} is dropped in {subnet}: the route {route} of {route_table} is a blackhole, as {peering} {}",
        way.packet(), peering_problem(*state)
    )]
    BlackholeRoute {
        /// Which packet.
        way: Way,
        /// The subnet that the packet leaves.
        subnet: String,
        /// Its effective route table.
        route_table: String,
        /// Destination of the route taken.
        route: Ipv4Net,
        /// The peering connection that the route points to.
        peering: String,
        /// Its state; `None` when it is not there, or does not join the VPC of the route table.
        state: Option<PeeringState>,
        /// Where the packet was going.
        destination: Ipv4Addr,
    },
    /// The best route points to a peering connection with a VPC that does not have the destination: a peering
    /// connection carries only what is for the VPC on its other side.
    #[error(
        "{} to {destination} is dropped by {peering}: the route {route} of {route_table} points to it, but {vpc} on \
         its other side does not have that address; point the route to the peering connection with the VPC that does",
        way.packet()
    )]
    PeeringOfOtherVpc {
        /// Which packet.
        way: Way,
        /// The subnet that the packet leaves.
        subnet: String,
        /// Its effective route table.
        route_table: String,
        /// Destination of the route taken.
        route: Ipv4Net,
        /// The peering connection.
        peering: String,
        /// The VPC on its other side.
        vpc: String,
        /// Where the packet was going.
        destination: Ipv4Addr,
    },
    /// The packet is routed to a VPC that has the address, but is not the one meant: CIDR blocks overlap.
    #[error(
        "{} to {destination} is routed to {reached} rather than {wanted} by the route {route} of {route_table}: the \
         CIDR blocks of the two VPCs overlap", way.packet()
    )]
    OverlappingVpc {
        /// Which packet.
        way: Way,
        /// The subnet that the packet leaves.
        subnet: String,
        /// Its effective route table.
        route_table: String,
        /// Destination of the route taken.
        route: Ipv4Net,
        /// The VPC that the route leads to.
        reached: String,
        /// The VPC that the other end is in.
        wanted: String,
        /// Where the packet was going.
        destination: Ipv4Addr,
    },
    /// No rule of any security group on the interface allows the packet.
    #[error(
        "no {direction} rule of {}, carried by {interface}, allows {packet} {} {peer}; add one",
        groups.join(" or "), preposition(*direction)
    )]
    SecurityGroupRules {
        /// Side of the interface.
        direction: Direction,
        /// The interface.
        interface: String,
        /// The security groups that it carries.
        groups: Vec<String>,
        /// The packet.
        packet: Selector,
        /// The other end.
        peer: Ipv4Addr,
    },
    /// A rule would allow the packet, but it refers to a security group that is not visible here.
    #[error(
        "{group}, carried by {interface}, allows {packet} only {} {referenced}: such a reference does not reach over a \
         peering connection between regions, nor through a load balancer; allow a CIDR block that contains {peer}",
        preposition(*direction)
    )]
    SecurityGroupReference {
        /// Side of the interface.
        direction: Direction,
        /// The interface.
        interface: String,
        /// The security group with the rule.
        group: String,
        /// The security group that the rule refers to.
        referenced: String,
        /// The packet.
        packet: Selector,
        /// The other end.
        peer: Ipv4Addr,
    },
    /// The network ACL of a subnet denies the packet.
    #[error(
        "{acl} of {subnet} does not let {} pass: its {direction} rules deny {packet} {} {peer} ({}); network ACLs are \
         stateless, so allow it in this direction too",
        way.packet(), preposition(*direction), acl_rule(*rule)
    )]
    NetworkAcl {
        /// Which packet.
        way: Way,
        /// Side of the subnet.
        direction: Direction,
        /// The network ACL.
        acl: String,
        /// The subnet.
        subnet: String,
        /// Number of the rule that denies; `None` for the implicit last one.
        rule: Option<u16>,
        /// The packet.
        packet: Selector,
        /// The other end.
        peer: Ipv4Addr,
    },
    /// The load balancer is not `active`.
    #[error("the load balancer {load_balancer} is not active yet: wait until its state is active")]
    LoadBalancerNotActive {
        /// ARN of the load balancer.
        load_balancer: String,
    },
    /// The load balancer has no listener for the packet.
    #[error("the load balancer {load_balancer} has no listener for {packet}")]
    NoListener {
        /// ARN of the load balancer.
        load_balancer: String,
        /// The packet.
        packet: Selector,
    },
    /// The listener has no registered targets.
    #[error("no targets are registered for port {port} of the load balancer {load_balancer}")]
    NoTargets {
        /// ARN of the load balancer.
        load_balancer: String,
        /// Port of the listener.
        port: u16,
    },
    /// The listener has targets, but none that the address in this zone can send to.
    #[error(
        "port {port} of the load balancer {load_balancer} has no target that its address in {zone} can send to; \
         enable cross-zone load balancing, or register a target in that zone"
    )]
    NoTargetsInZone {
        /// ARN of the load balancer.
        load_balancer: String,
        /// Port of the listener.
        port: u16,
        /// The availability zone.
        zone: String,
    },
    /// The load balancer chose the client itself as target, with the client's address as source.
    #[error(
        "the load balancer {load_balancer} chose the client's own instance {target} as target: with client IP \
         preservation an instance cannot reach itself through it; connect from elsewhere"
    )]
    Hairpin {
        /// ARN of the load balancer.
        load_balancer: String,
        /// Address of the target.
        target: Ipv4Addr,
    },
}

impl Stop {
    /// The explanation code that VPC Reachability Analyzer gives in such a case; the nearest one where it has none.
    ///
    /// Source: Reachability Analyzer guide, "Explanation codes".
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Stop::NoSourceInterface { .. } => "NO_SOURCE_OR_DESTINATION",
            Stop::NoDestinationInterface { .. } | Stop::ResolverOfOtherVpc { .. } => "NO_POSSIBLE_DESTINATION",
            Stop::UnknownResource { .. } => "UNKNOWN_RESOURCE",
            Stop::NoRoute { .. } | Stop::RouteLeadsElsewhere { .. } => "NO_ROUTE_TO_DESTINATION",
            Stop::BlackholeRoute { .. } => "BAD_STATE_ROUTE",
            Stop::PeeringOfOtherVpc { .. } => "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR",
            Stop::OverlappingVpc { .. } => "CANNOT_ROUTE",
            Stop::SecurityGroupRules { .. } => "ENI_SG_RULES_MISMATCH",
            Stop::SecurityGroupReference { .. } => "SG_REFERENCES_NOT_PRESERVED",
            Stop::NetworkAcl { .. } => "SUBNET_ACL_RESTRICTION",
            Stop::LoadBalancerNotActive { .. } => "BAD_STATE",
            Stop::NoListener { .. } => "ELBV2_LISTENERS_MISMATCH",
            Stop::NoTargets { .. } => "ELBV2_LISTENER_HAS_NO_TG",
            Stop::NoTargetsInZone { .. } => "ELBV2_NO_TARGETS_IN_AZ",
            Stop::Hairpin { .. } => "ELBV2_SOURCE_ADDRESS_PRESERVATION",
        }
    }

    /// Whether the request or its answer is stopped.
    #[must_use]
    pub fn way(&self) -> Way {
        match self {
            Stop::NoRoute { way, .. }
            | Stop::RouteLeadsElsewhere { way, .. }
            | Stop::BlackholeRoute { way, .. }
            | Stop::PeeringOfOtherVpc { way, .. }
            | Stop::OverlappingVpc { way, .. }
            | Stop::NetworkAcl { way, .. } => *way,
            _ => Way::Forward,
        }
    }
}

fn preposition(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

fn acl_rule(rule: Option<u16>) -> String {
    rule.map_or_else(|| "no rule matches".to_owned(), |number| format!("rule {number}"))
}

fn peering_problem(state: Option<PeeringState>) -> String {
    match state {
        None => "does not exist or does not join this VPC; point the route to one that does".to_owned(),
        Some(PeeringState::PendingAcceptance) => "is pending-acceptance; accept it in the accepter's region".to_owned(),
        Some(state @ (PeeringState::InitiatingRequest | PeeringState::Provisioning)) => {
            format!("is {state}; wait until it is active")
        }
        Some(state) => format!("is {state}; create a new one and point the route to it"),
    }
}

/// Every code that [`Stop::code`] gives.
pub const CODES: [&str; 15] = [
    "NO_SOURCE_OR_DESTINATION",
    "NO_POSSIBLE_DESTINATION",
    "UNKNOWN_RESOURCE",
    "NO_ROUTE_TO_DESTINATION",
    "BAD_STATE_ROUTE",
    "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR",
    "CANNOT_ROUTE",
    "ENI_SG_RULES_MISMATCH",
    "SG_REFERENCES_NOT_PRESERVED",
    "SUBNET_ACL_RESTRICTION",
    "BAD_STATE",
    "ELBV2_LISTENERS_MISMATCH",
    "ELBV2_LISTENER_HAS_NO_TG",
    "ELBV2_NO_TARGETS_IN_AZ",
    "ELBV2_SOURCE_ADDRESS_PRESERVATION",
];

impl fmt::Display for PeeringState {
    /// The code that `DescribeVpcPeeringConnections` gives, for example `pending-acceptance`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeeringState::InitiatingRequest => "initiating-request",
            PeeringState::PendingAcceptance => "pending-acceptance",
            PeeringState::Provisioning => "provisioning",
            PeeringState::Active => "active",
            PeeringState::Deleting => "deleting",
            PeeringState::Deleted => "deleted",
            PeeringState::Rejected => "rejected",
            PeeringState::Expired => "expired",
            PeeringState::Failed => "failed",
        })
    }
}

/// Id of a route target that is not inside the peered VPCs.
pub(crate) fn gateway_id(target: &RouteTarget) -> &str {
    match target {
        RouteTarget::Local => "local",
        RouteTarget::Peering(id)
        | RouteTarget::InternetGateway(id)
        | RouteTarget::NatGateway(id)
        | RouteTarget::Other(id) => id,
    }
}
