//! What the namespace of a VPC's router looks like, by the AWS state: which devices it has, which Linux routing table
//! stands for which route table, and which table decides for whom.
//!
//! An AWS route table becomes a Linux one. Its local route throws on to the table of delivery, which has a route for
//! each address of each interface, and nothing besides. What comes in by a peering connection goes to that table at once:
//! a VPC delivers what a peer sends, and passes nothing on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use acrossk8s_vpc::{
    Fabric, Interface, PeeringState, RouteTable, RouteTarget, effective_route_table, resolver_address,
};
use ipnet::Ipv4Net;

use super::layout::{Layout, Via, everything, host};
use crate::network::HostKind;

/// The table of delivery within the VPC.
const DELIVERY: u32 = 100;
/// The table that leads to the VPC's DNS resolver.
const RESOLVER: u32 = 101;
/// Where tables numbered by [`Numbers`] begin.
const NUMBERED: u32 = 1000;

/// Priorities of the routing rules, in the order in which they are asked.
mod priority {
    /// What comes in by a peering connection is delivered or lost.
    pub const PEERING: u32 = 10;
    /// The resolver is reached whatever the route tables say.
    pub const RESOLVER: u32 = 20;
    /// Answers to a client that a load balancer stood in for go back through the load balancer.
    pub const LOAD_BALANCER: u32 = 30;
    /// Within a subnet no route table is asked.
    pub const SUBNET: u32 = 40;
    /// The route table of the subnet.
    pub const ROUTE_TABLE: u32 = 50;
    /// Local routes end here.
    pub const LOCAL: u32 = 60;
}

/// Link-local address of the resolver, the same in every VPC.
const RESOLVER_LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// Numbers that stay the same for a name while the router lives: of tables and of marks.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, u32>);

impl Numbers {
    fn of(&mut self, name: String) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX - NUMBERED) + 1;
        *self.0.entry(name).or_insert(next)
    }

    fn table(&mut self, name: String) -> u32 {
        NUMBERED + self.of(name)
    }
}

/// What is at the other end of a device of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Far {
    /// The host with this address: a node, a load balancer's interface, the resolver.
    Host(Ipv4Addr),
    /// The router of another VPC.
    Peering { vpc: String },
}

/// One interface of the VPC that is connected.
#[derive(Debug, Clone)]
pub(super) struct Port<'f> {
    /// Its device, at both ends of the link.
    pub device: String,
    /// Its id.
    pub id: &'f str,
    pub interface: &'f Interface,
    /// The host that it belongs to.
    pub host: Ipv4Addr,
    /// Whether it is a load balancer's.
    pub load_balancer: bool,
}

/// A VPC as its router sees it.
#[derive(Debug)]
pub(super) struct View<'f> {
    pub fabric: &'f Fabric,
    pub vpc: &'f str,
    pub ports: Vec<Port<'f>>,
    /// Device of the resolver and its host's address, when it is connected.
    pub resolver: Option<(String, Ipv4Addr)>,
    /// Device and other VPC of each peering connection that is active, by id.
    pub peerings: BTreeMap<&'f str, (String, &'f str)>,
}

/// The name of a device: a prefix that says what it is, and as much of the AWS id as Linux has room for.
pub(super) fn device(prefix: &str, id: &str) -> String {
    let tail = id.char_indices().rev().nth(11).map_or(id, |(at, _)| id.get(at..).unwrap_or(id));
    format!("{prefix}-{tail}")
}

impl<'f> View<'f> {
    /// A VPC with the hosts that are on it, pods aside: they are behind their nodes.
    pub(super) fn new(fabric: &'f Fabric, vpc: &'f str, hosts: &BTreeMap<Ipv4Addr, HostKind>) -> Option<Self> {
        fabric.vpcs.get(vpc)?;
        let own = |interface: &Interface| fabric.subnets.get(&interface.subnet).is_some_and(|it| it.vpc == vpc);
        let interfaces: BTreeMap<&str, &Interface> =
            fabric.interfaces.iter().filter(|(_, it)| own(it)).map(|(id, it)| (id.as_str(), it)).collect();
        // Interfaces of an instance belong to its node, whichever of them has the node's address.
        let mut nodes: BTreeMap<&str, Ipv4Addr> = BTreeMap::new();
        for interface in interfaces.values() {
            let node = interface.addresses.iter().find(|it| matches!(hosts.get(*it), Some(HostKind::Node)));
            if let (Some(instance), Some(node)) = (&interface.instance, node) {
                nodes.insert(instance, *node);
            }
        }
        let balanced: BTreeSet<&str> =
            fabric.load_balancers.values().flat_map(|it| &it.interfaces).map(String::as_str).collect();
        let mut ports = Vec::new();
        for (id, interface) in interfaces {
            let load_balancer = balanced.contains(id);
            let own = interface.addresses.iter().copied().find(|it| hosts.contains_key(it));
            let host = interface.instance.as_deref().and_then(|it| nodes.get(it).copied()).or(own);
            if let Some(host) = host {
                let device = device(if load_balancer { "lb" } else { "en" }, id);
                ports.push(Port { device, id, interface, host, load_balancer });
            }
        }
        let resolver = resolver_address(fabric, vpc)
            .filter(|address| hosts.contains_key(address) && !ports.iter().any(|port| port.host == *address))
            .map(|address| (device("dn", vpc), address));
        let active = fabric.peerings.iter().filter(|(_, it)| it.state == PeeringState::Active);
        let peerings = active.filter_map(|(id, it)| {
            let other = match vpc {
                _ if it.requester == it.accepter => return None,
                _ if it.requester == vpc => &it.accepter,
                _ if it.accepter == vpc => &it.requester,
                _ => return None,
            };
            Some((id.as_str(), (device("px", id), other.as_str())))
        });
        Some(Self { fabric, vpc, ports, resolver, peerings: peerings.collect() })
    }

