//! What lets a round trip pass, and what stops it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use acrossk8s_vpc::*;
use common::*;
use rstest::rstest;

#[test]
fn the_path_names_every_step_in_order() {
    let trace = trace(&fabric(), &across());
    assert_eq!(verdict(&trace), "ok");
    insta::assert_snapshot!(path(&trace), @"
    -> interface eni-1a (10.1.96.10) in vpc-1
    -> outbound rule of sg-1 on eni-1a
    -> default network ACL of subnet-1a
    -> route 10.2.0.0/16 to pcx-12 in rtb-1a
    -> peering connection pcx-12 from vpc-1 to vpc-2
    -> default network ACL of subnet-2b
    -> inbound rule of sg-2 on eni-2b
    -> interface eni-2b (10.2.128.10) in vpc-2
    <- default network ACL of subnet-2b
    <- route 10.1.0.0/16 to pcx-12 in rtb-2b
    <- peering connection pcx-12 from vpc-2 to vpc-1
    <- default network ACL of subnet-1a
    <- interface eni-1a (10.1.96.10) in vpc-1
    ");
    let arrival = trace.arrival.unwrap();
    assert_eq!((arrival.vpc.as_str(), arrival.address, arrival.port), ("vpc-2", ip("10.2.128.10"), 80));
    assert_eq!((arrival.source, arrival.load_balancer), (ip("10.1.96.10"), None));
}

#[rstest]
#[case::route_missing_there(|f: &mut Fabric| { routes(f, "rtb-1a").pop(); },
    "NO_ROUTE_TO_DESTINATION: the packet to 10.2.128.10 leaves subnet-1a for nat-1, as the best route of rtb-1a is \
     0.0.0.0/0; add a route to the VPC peering connection that leads to 10.2.128.10")]
#[case::route_missing_back(|f: &mut Fabric| { routes(f, "rtb-2b").pop(); },
    "NO_ROUTE_TO_DESTINATION: the answer to 10.1.96.10 leaves subnet-2b for nat-2, as the best route of rtb-2b is \
     0.0.0.0/0; add a route to the VPC peering connection that leads to 10.1.96.10")]
#[case::no_route_at_all(|f: &mut Fabric| routes(f, "rtb-1a").truncate(1),
    "NO_ROUTE_TO_DESTINATION: the packet to 10.2.128.10 stops in subnet-1a: its route table rtb-1a has no route to that \
     address; add one")]
#[case::route_only_in_the_main_table(|f: &mut Fabric| {
        let route = routes(f, "rtb-1a").pop().unwrap();
        routes(f, "rtb-1-main").push(route);
    },
    "NO_ROUTE_TO_DESTINATION: the packet to 10.2.128.10 leaves subnet-1a for nat-1, as the best route of rtb-1a is \
     0.0.0.0/0; add a route to the VPC peering connection that leads to 10.2.128.10")]
#[case::peering_pending(|f: &mut Fabric| f.peerings.get_mut("pcx-12").unwrap().state = PeeringState::PendingAcceptance,
    "BAD_STATE_ROUTE: the packet to 10.2.128.10 is dropped in subnet-1a: the route 10.2.0.0/16 of rtb-1a is a blackhole, \
     as pcx-12 is pending-acceptance; accept it in the accepter's region")]
#[case::peering_failed(|f: &mut Fabric| f.peerings.get_mut("pcx-12").unwrap().state = PeeringState::Failed,
    "BAD_STATE_ROUTE: the packet to 10.2.128.10 is dropped in subnet-1a: the route 10.2.0.0/16 of rtb-1a is a blackhole, \
     as pcx-12 is failed; create a new one and point the route to it")]
#[case::peering_gone(|f: &mut Fabric| f.peerings.clear(),
    "BAD_STATE_ROUTE: the packet to 10.2.128.10 is dropped in subnet-1a: the route 10.2.0.0/16 of rtb-1a is a blackhole, \
     as pcx-12 does not exist or does not join this VPC; point the route to one that does")]
#[case::wrong_peering(|f: &mut Fabric| {
        f.vpcs.insert("vpc-3".into(), Vpc {
            region: "eu-west-1".into(), cidr_blocks: vec!["10.3.0.0/16".parse().unwrap()], main_route_table: "rtb-3".into(),
        });
        let state = PeeringState::Active;
        f.peerings.insert("pcx-13".into(), Peering { requester: "vpc-3".into(), accepter: "vpc-1".into(), state });
        routes(f, "rtb-1a")[2].target = RouteTarget::Peering("pcx-13".into());
    },
    "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR: the packet to 10.2.128.10 is dropped by pcx-13: the route 10.2.0.0/16 of rtb-1a \
     points to it, but vpc-3 on its other side does not have that address; point the route to the peering connection \
     with the VPC that does")]
