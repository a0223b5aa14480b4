//! The account's networks as the network's rules see them.

use std::collections::BTreeMap;

use acrossk8s_vpc as vpc;

use crate::aws::ec2::{Association, Peering, Route, SecurityGroupRule};
use crate::aws::{State, elbv2};
use crate::clock::{Latencies, SimTime};

/// The fabric at a time, and when time alone will change it.
pub fn fabric(state: &State, now: SimTime, latencies: &Latencies) -> (vpc::Fabric, Option<SimTime>) {
    let ec2 = &state.ec2;
    let peering_changes = ec2.peerings.values().filter_map(|peering| peering.next_change(now, latencies));
    let balancers = state.elbv2.load_balancers.values();
    let balancer_changes =
        balancers.map(|balancer| balancer.created + latencies.load_balancer_provision).filter(|at| *at > now);
    // Interfaces of a deleted load balancer go later than it.
    let releases = state.elbv2.released.iter().map(|(at, _)| *at).filter(|at| *at > now);
    let until = peering_changes.chain(balancer_changes).chain(releases).min();
    let mut route_table_of = BTreeMap::new();
    let mut main_of = BTreeMap::new();
    for (id, table) in &ec2.route_tables {
        for association in table.associations.values() {
            match association {
                Association::Main => main_of.insert(table.vpc.as_str(), id),
                Association::Subnet(subnet) => route_table_of.insert(subnet.as_str(), id),
            };
        }
    }
    let acl_of: BTreeMap<&str, &String> = ec2
        .network_acls
        .iter()
        .flat_map(|(id, acl)| acl.associations.values().map(move |subnet| (subnet.as_str(), id)))
        .collect();
    let fabric = vpc::Fabric {
        vpcs: map(&ec2.vpcs, |id, record| vpc::Vpc {
            region: record.region.clone(),
            cidr_blocks: vec![record.cidr_block],
            main_route_table: main_of.get(id).map(|id| (*id).clone()).unwrap_or_default(),
        }),
        subnets: map(&ec2.subnets, |id, subnet| vpc::Subnet {
            vpc: subnet.vpc.clone(),
            cidr_block: subnet.cidr_block,
            availability_zone: subnet.availability_zone.clone(),
            route_table: route_table_of.get(id).map(|id| (*id).clone()),
            network_acl: acl_of.get(id).map(|id| (*id).clone()),
        }),
        route_tables: map(&ec2.route_tables, |_, table| vpc::RouteTable {
            vpc: table.vpc.clone(),
            routes: table
                .routes
                .iter()
                .map(|(to, route)| vpc::Route { destination: *to, target: target(route) })
                .collect(),
        }),
        peerings: map(&ec2.peerings, |_, peering: &Peering| vpc::Peering {
            requester: peering.requester.clone(),
            accepter: peering.accepter.clone(),
            state: peering.state(now, latencies),
        }),
        security_groups: map(&ec2.security_groups, |_, group| vpc::SecurityGroup {
            vpc: group.vpc.clone(),
            ingress: group.rules.values().filter(|rule| !rule.egress).filter_map(rule).collect(),
            egress: group.rules.values().filter(|rule| rule.egress).filter_map(rule).collect(),
        }),
        network_acls: map(&ec2.network_acls, |_, acl| vpc::NetworkAcl {
            vpc: acl.vpc.clone(),
            entries: acl.entries.clone(),
        }),
        interfaces: map(&ec2.interfaces, |_, interface| vpc::Interface {
            subnet: interface.subnet.clone(),
            addresses: interface.addresses.clone(),
            security_groups: interface.groups.clone(),
            description: interface.description.clone(),
            instance: interface.instance.clone(),
        }),
        load_balancers: elbv2::fabric(state, now, latencies),
    };
    (fabric, until)
}

fn map<A, B>(records: &BTreeMap<String, A>, convert: impl Fn(&str, &A) -> B) -> BTreeMap<String, B> {
    records.iter().map(|(id, record)| (id.clone(), convert(id, record))).collect()
}

fn target(route: &Route) -> vpc::RouteTarget {
    let id = route.target.clone();
    match id.split('-').next() {
        Some("local") => vpc::RouteTarget::Local,
        Some("pcx") => vpc::RouteTarget::Peering(id),
        Some("igw") => vpc::RouteTarget::InternetGateway(id),
        Some("nat") => vpc::RouteTarget::NatGateway(id),
        _ => vpc::RouteTarget::Other(id),
    }
}

/// A rule as the network's rules see it; none for protocols that carry nothing here.
fn rule(rule: &SecurityGroupRule) -> Option<vpc::Rule> {
    let protocol = match rule.protocol.as_str() {
        "-1" => vpc::RuleProtocol::All,
        "tcp" => vpc::RuleProtocol::Tcp,
        "udp" => vpc::RuleProtocol::Udp,
        "icmp" => vpc::RuleProtocol::Icmp,
        _ => return None,
    };
    Some(vpc::Rule { protocol, ports: (rule.from_port, rule.to_port), peer: rule.peer.clone() })
}
