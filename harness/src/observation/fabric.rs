//! What was seen of AWS, as the rules of `acrossk8s-vpc` read it.

use acrossk8s_vpc as vpc;
use acrossk8s_vpc::{RouteTarget, RuleProtocol};

use super::{ClusterObservation, Interface, Listener, LoadBalancer, Observation, Route, Rule, SecurityGroup, Target};
use crate::topology::Topology;

/// What an id begins with that stands for something the observation does not hold.
pub const UNREAD: &str = "unread:";

/// The networks of every cluster as one fabric.
///
/// What the observation lacks is not replaced by a default: a subnet whose network ACL was not seen refers to an id that
/// begins with [`UNREAD`] and does not exist, so that a trace ends there rather than pass it.
pub fn fabric(topology: &Topology, observation: &Observation) -> vpc::Fabric {
    let mut fabric = vpc::Fabric::default();
    for (wanted, seen) in topology.clusters.iter().zip(&observation.clusters) {
        add(&mut fabric, &wanted.region, seen);
    }
    fabric.peerings = observation
        .peerings
        .iter()
        .map(|it| {
            let (requester, accepter) = (it.requester_vpc.clone(), it.accepter_vpc.clone());
            (it.id.clone(), vpc::Peering { requester, accepter, state: it.state })
        })
        .collect();
    fabric
}

fn add(fabric: &mut vpc::Fabric, region: &str, seen: &ClusterObservation) {
    let Some(own) = &seen.vpc else { return };
    let main = seen.route_tables.iter().find(|table| table.main);
    fabric.vpcs.insert(
        own.id.clone(),
        vpc::Vpc {
            region: region.to_owned(),
            cidr_blocks: own.cidr_blocks.clone(),
            main_route_table: main.map_or_else(|| format!("{UNREAD}main route table"), |table| table.id.clone()),
        },
    );
    fabric.subnets.extend(seen.subnets.iter().map(|subnet| {
        let table = seen.route_tables.iter().find(|table| table.subnets.contains(&subnet.id));
        let acl = seen.network_acls.iter().find(|acl| acl.subnets.contains(&subnet.id));
        // Every subnet has a network ACL, the VPC's default one at least.
        let acl = acl.map_or_else(|| format!("{UNREAD}network ACL"), |acl| acl.id.clone());
        let subnet_seen = vpc::Subnet {
            vpc: own.id.clone(),
            cidr_block: subnet.cidr_block,
            availability_zone: subnet.availability_zone.clone(),
            route_table: table.map(|table| table.id.clone()),
            network_acl: Some(acl),
        };
        (subnet.id.clone(), subnet_seen)
    }));
    fabric.route_tables.extend(seen.route_tables.iter().map(|table| {
        let routes = table.routes.iter().map(route).collect();
        (table.id.clone(), vpc::RouteTable { vpc: own.id.clone(), routes })
    }));
    fabric.security_groups.extend(seen.security_groups.iter().map(|it| (it.id.clone(), group(&own.id, it))));
    fabric.network_acls.extend(
        seen.network_acls
            .iter()
            .map(|acl| (acl.id.clone(), vpc::NetworkAcl { vpc: own.id.clone(), entries: acl.entries.clone() })),
    );
    fabric.interfaces.extend(seen.interfaces.iter().map(|it| (it.id.clone(), interface(it))));
    let network = seen.load_balancers.iter().filter(|it| it.kind == "network");
    fabric.load_balancers.extend(network.map(|it| (it.arn.clone(), load_balancer(&own.id, seen, it))));
}

fn route(route: &Route) -> vpc::Route {
    let id = route.target.clone();
    let target = match id.split('-').next() {
        Some("local") => RouteTarget::Local,
        Some("pcx") => RouteTarget::Peering(id),
        Some("igw") => RouteTarget::InternetGateway(id),
        Some("nat") => RouteTarget::NatGateway(id),
        _ => RouteTarget::Other(id),
    };
    vpc::Route { destination: route.destination, target }
}