#[case::more_specific_route(|f: &mut Fabric| routes(f, "rtb-1a").push(route("10.2.128.0/24", RouteTarget::Other("tgw-1".into()))),
    "NO_ROUTE_TO_DESTINATION: the packet to 10.2.128.10 leaves subnet-1a for tgw-1, as the best route of rtb-1a is \
     10.2.128.0/24; add a route to the VPC peering connection that leads to 10.2.128.10")]
#[case::ingress_rule_missing(|f: &mut Fabric| { f.security_groups.get_mut("sg-2").unwrap().ingress.remove(1); },
    "ENI_SG_RULES_MISMATCH: no inbound rule of sg-2, carried by eni-2b, allows tcp port 80 from 10.1.96.10; add one")]
#[case::egress_rule_missing(|f: &mut Fabric| f.security_groups.get_mut("sg-1").unwrap().egress.clear(),
    "ENI_SG_RULES_MISMATCH: no outbound rule of sg-1, carried by eni-1a, allows tcp port 80 to 10.2.128.10; add one")]
#[case::rules_on_a_group_that_no_interface_carries(|f: &mut Fabric| {
        let shared = f.security_groups["sg-2"].clone();
        f.security_groups.insert("sg-shared".into(), shared);
        f.security_groups.get_mut("sg-2").unwrap().ingress.remove(1);
    },
    "ENI_SG_RULES_MISMATCH: no inbound rule of sg-2, carried by eni-2b, allows tcp port 80 from 10.1.96.10; add one")]
#[case::reference_over_regions(|f: &mut Fabric| f.security_groups.get_mut("sg-2").unwrap().ingress[1] = allow_group("sg-1"),
    "SG_REFERENCES_NOT_PRESERVED: sg-2, carried by eni-2b, allows tcp port 80 only from sg-1: such a reference does not \
     reach over a peering connection between regions, nor through a load balancer; allow a CIDR block that contains \
     10.1.96.10")]
#[case::acl_denies_by_default(|f: &mut Fabric| put_acl(f, "subnet-2b", vec![]),
    "SUBNET_ACL_RESTRICTION: acl-1 of subnet-2b does not let the packet pass: its inbound rules deny tcp port 80 from \
     10.1.96.10 (no rule matches); network ACLs are stateless, so allow it in this direction too")]
#[case::acl_denies_the_answer(|f: &mut Fabric| put_acl(f, "subnet-2b", vec![entry(100, false, true, (80, 80), ANY)]),
    "SUBNET_ACL_RESTRICTION: acl-1 of subnet-2b does not let the answer pass: its outbound rules deny tcp port 32768 to \
     10.1.96.10 (no rule matches); network ACLs are stateless, so allow it in this direction too")]
#[case::acl_denies_the_answer_in(|f: &mut Fabric| put_acl(f, "subnet-1a", vec![
        entry(90, false, false, (1024, 65535), "10.2.0.0/16"),
        entry(100, false, true, (0, 65535), ANY),
        entry(100, true, true, (0, 65535), ANY),
    ]),
    "SUBNET_ACL_RESTRICTION: acl-1 of subnet-1a does not let the answer pass: its inbound rules deny tcp port 32768 from \
     10.2.128.10 (rule 90); network ACLs are stateless, so allow it in this direction too")]
#[case::nobody_there(|f: &mut Fabric| f.interfaces.get_mut("eni-2b").unwrap().addresses.clear(),
    "NO_POSSIBLE_DESTINATION: no network interface of vpc-2 has the address 10.2.128.10: nothing there receives the \
     packet")]
#[case::nobody_here(|f: &mut Fabric| f.interfaces.get_mut("eni-1a").unwrap().addresses.clear(),
    "NO_SOURCE_OR_DESTINATION: no network interface of vpc-1 has the source address 10.1.96.10: packets with it are \
     dropped")]
#[case::dangling_route_table(|f: &mut Fabric| { f.route_tables.remove("rtb-1a"); },
    "UNKNOWN_RESOURCE: subnet-1a refers to rtb-1a, which does not exist")]
#[case::overlap(|f: &mut Fabric| {
        f.vpcs.get_mut("vpc-2").unwrap().cidr_blocks.push("10.1.0.0/16".parse().unwrap());
        routes(f, "rtb-2b")[2].target = RouteTarget::Local;
    },
    "CANNOT_ROUTE: the answer to 10.1.96.10 is routed to vpc-2 rather than vpc-1 by the route 10.1.0.0/16 of rtb-2b: the \
     CIDR blocks of the two VPCs overlap")]
