//! A small topology: two peered VPCs in two regions, each with two private subnets that have a table of their own, and
//! a node with a pod in each subnet; a load balancer in front of the nodes of the second VPC.
#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::Ipv4Addr;

use acrossk8s_vpc::*;

pub const ANY: &str = "0.0.0.0/0";
pub const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/net/dns/0123456789abcdef";

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn route(destination: &str, target: RouteTarget) -> Route {
    Route { destination: destination.parse().unwrap(), target }
}

pub fn allow(protocol: RuleProtocol, ports: (i32, i32), block: &str) -> Rule {
    Rule { protocol, ports, peer: RulePeer::Cidr(block.parse().unwrap()) }
}

pub fn allow_group(id: &str) -> Rule {
    Rule { protocol: RuleProtocol::All, ports: (-1, -1), peer: RulePeer::Group(id.into()) }
}

pub fn entry(number: u16, egress: bool, allow: bool, ports: (i32, i32), block: &str) -> AclEntry {
    AclEntry { number, egress, allow, protocol: RuleProtocol::Tcp, ports, cidr_block: block.parse().unwrap() }
}

/// An ACL on `subnet`.
pub fn put_acl(fabric: &mut Fabric, subnet: &str, entries: Vec<AclEntry>) {
    let subnet = fabric.subnets.get_mut(subnet).unwrap();
    fabric.network_acls.insert("acl-1".into(), NetworkAcl { vpc: subnet.vpc.clone(), entries });
    subnet.network_acl = Some("acl-1".into());
}

fn add_vpc(fabric: &mut Fabric, n: u8, region: &str, peer: u8) {
    let vpc = format!("vpc-{n}");
    let main_route_table = format!("rtb-{n}-main");
    let block = format!("10.{n}.0.0/16");
    let cidr_blocks = vec![block.parse().unwrap()];
    fabric
        .vpcs
        .insert(vpc.clone(), Vpc { region: region.into(), cidr_blocks, main_route_table: main_route_table.clone() });
    let local = route(&block, RouteTarget::Local);
    fabric.route_tables.insert(main_route_table, RouteTable { vpc: vpc.clone(), routes: vec![local.clone()] });
    let everything = allow(RuleProtocol::All, (-1, -1), ANY);
    let ingress =
        vec![allow_group(&format!("sg-{n}")), allow(RuleProtocol::All, (-1, -1), &format!("10.{peer}.0.0/16"))];
    let group = SecurityGroup { vpc: vpc.clone(), ingress, egress: vec![everything] };
    fabric.security_groups.insert(format!("sg-{n}"), group);
    for (zone, third) in [("a", 96), ("b", 128)] {
        let (subnet, table) = (format!("subnet-{n}{zone}"), format!("rtb-{n}{zone}"));
        let routes = vec![
            local.clone(),
            route(ANY, RouteTarget::NatGateway(format!("nat-{n}"))),
            route(&format!("10.{peer}.0.0/16"), RouteTarget::Peering("pcx-12".into())),
        ];
        fabric.route_tables.insert(table.clone(), RouteTable { vpc: vpc.clone(), routes });
        fabric.subnets.insert(
            subnet.clone(),
            Subnet {
                vpc: vpc.clone(),
                cidr_block: format!("10.{n}.{third}.0/19").parse().unwrap(),
                availability_zone: format!("{region}{zone}"),
                route_table: Some(table),
                network_acl: None,
            },
        );
        for (name, last) in [("", 10), ("-other", 30)] {
            fabric.interfaces.insert(
                format!("eni-{n}{zone}{name}"),
                Interface {
                    subnet: subnet.clone(),
                    addresses: vec![[10, n, third, last].into(), [10, n, third, last + 1].into()],
                    security_groups: vec![format!("sg-{n}")],
                    description: String::new(),
                    instance: Some(format!("i-{n}{zone}{name}")),
                },
            );
        }
    }
}

/// Nodes of VPC n: `10.n.96.10` (a) and `10.n.128.10` (b), others `.30`; the pod on each has the next address.
pub fn fabric() -> Fabric {
    let mut fabric = Fabric::default();
    add_vpc(&mut fabric, 1, "us-west-2", 2);
    add_vpc(&mut fabric, 2, "us-east-1", 1);
    fabric.peerings.insert(
        "pcx-12".into(),
        Peering { requester: "vpc-1".into(), accepter: "vpc-2".into(), state: PeeringState::Active },
    );
    for (zone, third) in [("a", 96), ("b", 128)] {
        fabric.interfaces.insert(
            format!("eni-nlb-{zone}"),
            Interface {
                subnet: format!("subnet-2{zone}"),
                addresses: vec![[10, 2, third, 200].into()],
                security_groups: vec![],
                description: "ELB net/dns/0123456789abcdef".into(),
                instance: None,
            },
        );
    }
    // What the service controller adds on nodes: the node port, from everywhere.
    let node_port = allow(RuleProtocol::Tcp, (30053, 30053), ANY);
    fabric.security_groups.get_mut("sg-2").unwrap().ingress.push(node_port);
    let target = |address: &str, zone: &str| LoadBalancerTarget {
        address: ip(address),
        port: 30053,
        availability_zone: format!("us-east-1{zone}"),
        healthy: true,
    };
    fabric.load_balancers.insert(
        ARN.into(),
        LoadBalancer {
            name: "dns".into(),
            vpc: "vpc-2".into(),
            active: true,
            interfaces: vec!["eni-nlb-a".into(), "eni-nlb-b".into()],
            cross_zone: true,
            listeners: vec![Listener {
                port: 53,
                preserve_client_ip: true,
                targets: vec![target("10.2.96.10", "a"), target("10.2.128.10", "b")],
            }],
        },
    );
    fabric
}

pub fn load_balancer(fabric: &mut Fabric) -> &mut LoadBalancer {
    fabric.load_balancers.get_mut(ARN).unwrap()
}

pub fn listener(fabric: &mut Fabric) -> &mut Listener {
    load_balancer(fabric).listeners.first_mut().unwrap()
}

pub fn routes<'f>(fabric: &'f mut Fabric, table: &str) -> &'f mut Vec<Route> {
    &mut fabric.route_tables.get_mut(table).unwrap().routes
}

pub fn tcp(vpc: &str, from: &str, to: &str, port: u16) -> Flow {
    Flow::new(vpc, Protocol::Tcp, ip(from), ip(to), port)
}

/// From the node in zone a of the first VPC to the node in zone b of the second.
pub fn across() -> Flow {
    tcp("vpc-1", "10.1.96.10", "10.2.128.10", 80)
}

pub fn to_load_balancer(source_port: u16) -> Flow {
    Flow { source_port, ..tcp("vpc-1", "10.1.96.10", "10.2.96.200", 53) }
}

/// `CODE: sentence` of what stops a flow, or `ok`.
pub fn verdict(trace: &Trace) -> String {
    match &trace.outcome {
        Ok(()) => "ok".into(),
        Err(stop) => format!("{}: {stop}", stop.code()),
    }
}

pub fn code(trace: &Trace) -> &'static str {
    trace.outcome.as_ref().map_or_else(Stop::code, |()| "ok")
}

pub fn path(trace: &Trace) -> String {
    trace.hops.iter().map(|hop| format!("{hop}\n")).collect()
}