fn group(own: &str, group: &SecurityGroup) -> vpc::SecurityGroup {
    let rules = |rules: &[Rule]| rules.iter().filter_map(rule).collect();
    vpc::SecurityGroup { vpc: own.to_owned(), ingress: rules(&group.ingress), egress: rules(&group.egress) }
}

/// A rule; none for protocols that carry no part of the procedure.
fn rule(rule: &Rule) -> Option<vpc::Rule> {
    let protocol = match rule.protocol.as_str() {
        "-1" => RuleProtocol::All,
        "tcp" | "6" => RuleProtocol::Tcp,
        "udp" | "17" => RuleProtocol::Udp,
        "icmp" | "1" => RuleProtocol::Icmp,
        _ => return None,
    };
    let every_port = rule.from_port == -1 && protocol != RuleProtocol::Icmp;
    let ports = if every_port { (0, 65535) } else { (rule.from_port, rule.to_port) };
    Some(vpc::Rule { protocol, ports, peer: rule.peer.clone() })
}

fn interface(interface: &Interface) -> vpc::Interface {
    vpc::Interface {
        subnet: interface.subnet.clone(),
        addresses: interface.addresses.clone(),
        security_groups: interface.security_groups.clone(),
        description: interface.description.clone(),
        instance: interface.instance.clone(),
    }
}

fn load_balancer(own: &str, seen: &ClusterObservation, it: &LoadBalancer) -> vpc::LoadBalancer {
    let prefix = format!("ELB net/{}/", it.name);
    let interfaces = seen.interfaces.iter().filter(|interface| interface.description.starts_with(&prefix));
    // The rules know of TCP listeners only: what arrives over UDP finds none.
    let tcp = it.listeners.iter().filter(|listener| listener.protocol.starts_with("TCP"));
    vpc::LoadBalancer {
        name: it.name.clone(),
        vpc: own.to_owned(),
        active: it.state == "active",
        interfaces: interfaces.map(|interface| interface.id.clone()).collect(),
        cross_zone: it.cross_zone,
        listeners: tcp.map(|listener| listener_of(seen, listener)).collect(),
    }
}

fn listener_of(seen: &ClusterObservation, listener: &Listener) -> vpc::Listener {
    vpc::Listener {
        port: listener.port,
        // Not read; the default for instance targets. Source: Network Load Balancer guide, "Client IP preservation".
        preserve_client_ip: listener.targets.iter().all(|target| target.id.starts_with("i-")),
        targets: listener.targets.iter().filter_map(|it| target(seen, it)).collect(),
    }
}

fn target(seen: &ClusterObservation, target: &Target) -> Option<vpc::LoadBalancerTarget> {
    let of_instance = |it: &&Interface| it.instance.as_deref() == Some(&target.id);
    let nodes = seen.kubernetes.iter().flat_map(|kubernetes| &kubernetes.nodes);
    let node = nodes.into_iter().find(|node| node.instance.as_deref() == Some(&target.id));
    // An instance has several interfaces when it has many pods; the first one's is the node's own address.
    let primary = |it: &&Interface| node.is_none_or(|node| it.addresses.contains(&node.address));
    let interface = seen
        .interfaces
        .iter()
        .find(|it| of_instance(it) && primary(it))
        .or_else(|| seen.interfaces.iter().find(of_instance));
    let by_address = target.id.parse().ok().and_then(|address| {
        let interface = seen.interfaces.iter().find(|it| it.addresses.contains(&address))?;
        Some((address, interface))
    });
    let (address, interface) = match interface {
        Some(interface) => (*interface.addresses.first()?, interface),
        None => by_address?,
    };
    let subnet = seen.subnets.iter().find(|subnet| subnet.id == interface.subnet)?;
    Some(vpc::LoadBalancerTarget {
        address,
        port: target.port,
        availability_zone: subnet.availability_zone.clone(),
        healthy: target.health == "healthy",
    })
}