fn what_stops_a_packet(#[case] change: impl FnOnce(&mut Fabric), #[case] expected: &str) {
    let mut fabric = fabric();
    change(&mut fabric);
    assert_eq!(verdict(&trace(&fabric, &across())), expected);
}

#[rstest]
#[case::acl_with_ephemeral_ports(|f: &mut Fabric| put_acl(f, "subnet-2b", vec![
    entry(100, false, true, (80, 80), ANY),
    entry(100, true, true, (1024, 65535), ANY),
]))]
#[case::route_missing_in_other_tables(|f: &mut Fabric| { routes(f, "rtb-1b").pop(); routes(f, "rtb-2a").pop(); })]
#[case::no_egress_rule_for_the_answer(|f: &mut Fabric| f.security_groups.get_mut("sg-2").unwrap().egress.clear())]
#[case::no_ingress_rule_for_the_answer(|f: &mut Fabric| f.security_groups.get_mut("sg-1").unwrap().ingress.clear())]
#[case::main_table_where_none_is_associated(|f: &mut Fabric| {
    let routes = f.route_tables["rtb-1a"].routes.clone();
    f.route_tables.get_mut("rtb-1-main").unwrap().routes = routes;
    f.subnets.get_mut("subnet-1a").unwrap().route_table = None;
})]
#[case::reference_within_a_region(|f: &mut Fabric| {
    f.vpcs.get_mut("vpc-2").unwrap().region = "us-west-2".into();
    f.security_groups.get_mut("sg-2").unwrap().ingress = vec![allow_group("sg-1")];
})]
fn what_does_not_stop_a_packet(#[case] change: impl FnOnce(&mut Fabric)) {
    let mut fabric = fabric();
    change(&mut fabric);
    assert_eq!(verdict(&trace(&fabric, &across())), "ok");
}

/// Each flow with the hops it needs at most.
#[rstest]
#[case::within_an_instance("10.1.96.10", "10.1.96.11", "i-1a")]
#[case::within_an_instance_over_two_interfaces("10.1.96.10", "10.1.128.99", "i-1a")]
fn nothing_is_held_against_traffic_within_an_instance(#[case] from: &str, #[case] to: &str, #[case] instance: &str) {
    let mut fabric = fabric();
    let second = Interface {
        addresses: vec![ip("10.1.128.99")],
        subnet: "subnet-1b".into(),
        ..fabric.interfaces["eni-1a"].clone()
    };
    fabric.interfaces.insert("eni-1a-second".into(), second);
    fabric.security_groups.clear();
    put_acl(&mut fabric, "subnet-1a", vec![]);
    let trace = trace(&fabric, &tcp("vpc-1", from, to, 80));
    assert_eq!(verdict(&trace), "ok");
    assert!(path(&trace).ends_with(&format!("-> within {instance}\n")), "{}", path(&trace));
    assert_eq!(trace.arrival.unwrap().address, ip(to));
}

#[rstest]
#[case::same_subnet("10.1.96.30", "ok")]
#[case::other_subnet("10.1.128.10", "SUBNET_ACL_RESTRICTION")]
fn network_acls_guard_the_border_of_a_subnet_only(#[case] to: &str, #[case] expected: &str) {
    let mut fabric = fabric();
    put_acl(&mut fabric, "subnet-1a", vec![]);
    routes(&mut fabric, "rtb-1a").truncate(1);
    assert_eq!(code(&trace(&fabric, &tcp("vpc-1", "10.1.96.10", to, 80))), expected);
}

#[test]
fn security_groups_do_guard_within_a_subnet() {
    let mut fabric = fabric();
    fabric.security_groups.get_mut("sg-1").unwrap().ingress.clear();
    let trace = trace(&fabric, &tcp("vpc-1", "10.1.96.10", "10.1.96.30", 80));
    assert_eq!(code(&trace), "ENI_SG_RULES_MISMATCH");
}

#[rstest]
#[case::own("vpc-1", "10.1.96.10", "10.1.0.2", "ok")]
#[case::own_link_local("vpc-1", "10.1.96.10", "169.254.169.253", "ok")]
#[case::the_peers("vpc-1", "10.1.96.10", "10.2.0.2", "NO_POSSIBLE_DESTINATION")]
fn the_resolver_answers_within_its_vpc_unfiltered(
    #[case] vpc: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    let mut fabric = fabric();
    if expected == "ok" {
        fabric.security_groups.clear();
        fabric.route_tables.clear();
        put_acl(&mut fabric, "subnet-1a", vec![]);
    }
    let flow = Flow::new(vpc, Protocol::Udp, ip(from), ip(to), 53);
    assert_eq!(code(&trace(&fabric, &flow)), expected, "{}", verdict(&trace(&fabric, &flow)));
}

