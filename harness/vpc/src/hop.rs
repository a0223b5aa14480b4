//! The steps of a packet's path.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{Direction, RouteTarget, Way, stop};

/// One step of a path: what the packet passed, and by leave of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Whether the request or its answer passed it.
    pub way: Way,
    /// What it passed.
    #[serde(flatten)]
    pub through: Through,
}

/// What a packet passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "through", rename_all = "snake_case")]
pub enum Through {
    /// A network interface: the path begins or ends here.
    Interface {
        /// The interface.
        id: String,
        /// Its VPC.
        vpc: String,
        /// The address that the path uses.
        address: Ipv4Addr,
    },
    /// The security groups of an interface.
    SecurityGroups {
        /// The interface.
        interface: String,
        /// Side of the interface.
        direction: Direction,
        /// The group with the rule that allowed the packet; `None` when the interface carries no groups.
        group: Option<String>,
    },
    /// The network ACL of a subnet.
    NetworkAcl {
        /// The subnet.
        subnet: String,
        /// Side of the subnet.
        direction: Direction,
        /// The ACL; `None` for the VPC's default one.
        acl: Option<String>,
        /// Number of the rule that allowed the packet; `None` for the default ACL.
        rule: Option<u16>,
    },
    /// A route.
    Route {
        /// The effective route table of the subnet.
        route_table: String,
        /// Destination of the route.
        destination: Ipv4Net,
        /// Its target.
        target: RouteTarget,
    },
    /// A VPC peering connection.
    Peering {
        /// The peering connection.
        id: String,
        /// The VPC on this side.
        from: String,
        /// The VPC on the other side.
        to: String,
    },
    /// The instance that has both addresses: the packet never leaves it.
    Instance {
        /// The instance, or the interface when it is attached to none.
        id: String,
    },
    /// The DNS resolver of a VPC, which no rule filters.
    Resolver {
        /// The VPC.
        vpc: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// A load balancer.
    LoadBalancer {
        /// ARN of the load balancer.
        arn: String,
        /// Port of the listener.
        port: u16,
        /// Address of the chosen target.
        target: Ipv4Addr,
        /// Port of the chosen target.
        target_port: u16,
        /// Source address that the target sees.
        source: Ipv4Addr,
    },
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Through::Interface { id, vpc, address } => write!(f, "interface {id} ({address}) in {vpc}"),
            Through::SecurityGroups { interface, direction, group: Some(group) } => {
                write!(f, "{direction} rule of {group} on {interface}")
            }
            Through::SecurityGroups { interface, group: None, .. } => write!(f, "no security groups on {interface}"),
            Through::NetworkAcl { subnet, direction, acl: Some(acl), rule } => {
                write!(f, "{direction} rule {} of {acl} on {subnet}", rule.unwrap_or_default())
            }
            Through::NetworkAcl { subnet, acl: None, .. } => write!(f, "default network ACL of {subnet}"),
            Through::Route { route_table, destination, target } => {
                write!(f, "route {destination} to {} in {route_table}", stop::gateway_id(target))
            }
            Through::Peering { id, from, to } => write!(f, "peering connection {id} from {from} to {to}"),
            Through::Instance { id } => write!(f, "within {id}"),
            Through::Resolver { vpc, address } => write!(f, "resolver {address} of {vpc}"),
            Through::LoadBalancer { arn, port, target, target_port, source } => {
                write!(f, "port {port} of {arn} to {target}:{target_port}, source {source}")
            }
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Forward => "->",
            Way::Return => "<-",
        };
        write!(f, "{way} {}", self.through)
    }
}
