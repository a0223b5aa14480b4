//! The legs of a path: from an interface to an address, and back.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::index::Index;
use crate::{
    Arrival, Direction, Fabric, Flow, GroupVerdict, Hop, Interface, LoadBalancer, Other, PeeringState, Protocol, Route,
    RouteTarget, Selector, Stop, Subnet, Through, Way, deciding_entry, effective_route_table, evaluate_groups,
    longest_prefix, resolver, stop,
};

/// One end of a leg.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'f> {
    pub vpc: &'f str,
    pub id: &'f str,
    pub interface: &'f Interface,
    pub subnet_id: &'f str,
    pub subnet: &'f Subnet,
    pub address: Ipv4Addr,
}

impl End<'_> {
    pub fn as_hop(&self) -> Through {
        Through::Interface { id: self.id.to_owned(), vpc: self.vpc.to_owned(), address: self.address }
    }

    /// Whether both are addresses of one machine.
    pub fn same_instance(&self, other: &End<'_>) -> bool {
        self.id == other.id
            || (self.interface.instance.is_some() && self.interface.instance == other.interface.instance)
    }

    pub fn same_subnet(&self, other: &End<'_>) -> bool {
        self.subnet_id == other.subnet_id
    }
}

/// How a request got to its destination.
pub(crate) enum Reached<'f> {
    /// Over the network, to this interface.
    Interface(End<'f>),
    /// Within one instance, or to the resolver: nothing stops the answer either.
    WithoutNetwork,
}

/// Where the route table of a subnet sends a packet.
pub(crate) struct Routed<'f> {
    /// The VPC that the packet comes out in.
    vpc: &'f str,
    hops: Vec<Through>,
    /// The route table and the route, if the packet did leave its subnet.
    by: Option<(&'f str, &'f Route)>,
}

/// A walk over a fabric, with what it passed so far.
pub(crate) struct Walk<'f> {
    pub fabric: &'f Fabric,
    pub index: &'f Index,
    pub hops: Vec<Hop>,
    pub arrival: Option<Arrival>,
    /// Whether it goes on through a load balancer to a target.
    pub load_balance: bool,
    /// What the answer is, when it is not the usual one.
    pub answer: Option<Selector>,
}

impl<'f> Walk<'f> {
    pub fn new(fabric: &'f Fabric, index: &'f Index) -> Self {
        Walk { fabric, index, hops: Vec::new(), arrival: None, load_balance: false, answer: None }
    }

    pub fn pass(&mut self, way: Way, through: Through) {
        self.hops.push(Hop { way, through });
    }

    /// What rules see of the answer to a request from a port.
    pub fn answer_to(&self, protocol: Protocol, port: u16) -> Selector {
        self.answer.unwrap_or_else(|| Selector::answer(protocol, port))
    }