#[test]
fn peering_is_not_transitive() {
    let mut fabric = fabric();
    let mut third = fabric.vpcs["vpc-2"].clone();
    third.cidr_blocks = vec!["10.3.0.0/16".parse().unwrap()];
    fabric.vpcs.insert("vpc-3".into(), third);
    let state = PeeringState::Active;
    fabric.peerings.insert("pcx-23".into(), Peering { requester: "vpc-2".into(), accepter: "vpc-3".into(), state });
    routes(&mut fabric, "rtb-1a").push(route("10.3.0.0/16", RouteTarget::Peering("pcx-12".into())));
    for table in ["rtb-2a", "rtb-2b", "rtb-2-main"] {
        routes(&mut fabric, table).push(route("10.3.0.0/16", RouteTarget::Peering("pcx-23".into())));
    }
    let trace = trace(&fabric, &tcp("vpc-1", "10.1.96.10", "10.3.0.9", 80));
    assert_eq!(code(&trace), "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR");
}

#[test]
fn addresses_are_looked_up_in_their_own_vpc() {
    let mut fabric = fabric();
    // A third VPC with the first one's block, and an interface with the client's address.
    fabric.vpcs.insert("vpc-twin".into(), fabric.vpcs["vpc-1"].clone());
    let twin = Subnet { vpc: "vpc-twin".into(), ..fabric.subnets["subnet-1a"].clone() };
    fabric.subnets.insert("subnet-0-twin".into(), twin);
    let mut interface = fabric.interfaces["eni-1a"].clone();
    interface.subnet = "subnet-0-twin".into();
    fabric.interfaces.insert("eni-0-twin".into(), interface);
    let prepared = Prepared::new(fabric.into());
    assert_eq!(prepared.interface("vpc-1", ip("10.1.96.10")).unwrap().0, "eni-1a");
    assert_eq!(prepared.interface("vpc-twin", ip("10.1.96.10")).unwrap().0, "eni-0-twin");
    assert_eq!(code(&prepared.trace(&across())), "ok");
}

#[test]
fn a_request_arrives_even_when_its_answer_does_not() {
    let mut fabric = fabric();
    routes(&mut fabric, "rtb-2b").pop();
    let trace = trace(&fabric, &across());
    assert_eq!(trace.outcome.as_ref().unwrap_err().way(), Way::Return);
    assert_eq!(trace.arrival.unwrap().address, ip("10.2.128.10"));
    routes(&mut fabric, "rtb-1a").pop();
    let trace = acrossk8s_vpc::trace(&fabric, &across());
    assert_eq!(trace.outcome.unwrap_err().way(), Way::Forward);
    assert_eq!(trace.arrival, None);
}

#[test]
fn icmp_is_an_echo_and_its_reply() {
    let mut fabric = fabric();
    let echo_only = allow(RuleProtocol::Icmp, (8, -1), "10.1.0.0/16");
    fabric.security_groups.get_mut("sg-2").unwrap().ingress = vec![echo_only];
    let flow = Flow { protocol: Protocol::Icmp, ..across() };
    assert_eq!(verdict(&trace(&fabric, &flow)), "ok");
    assert_eq!(code(&trace(&fabric, &across())), "ENI_SG_RULES_MISMATCH");
    let acl = |kind| AclEntry { protocol: RuleProtocol::Icmp, ..entry(100, true, true, (kind, -1), ANY) };
    let inbound = AclEntry { egress: false, ..acl(8) };
    put_acl(&mut fabric, "subnet-2b", vec![inbound.clone(), acl(8)]);
    assert_eq!(trace(&fabric, &flow).outcome.unwrap_err().way(), Way::Return);
    put_acl(&mut fabric, "subnet-2b", vec![inbound, acl(0)]);
    assert_eq!(verdict(&trace(&fabric, &flow)), "ok");
}

#[test]
fn a_trace_is_plain_data() {
    let mut fabric = fabric();
    let ok = trace_connection(&fabric, &to_load_balancer(40_000));
    put_acl(&mut fabric, "subnet-2b", vec![]);
    for trace in [ok, trace(&fabric, &across())] {
        let json = serde_json::to_string(&trace).unwrap();
        assert_eq!(serde_json::from_str::<Trace>(&json).unwrap(), trace, "{json}");
    }
    let json = serde_json::to_string(&fabric).unwrap();
    assert_eq!(serde_json::from_str::<Fabric>(&json).unwrap(), fabric);
}