    /// The devices that it should have, and what they lead to.
    pub(super) fn devices(&self) -> BTreeMap<String, Far> {
        let ports = self.ports.iter().map(|port| (port.device.clone(), Far::Host(port.host)));
        let resolver = self.resolver.iter().map(|(device, address)| (device.clone(), Far::Host(*address)));
        let peerings =
            self.peerings.values().map(|(device, vpc)| (device.clone(), Far::Peering { vpc: (*vpc).into() }));
        ports.chain(resolver).chain(peerings).collect()
    }

    /// The blocks of a VPC.
    fn blocks_of(&self, vpc: &str) -> &'f [Ipv4Net] {
        self.fabric.vpcs.get(vpc).map_or(&[], |vpc| &vpc.cidr_blocks)
    }

    /// What the router looks like.
    pub(super) fn layout(&self, numbers: &mut Numbers) -> Layout {
        let mut layout = Layout { filter: super::filter::ruleset(self, numbers), ..Layout::default() };
        self.deliver(&mut layout);
        for (device, _) in self.peerings.values() {
            layout.rules.insert(rule(priority::PEERING, Some(device), None, None, DELIVERY));
        }
        for port in &self.ports {
            self.route(port, numbers, &mut layout);
        }
        layout
    }

    /// The table of delivery, and the way to the resolver.
    fn deliver(&self, layout: &mut Layout) {
        for port in &self.ports {
            for address in &port.interface.addresses {
                layout.route(DELIVERY, host(*address), Via::Device(port.device.clone()));
            }
        }
        layout.route(DELIVERY, everything(), Via::Blackhole);
        layout.rules.insert(rule(priority::LOCAL, None, None, None, DELIVERY));
        if let Some((device, address)) = &self.resolver {
            for address in [*address, RESOLVER_LINK_LOCAL] {
                layout.route(RESOLVER, host(address), Via::Device(device.clone()));
                layout.rules.insert(rule(priority::RESOLVER, None, Some(host(address)), None, RESOLVER));
            }
        }
    }

    /// The way of what comes from an interface.
    fn route(&self, port: &Port<'f>, numbers: &mut Numbers, layout: &mut Layout) {
        let Some(subnet) = self.fabric.subnets.get(&port.interface.subnet) else { return };
        let input = Some(port.device.as_str());
        layout.rules.insert(rule(priority::SUBNET, input, Some(subnet.cidr_block), None, DELIVERY));
        let Some((id, table)) = effective_route_table(self.fabric, &port.interface.subnet) else { return };
        let number = numbers.table(id.to_owned());
        layout.rules.insert(rule(priority::ROUTE_TABLE, input, None, None, number));
        for (destination, via) in self.expand(table, Via::Throw, |device| Via::Device(device.to_owned())) {
            layout.route(number, destination, via);
        }
        if port.load_balancer {
            return;
        }
        for balancer in self.ports.iter().filter(|port| port.load_balancer) {
            let number = numbers.table(format!("{id} by {}", balancer.id));
            let back = || Via::Device(balancer.device.clone());
            layout.rules.insert(rule(priority::LOAD_BALANCER, input, None, Some(self.mark(balancer, numbers)), number));
            for (destination, via) in self.expand(table, back(), |_| back()) {
                layout.route(number, destination, via);
            }
        }
    }

    /// The mark of connections that a load balancer's interface passed on in their clients' names.
    pub(super) fn mark(&self, balancer: &Port<'_>, numbers: &mut Numbers) -> u32 {
        numbers.of(format!("mark of {}", balancer.id))
    }

    /// The routes of a table: each local one to `local`, each one to an active peering connection by `peering`, as far as
    /// the other VPC has the addresses, everything else nowhere.
    fn expand(&self, table: &RouteTable, local: Via, peering: impl Fn(&str) -> Via) -> BTreeMap<Ipv4Net, Via> {
        let mut ways = BTreeMap::from([(everything(), Via::Blackhole)]);
        // The local route comes last: it wins over another of the same block.
        let mut routes: Vec<_> = table.routes.iter().collect();
        routes.sort_by_key(|route| route.target == RouteTarget::Local);
        for route in &routes {
            let way = if route.target == RouteTarget::Local { local.clone() } else { Via::Blackhole };
            ways.insert(route.destination, way);
        }
        for route in &routes {
            let RouteTarget::Peering(id) = &route.target else { continue };
            let Some((device, other)) = self.peerings.get(id.as_str()) else { continue };
            let decided = |block: Ipv4Net| {
                table.routes.iter().any(|it| {
                    it.destination.contains(&block) && it.destination.prefix_len() > route.destination.prefix_len()
                        || it.destination == route.destination && it.target == RouteTarget::Local
                })
            };
            for block in self.blocks_of(other) {
                let common = [*block, route.destination].into_iter().max_by_key(Ipv4Net::prefix_len);
                let meet = block.contains(&route.destination) || route.destination.contains(block);
                if let Some(common) = common.filter(|common| meet && !decided(*common)) {
                    ways.insert(common, peering(device));
                }
            }
        }
        ways
    }
}

fn rule(
    priority: u32,
    input: Option<&str>,
    to: Option<Ipv4Net>,
    mark: Option<u32>,
    table: u32,
) -> super::layout::RoutingRule {
    super::layout::RoutingRule { priority, input: input.map(str::to_owned), from: None, to, mark, table }
}