    /// The interface of a VPC that has an address.
    pub fn find(&self, vpc: &str, address: Ipv4Addr) -> Result<Option<End<'f>>, Stop> {
        let Some((id, interface)) = self.index.interface(self.fabric, vpc, address) else { return Ok(None) };
        let unknown = || Stop::UnknownResource { referrer: id.to_owned(), id: interface.subnet.clone() };
        let (subnet_id, subnet) = self.fabric.subnets.get_key_value(&interface.subnet).ok_or_else(unknown)?;
        Ok(Some(End { vpc: &subnet.vpc, id, interface, subnet_id, subnet, address }))
    }

    /// The load balancer that an interface belongs to.
    pub fn load_balancer(&self, end: &End<'_>) -> Option<(&'f str, &'f LoadBalancer)> {
        let arn = self.index.load_balancer(end.id)?;
        self.fabric.load_balancers.get_key_value(arn).map(|(arn, load_balancer)| (arn.as_str(), load_balancer))
    }

    /// The request's leg, up to and into the interface that has the destination address.
    pub fn reach(&mut self, client: &End<'f>, flow: &Flow) -> Result<Reached<'f>, Stop> {
        let destination = flow.destination;
        if resolver(self.fabric, &flow.vpc, destination) {
            self.pass(Way::Forward, Through::Resolver { vpc: flow.vpc.clone(), address: destination });
            return Ok(Reached::WithoutNetwork);
        }
        let routed = self.route(Way::Forward, client, destination);
        let server = match &routed {
            Ok(routed) => self.find(routed.vpc, destination)?,
            Err(_) => None,
        };
        if let Some(server) = server.filter(|server| server.same_instance(client)) {
            let id = server.interface.instance.clone().unwrap_or_else(|| server.id.to_owned());
            self.pass(Way::Forward, Through::Instance { id });
            return Ok(Reached::WithoutNetwork);
        }
        self.groups(client, Direction::Egress, flow.request(), destination, server.as_ref())?;
        let stays = server.is_some_and(|server| server.same_subnet(client));
        if !stays {
            self.acl(Way::Forward, client, Direction::Egress, flow.request(), destination)?;
        }
        let routed = routed?;
        let vpc = routed.vpc;
        routed.hops.into_iter().for_each(|hop| self.pass(Way::Forward, hop));
        let server = server.ok_or_else(|| self.nobody_at(vpc, destination))?;
        if !stays {
            self.acl(Way::Forward, &server, Direction::Ingress, flow.request(), flow.source)?;
        }
        self.groups(&server, Direction::Ingress, flow.request(), flow.source, Some(client))?;
        self.pass(Way::Forward, server.as_hop());
        Ok(Reached::Interface(server))
    }

    fn nobody_at(&self, vpc: &str, address: Ipv4Addr) -> Stop {
        if resolver(self.fabric, vpc, address) {
            Stop::ResolverOfOtherVpc { vpc: vpc.to_owned(), address }
        } else {
            Stop::NoDestinationInterface { vpc: vpc.to_owned(), address }
        }
    }

    /// The answer's leg.
    pub fn answer(&mut self, server: &End<'f>, client: &End<'f>, answer: Selector) -> Result<(), Stop> {
        if !server.same_subnet(client) {
            self.acl(Way::Return, server, Direction::Egress, answer, client.address)?;
            self.route_back(server, client)?;
            self.acl(Way::Return, client, Direction::Ingress, answer, server.address)?;
        }
        self.pass(Way::Return, client.as_hop());
        Ok(())
    }

    /// The route of an answer, which has to lead to the VPC that the request came from.
    pub fn route_back(&mut self, server: &End<'f>, client: &End<'f>) -> Result<(), Stop> {
        let routed = self.route(Way::Return, server, client.address)?;
        if routed.vpc != client.vpc {
            let (route_table, route) =
                routed.by.map_or(("", Ipv4Net::default()), |(table, by)| (table, by.destination));
            return Err(Stop::OverlappingVpc {
                way: Way::Return,
                subnet: server.subnet_id.to_owned(),
                route_table: route_table.to_owned(),
                route,
                reached: routed.vpc.to_owned(),
                wanted: client.vpc.to_owned(),
                destination: client.address,
            });
        }
        routed.hops.into_iter().for_each(|hop| self.pass(Way::Return, hop));
        Ok(())
    }

    /// Follows the effective route table of an interface's subnet, and the peering connection it leads to.
    pub fn route(&self, way: Way, from: &End<'f>, destination: Ipv4Addr) -> Result<Routed<'f>, Stop> {
        if from.subnet.cidr_block.contains(&destination) {
            return Ok(Routed { vpc: from.vpc, hops: Vec::new(), by: None });
        }
        let Some((route_table, table)) = effective_route_table(self.fabric, from.subnet_id) else {
            let id = from.subnet.route_table.clone().unwrap_or_else(|| format!("the main route table of {}", from.vpc));
            return Err(Stop::UnknownResource { referrer: from.subnet_id.to_owned(), id });
        };
        let subnet = || from.subnet_id.to_owned();
        let route_table_id = || route_table.to_owned();
        let Some(route) = longest_prefix(table, destination) else {
            return Err(Stop::NoRoute { way, subnet: subnet(), route_table: route_table_id(), destination });
        };
        let hop = Through::Route {
            route_table: route_table_id(),
            destination: route.destination,
            target: route.target.clone(),
        };
        let by = Some((route_table, route));
        match &route.target {
            RouteTarget::Local => Ok(Routed { vpc: from.vpc, hops: vec![hop], by }),
            RouteTarget::Peering(peering) => {
                let (state, other) = self.other_side(peering, from.vpc);
                let other = match other {
                    Some(other) if state == Some(PeeringState::Active) => other,
                    _ => {
                        return Err(Stop::BlackholeRoute {
                            way,
                            subnet: subnet(),
                            route_table: route_table_id(),
                            route: route.destination,
                            peering: peering.clone(),
                            state,
                            destination,
                        });
                    }
                };
                if !self.has_address(other, destination) {
                    return Err(Stop::PeeringOfOtherVpc {
                        way,
                        subnet: subnet(),
                        route_table: route_table_id(),
                        route: route.destination,
                        peering: peering.clone(),
                        vpc: other.to_owned(),
                        destination,
                    });
                }
                let over = Through::Peering { id: peering.clone(), from: from.vpc.to_owned(), to: other.to_owned() };
                Ok(Routed { vpc: other, hops: vec![hop, over], by })
            }
            target @ (RouteTarget::InternetGateway(_) | RouteTarget::NatGateway(_) | RouteTarget::Other(_)) => {
                Err(Stop::RouteLeadsElsewhere {
                    way,
                    subnet: subnet(),
                    route_table: route_table_id(),
                    route: route.destination,
                    target: stop::gateway_id(target).to_owned(),
                    destination,
                })
            }
        }
    }

    /// State of a peering connection and the VPC on its other side, when it joins `vpc`.
    fn other_side(&self, peering: &str, vpc: &str) -> (Option<PeeringState>, Option<&'f str>) {
        match self.fabric.peerings.get(peering) {
            Some(peering) if peering.requester == vpc => (Some(peering.state), Some(&peering.accepter)),
            Some(peering) if peering.accepter == vpc => (Some(peering.state), Some(&peering.requester)),
            _ => (None, None),
        }
    }

    fn has_address(&self, vpc: &str, address: Ipv4Addr) -> bool {
        self.fabric.vpcs.get(vpc).is_some_and(|vpc| vpc.cidr_blocks.iter().any(|block| block.contains(&address)))
    }

    /// Whether a rule in the VPC of one end can refer to security groups of the other end: in one VPC, or over peering
    /// within a region. Source: VPC Peering Guide, "Update your security groups to reference peer security groups".
    fn groups_visible(&self, one: &End<'_>, other: &End<'_>) -> bool {
        let region = |end: &End<'_>| self.fabric.vpcs.get(end.vpc).map(|vpc| vpc.region.as_str());
        one.vpc == other.vpc || (region(one).is_some() && region(one) == region(other))
    }

    /// Security groups of `end`, for a packet whose other end is the interface `peer`.
    pub fn groups(
        &mut self,
        end: &End<'f>,
        direction: Direction,
        packet: Selector,
        address: Ipv4Addr,
        peer: Option<&End<'f>>,
    ) -> Result<(), Stop> {
        let carried = peer.map_or(&[][..], |peer| &peer.interface.security_groups);
        let other = match peer.is_some_and(|peer| self.groups_visible(end, peer)) {
            true => Other { address, groups: carried, lost_groups: &[] },
            false => Other { address, groups: &[], lost_groups: carried },
        };
        self.groups_of(end, direction, packet, other)
    }

    /// Security groups of `end`.
    pub fn groups_of(
        &mut self,
        end: &End<'f>,
        direction: Direction,
        packet: Selector,
        other: Other<'_>,
    ) -> Result<(), Stop> {
        let interface = end.id.to_owned();
        let group = match evaluate_groups(self.fabric, end.interface, direction, packet, other) {
            GroupVerdict::Unfiltered => None,
            GroupVerdict::Allowed { group, .. } => Some(group.to_owned()),
            GroupVerdict::ReferenceLost { group, referenced } => {
                let (group, referenced) = (group.to_owned(), referenced.to_owned());
                let peer = other.address;
                return Err(Stop::SecurityGroupReference { direction, interface, group, referenced, packet, peer });
            }
            GroupVerdict::Denied => {
                let groups = end.interface.security_groups.clone();
                return Err(Stop::SecurityGroupRules { direction, interface, groups, packet, peer: other.address });
            }
        };
        self.pass(Way::Forward, Through::SecurityGroups { interface, direction, group });
        Ok(())
    }

    /// Network ACL of the subnet of `end`.
    pub fn acl(
        &mut self,
        way: Way,
        end: &End<'f>,
        direction: Direction,
        packet: Selector,
        other: Ipv4Addr,
    ) -> Result<(), Stop> {
        let subnet = end.subnet_id.to_owned();
        let (acl, rule) = match &end.subnet.network_acl {
            None => (None, None),
            Some(id) => {
                let unknown = || Stop::UnknownResource { referrer: subnet.clone(), id: id.clone() };
                let acl = self.fabric.network_acls.get(id).ok_or_else(unknown)?;
                match deciding_entry(acl, direction, packet, other) {
                    Some(entry) if entry.allow => (Some(id.clone()), Some(entry.number)),
                    denied => {
                        let rule = denied.map(|entry| entry.number);
                        return Err(Stop::NetworkAcl {
                            way,
                            direction,
                            acl: id.clone(),
                            subnet,
                            rule,
                            packet,
                            peer: other,
                        });
                    }
                }
            }
        };
        self.pass(way, Through::NetworkAcl { subnet, direction, acl, rule });
        Ok(())
    }
}
