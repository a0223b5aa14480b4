//! From what stops a packet to the cause that somebody has to mend.

use std::net::Ipv4Addr;

use acrossk8s_vpc::{Direction, Selector, Stop};
use ipnet::Ipv4Net;

use super::code::Code;
use super::model::{Cause, Mend, Resource, Stopped};
use super::sight::Sight;
use crate::observation::{SecurityGroup, UNREAD};
use crate::topology::ClusterIndex;

/// What is to be mended.
struct Mending {
    resources: Vec<Resource>,
    mend: Mend,
}

impl Sight<'_> {
    /// The cause that a stop is, on the way between two clusters; or why the observation does not tell.
    pub(super) fn cause_of(&self, stop: &Stop, from: ClusterIndex, to: ClusterIndex) -> Stopped {
        if let Some(reason) = self.unread(stop) {
            return Stopped::Unknown(reason);
        }
        if let Some(cause) = self.beneath(stop, from, to) {
            return Stopped::Cause(Box::new(cause));
        }
        let Mending { resources, mend } = self.mending(stop, from, to);
        let explanation = match stop {
            Stop::SecurityGroupRules { interface, groups, .. } => {
                format!("{stop}{}", self.unattached(interface, groups, stop))
            }
            _ => stop.to_string(),
        };
        Stopped::Cause(Box::new(Cause {
            code: Code::Analyzer(stop.code()),
            way: stop.way(),
            resources,
            explanation,
            mend,
        }))
    }

    /// What of the observation a stop depends on and is not there.
    fn unread(&self, stop: &Stop) -> Option<String> {
        let missing = |what: &str| Some(format!("{what} is not in the observation"));
        let interfaces = |vpc: &str| match self.of_vpc(vpc) {
            None => missing(vpc),
            Some(index) => {
                let none = self.view.cluster(index).is_ok_and(|it| it.interfaces.is_empty() || it.subnets.is_empty());
                let unread = self.region_was_read(index, "network interfaces").err().or_else(|| {
                    none.then(|| Stopped::Unknown(format!("no network interface of {vpc} is in the observation")))
                });
                match unread {
                    Some(Stopped::Unknown(reason)) => Some(reason),
                    _ => None,
                }
            }
        };
        match stop {
            Stop::UnknownResource { referrer, id } => match id.strip_prefix(UNREAD) {
                Some(what) => missing(&format!("the {what} of {referrer}")),
                None => missing(&format!("{id}, to which {referrer} refers,")),
            },
            Stop::NoSourceInterface { vpc, .. } | Stop::NoDestinationInterface { vpc, .. } => interfaces(vpc),
            Stop::SecurityGroupRules { groups, .. } => {
                let seen =
                    |id: &String| self.owner(|it| it.security_groups.iter().any(|group| group.id == *id)).is_some();
                groups.iter().find(|id| !seen(id)).and_then(|id| missing(&format!("security group {id}")))
            }
            // The other side may be a cluster's VPC that was not seen: the connection itself knows one block of it.
            Stop::PeeringOfOtherVpc { peering, vpc, destination, .. } => {
                let seen = self.view.observation.peerings.iter().find(|it| it.id == *peering);
                let block = seen.and_then(|it| match it.requester_vpc == *vpc {
                    true => it.requester_cidr,
                    false => it.accepter_cidr,
                });
                let is_known = self.of_vpc(vpc).is_some() || block.is_some_and(|block| !block.contains(destination));
                if is_known { None } else { missing(vpc) }
            }
            // A route that is active leads to a connection that is; so it was only not seen.
            Stop::BlackholeRoute { state: None, route_table, route, peering, .. } => {
                let is_active = self.owner(|cluster| {
                    let table = cluster.route_tables.iter().find(|table| table.id == *route_table);
                    table.is_some_and(|table| {
                        table.routes.iter().any(|it| it.destination == *route && it.state == "active")
                    })
                });
                is_active.and_then(|_| missing(&format!("peering connection {peering}")))
            }
            Stop::NoTargets { load_balancer, port } => {
                let has = self.owner(|cluster| {
                    let listeners = cluster.load_balancers.iter().filter(|it| it.arn == *load_balancer);
                    listeners.flat_map(|it| &it.listeners).any(|it| it.port == *port && !it.targets.is_empty())
                });
                has.and_then(|_| missing(&format!("the network interfaces of the targets of {load_balancer}")))
            }
            _ => None,
        }
    }

    fn mending(&self, stop: &Stop, from: ClusterIndex, to: ClusterIndex) -> Mending {
        // Of the two clusters, the one that is not at hand.
        let other = |at: ClusterIndex| if at == from { to } else { from };
        let table_of = |id: &str| self.owner(|it| it.route_tables.iter().any(|table| table.id == id)).unwrap_or(from);
        match stop {
            Stop::NoRoute { route_table, destination, .. } => {
                let at = table_of(route_table);
                let mend = self.add_routes(at, other(at), route_table, *destination);
                Mending { resources: vec![self.resource("route-table", route_table, at)], mend }
            }
            Stop::RouteLeadsElsewhere { route_table, destination, route, .. } => {
                let at = table_of(route_table);
                let block = self.block_with(other(at), *destination);
                // A route as specific as the peer's block, or more, stands in the way of a right one.
                let mend = if block.contains(route) {
                    self.turn_routes(at, other(at), route_table, *route, *destination)
                } else {
                    self.add_routes(at, other(at), route_table, *destination)
                };
                Mending { resources: vec![self.resource("route-table", route_table, at)], mend }
            }
            Stop::BlackholeRoute { route_table, route, peering, destination, .. } => {
                let at = table_of(route_table);
                let table = self.resource("route-table", route_table, at);
                let right = self.peering(at, other(at));
                let seen = self.view.observation.peerings.iter().find(|it| it.id == *peering);
                let mend = match (seen, right) {
                    // Another connection carries packets already: the route points to one that is gone.
                    (_, Some(right)) if right.id != *peering => {
                        self.turn_routes(at, other(at), route_table, *route, *destination)
                    }
                    (Some(seen), _) => self.revive_peering(at, other(at), seen),
                    (None, _) => self.make_peering(at, other(at)),
                };
                Mending { resources: vec![pcx(peering), table], mend }
            }
            Stop::PeeringOfOtherVpc { route_table, route, peering, destination, .. } => {
                let at = table_of(route_table);
                let mend = self.turn_routes(at, other(at), route_table, *route, *destination);
                Mending { resources: vec![self.resource("route-table", route_table, at), pcx(peering)], mend }
            }
            Stop::OverlappingVpc { reached, wanted, .. } => {
                let vpc = |id: &str| (self.of_vpc(id).unwrap_or(to), id.to_owned());
                let ((reached_at, reached), (wanted_at, wanted)) = (vpc(reached), vpc(wanted));
                let resources =
                    vec![self.resource("vpc", reached, reached_at), self.resource("vpc", wanted, wanted_at)];
                Mending { resources, mend: self.rebuild(reached_at) }
            }
            Stop::SecurityGroupRules { direction, interface, groups, peer, .. } => {
                let at = self.of_interface(interface).unwrap_or(to);
                let group = self.group_to_open(at, groups);
                let mend = self.allow(at, *direction, &group, self.block_of(from, to, *peer));
                let mut resources = vec![self.resource("security-group", group.clone(), at)];
                resources
                    .extend(groups.iter().filter(|id| **id != group).map(|id| self.resource("security-group", id, at)));
                resources.push(self.resource("network-interface", interface, at));
                Mending { resources, mend }
            }
            Stop::SecurityGroupReference { direction, interface, group, peer, .. } => {
                let at = self.of_interface(interface).unwrap_or(to);
                let mend = self.allow(at, *direction, group, self.block_of(from, to, *peer));
                let interface = self.resource("network-interface", interface, at);
                Mending { resources: vec![self.resource("security-group", group, at), interface], mend }
            }
            Stop::NetworkAcl { direction, acl, subnet, rule, peer, .. } => {
                let at = self.owner(|it| it.network_acls.iter().any(|it| it.id == *acl)).unwrap_or(to);
                let mend = self.allow_in_acl(at, *direction, acl, *rule, self.block_of(from, to, *peer));
                let subnet = self.resource("subnet", subnet, at);
                Mending { resources: vec![self.resource("network-acl", acl, at), subnet], mend }
            }
            Stop::LoadBalancerNotActive { load_balancer: arn }
            | Stop::NoListener { load_balancer: arn, .. }
            | Stop::NoTargets { load_balancer: arn, .. }
            | Stop::NoTargetsInZone { load_balancer: arn, .. }
            | Stop::Hairpin { load_balancer: arn, .. } => {
                let at = self.owner(|it| it.load_balancers.iter().any(|it| it.arn == *arn)).unwrap_or(to);
                Mending { resources: vec![self.resource("load-balancer", arn, at)], mend: self.balance(stop, arn, at) }
            }
            Stop::NoSourceInterface { vpc, address }
            | Stop::NoDestinationInterface { vpc, address }
            | Stop::ResolverOfOtherVpc { vpc, address } => {
                let at = self.of_vpc(vpc).unwrap_or(to);
                let mend = Mend::by([format!(
                    "aws ec2 describe-network-interfaces --region {} --filters Name=vpc-id,Values={vpc} \
                     Name=addresses.private-ip-address,Values={address}",
                    self.view.region(at)
                )])
                .and(format!("find out what {address} was; a pod that has it is to be made again"));
                Mending { resources: vec![self.resource("vpc", vpc, at)], mend }
            }
            Stop::UnknownResource { id, .. } => Mending {
                resources: vec![Resource { kind: "unknown", id: id.clone(), cluster: None }],
                mend: Mend::only("observe again"),
            },
        }
    }

    fn balance(&self, stop: &Stop, arn: &str, at: ClusterIndex) -> Mend {
        let region = self.view.region(at);
        match stop {
            Stop::LoadBalancerNotActive { .. } => Mend::by([format!(
                "aws elbv2 wait load-balancer-available --region {region} --load-balancer-arns {arn}"
            )]),
            Stop::NoTargets { .. } => {
                let nodes = self.view.kubernetes(at).map(|it| it.nodes.as_slice()).unwrap_or_default();
                let ids: Vec<String> =
                    nodes.iter().filter_map(|node| Some(format!("Id={}", node.instance.as_ref()?))).collect();
                Mend::by([format!(
                    "aws elbv2 register-targets --region {region} --target-group-arn $(aws elbv2 describe-target-groups \
                     --region {region} --load-balancer-arn {arn} --query 'TargetGroups[0].TargetGroupArn' --output text) \
                     --targets {}",
                    ids.join(" ")
                )])
            }
            // Its Service says so already; the controller looks at it again only when it changes.
            Stop::NoTargetsInZone { .. } => Mend::by([format!(
                "aws elbv2 modify-load-balancer-attributes --region {region} --load-balancer-arn {arn} --attributes \
                 Key=load_balancing.cross_zone.enabled,Value=true"
            )]),
            Stop::NoListener { packet: Selector::Tcp { port }, .. } => Mend::by([format!(
                "aws elbv2 modify-listener --region {region} --listener-arn $(aws elbv2 describe-listeners --region {region} \
                 --load-balancer-arn {arn} --query 'Listeners[0].ListenerArn' --output text) --port {port} --protocol TCP"
            )]),
            Stop::Hairpin { .. } => {
                Mend::only("a node cannot reach itself through its own load balancer: ask from another")
            }
            _ => self.apply_dns_service(at),
        }
    }

    /// The cluster with a network interface.
    fn of_interface(&self, id: &str) -> Option<ClusterIndex> {
        self.owner(|it| it.interfaces.iter().any(|interface| interface.id == id))
    }

    /// The block of whichever cluster has an address on the way between two; the address alone when neither has.
    fn block_of(&self, from: ClusterIndex, to: ClusterIndex, address: Ipv4Addr) -> Ipv4Net {
        let blocks = [from, to].map(|index| self.block_with(index, address));
        blocks.into_iter().find(|block| block.contains(&address)).unwrap_or_else(|| Ipv4Net::from(address))
    }

    /// Of the groups that an interface carries, the one that the document opens, else the first.
    fn group_to_open(&self, at: ClusterIndex, carried: &[String]) -> String {
        let documented = |id: &&String| self.view.security_group(at, id).is_ok_and(is_shared);
        carried.iter().find(documented).or(carried.first()).cloned().unwrap_or_default()
    }

    /// Tells of a group that has a rule for the packet and is not carried by the interface.
    fn unattached(&self, interface: &str, carried: &[String], stop: &Stop) -> String {
        let Stop::SecurityGroupRules { direction, packet, peer, .. } = stop else { return String::new() };
        let groups = self.of_interface(interface).and_then(|at| self.view.cluster(at).ok());
        let fabric = self.fabric.fabric();
        let allows = |group: &&SecurityGroup| {
            let rules = fabric.security_groups.get(&group.id).map(|group| match direction {
                Direction::Ingress => &group.ingress,
                Direction::Egress => &group.egress,
            });
            rules.into_iter().flatten().any(|rule| {
                let has = matches!(rule.peer, acrossk8s_vpc::RulePeer::Cidr(block) if block.contains(peer));
                has && packet.matches(rule.protocol, rule.ports)
            })
        };
        let mut others = groups.into_iter().flat_map(|it| &it.security_groups).filter(|it| !carried.contains(&it.id));
        match others.find(allows) {
            Some(group) if *direction == Direction::Ingress => {
                format!("; {} ({}) has such a rule, and {interface} does not carry it", group.id, group.group_name)
            }
            _ => String::new(),
        }
    }
}

pub(super) fn pcx(id: &str) -> Resource {
    Resource { kind: "vpc-peering-connection", id: id.to_owned(), cluster: None }
}

/// Whether a group is the one that the document's step 2 names.
fn is_shared(group: &SecurityGroup) -> bool {
    group.name.iter().chain([&group.group_name]).any(|name| name.contains("ClusterSharedNodeSecurityGroup"))
}
