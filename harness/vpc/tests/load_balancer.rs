//! Connections through a Network Load Balancer.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;

use acrossk8s_vpc::*;
use common::*;
use rstest::rstest;

/// Ports whose flows, between them, get every target.
fn many() -> std::ops::Range<u16> {
    32_768..32_832
}

#[test]
fn the_path_leads_through_the_load_balancer_and_back() {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    let trace = trace_connection(&fabric, &to_load_balancer(40_000));
    assert_eq!(verdict(&trace), "ok");
    insta::assert_snapshot!(path(&trace).replace(ARN, "nlb"), @"
    -> interface eni-1a (10.1.96.10) in vpc-1
    -> outbound rule of sg-1 on eni-1a
    -> default network ACL of subnet-1a
    -> route 10.2.0.0/16 to pcx-12 in rtb-1a
    -> peering connection pcx-12 from vpc-1 to vpc-2
    -> default network ACL of subnet-2a
    -> no security groups on eni-nlb-a
    -> interface eni-nlb-a (10.2.96.200) in vpc-2
    -> port 53 of nlb to 10.2.128.10:30053, source 10.1.96.10
    -> no security groups on eni-nlb-a
    -> default network ACL of subnet-2a
    -> default network ACL of subnet-2b
    -> inbound rule of sg-2 on eni-2b
    -> interface eni-2b (10.2.128.10) in vpc-2
    <- default network ACL of subnet-2b
    <- route 10.1.0.0/16 to pcx-12 in rtb-2b
    <- peering connection pcx-12 from vpc-2 to vpc-1
    <- default network ACL of subnet-2a
    <- interface eni-nlb-a (10.2.96.200) in vpc-2
    <- default network ACL of subnet-2a
    <- route 10.1.0.0/16 to pcx-12 in rtb-2a
    <- peering connection pcx-12 from vpc-2 to vpc-1
    <- default network ACL of subnet-1a
    <- interface eni-1a (10.1.96.10) in vpc-1
    ");
    let arrival = trace.arrival.unwrap();
    assert_eq!((arrival.address, arrival.port), (ip("10.2.128.10"), 30053));
    assert_eq!((arrival.source, arrival.load_balancer.as_deref()), (ip("10.1.96.10"), Some(ARN)));
}

/// How often each target is chosen; `None` for flows that are stopped.
fn chosen(fabric: &Fabric) -> BTreeMap<String, usize> {
    let prepared = Prepared::new(fabric.clone().into());
    let mut counts = BTreeMap::new();
    for port in many() {
        let trace = prepared.trace_connection(&to_load_balancer(port));
        let target = trace.arrival.as_ref().map_or_else(|| code(&trace).to_owned(), |to| to.address.to_string());
        *counts.entry(target).or_default() += 1;
    }
    counts
}

#[rstest]
#[case::cross_zone(|_: &mut Fabric| {}, &["10.2.128.10", "10.2.96.10"])]
#[case::own_zone_only(|f: &mut Fabric| load_balancer(f).cross_zone = false, &["10.2.96.10"])]
#[case::healthy_only(|f: &mut Fabric| listener(f).targets[0].healthy = false, &["10.2.128.10"])]
#[case::fail_open(|f: &mut Fabric| listener(f).targets.iter_mut().for_each(|target| target.healthy = false),
    &["10.2.128.10", "10.2.96.10"])]
#[case::fail_open_in_the_zone(|f: &mut Fabric| { load_balancer(f).cross_zone = false; listener(f).targets[0].healthy = false; },
    &["10.2.96.10"])]
#[case::zone_not_enabled(|f: &mut Fabric| { load_balancer(f).interfaces.pop(); }, &["10.2.96.10"])]
#[case::none_in_the_zone(|f: &mut Fabric| { load_balancer(f).cross_zone = false; listener(f).targets.remove(0); },
    &["ELBV2_NO_TARGETS_IN_AZ"])]
#[case::none_at_all(|f: &mut Fabric| listener(f).targets.clear(), &["ELBV2_LISTENER_HAS_NO_TG"])]
#[case::not_active(|f: &mut Fabric| load_balancer(f).active = false, &["BAD_STATE"])]
#[case::no_listener(|f: &mut Fabric| load_balancer(f).listeners.clear(), &["ELBV2_LISTENERS_MISMATCH"])]
#[case::target_gone(|f: &mut Fabric| f.interfaces.values_mut().filter(|it| it.instance.is_some() && it.subnet.starts_with("subnet-2"))
    .for_each(|it| it.addresses.clear()), &["NO_POSSIBLE_DESTINATION"])]
fn targets(#[case] change: impl FnOnce(&mut Fabric), #[case] expected: &[&str]) {
    let mut fabric = fabric();
    change(&mut fabric);
    let counts = chosen(&fabric);
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    // Sixty-four source ports are spread, not sent to one target with a rare exception.
    assert!(counts.values().all(|count| count * expected.len() * 2 >= many().len()), "{counts:?}");
}

#[test]
fn a_flow_keeps_its_target() {
    let prepared = Prepared::new(fabric().into());
    for port in many() {
        let arrival = || prepared.trace_connection(&to_load_balancer(port)).arrival;
        assert_eq!(arrival(), arrival());
    }
}

#[rstest]
#[case::route_from_the_load_balancers_subnet("rtb-2a", "10.1.0.0/16")]
#[case::route_from_the_targets_subnet("rtb-2b", "10.1.0.0/16")]
fn the_way_back_needs_both_routes(#[case] table: &str, #[case] block: &str) {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    routes(&mut fabric, table).retain(|route| route.destination != block.parse().unwrap());
    let stop = trace_connection(&fabric, &to_load_balancer(40_000)).outcome.unwrap_err();
    assert_eq!((stop.code(), stop.way()), ("NO_ROUTE_TO_DESTINATION", Way::Return));
    assert!(stop.to_string().contains(table), "{stop}");
}

#[test]
fn without_client_ip_preservation_the_target_sees_the_load_balancer() {
    let mut fabric = fabric();
    listener(&mut fabric).preserve_client_ip = false;
    listener(&mut fabric).targets.remove(0);
    routes(&mut fabric, "rtb-2b").pop();
    let trace = trace_connection(&fabric, &to_load_balancer(40_000));
    assert_eq!(verdict(&trace), "ok");
    assert_eq!(trace.arrival.unwrap().source, ip("10.2.96.200"));
}

#[rstest]
#[case::clients_block(true, allow(RuleProtocol::Tcp, (30053, 30053), "10.1.0.0/16"), "ok")]
#[case::load_balancers_block(true, allow(RuleProtocol::Tcp, (30053, 30053), "10.2.0.0/16"), "ENI_SG_RULES_MISMATCH")]
#[case::load_balancers_block_unpreserved(false, allow(RuleProtocol::Tcp, (30053, 30053), "10.2.0.0/16"), "ok")]
#[case::clients_block_unpreserved(false, allow(RuleProtocol::Tcp, (30053, 30053), "10.1.0.0/16"), "ENI_SG_RULES_MISMATCH")]
#[case::listeners_port(true, allow(RuleProtocol::Tcp, (53, 53), "10.1.0.0/16"), "ENI_SG_RULES_MISMATCH")]
#[case::clients_group(true, allow_group("sg-1"), "SG_REFERENCES_NOT_PRESERVED")]
fn rules_of_the_target(#[case] preserve: bool, #[case] rule: Rule, #[case] expected: &str) {
    let mut fabric = fabric();
    listener(&mut fabric).preserve_client_ip = preserve;
    fabric.security_groups.get_mut("sg-2").unwrap().ingress = vec![rule];
    assert_eq!(code(&trace_connection(&fabric, &to_load_balancer(40_000))), expected);
}

#[rstest]
#[case::groups_of_the_load_balancer_are_visible(true, "ok")]
#[case::and_filter_what_it_receives(false, "ENI_SG_RULES_MISMATCH")]
fn a_load_balancer_with_security_groups(#[case] open: bool, #[case] expected: &str) {
    let mut fabric = fabric();
    let everything = allow(RuleProtocol::All, (-1, -1), ANY);
    let ingress = if open { vec![everything.clone()] } else { vec![] };
    let group = SecurityGroup { vpc: "vpc-2".into(), ingress, egress: vec![everything] };
    fabric.security_groups.insert("sg-nlb".into(), group);
    fabric.interfaces.get_mut("eni-nlb-a").unwrap().security_groups = vec!["sg-nlb".into()];
    fabric.security_groups.get_mut("sg-2").unwrap().ingress = vec![allow_group("sg-nlb")];
    assert_eq!(code(&trace_connection(&fabric, &to_load_balancer(40_000))), expected);
}

#[rstest]
#[case::itself("10.2.128.10", true, "ELBV2_SOURCE_ADDRESS_PRESERVATION")]
#[case::a_pod_on_it("10.2.128.11", true, "ELBV2_SOURCE_ADDRESS_PRESERVATION")]
#[case::itself_unpreserved("10.2.128.10", false, "ok")]
#[case::another_node("10.2.128.30", true, "ok")]
fn a_target_cannot_reach_itself(#[case] from: &str, #[case] preserve: bool, #[case] expected: &str) {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    listener(&mut fabric).preserve_client_ip = preserve;
    let trace = trace_connection(&fabric, &tcp("vpc-2", from, "10.2.96.200", 53));
    assert_eq!(code(&trace), expected, "{}", verdict(&trace));
}

#[test]
fn network_acls_of_the_target_see_the_client() {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    let open = vec![entry(100, false, true, (30053, 30053), "10.1.0.0/16"), entry(100, true, true, (1024, 65535), ANY)];
    put_acl(&mut fabric, "subnet-2b", open.clone());
    assert_eq!(verdict(&trace_connection(&fabric, &to_load_balancer(40_000))), "ok");
    put_acl(&mut fabric, "subnet-2b", vec![open[0].clone()]);
    let stop = trace_connection(&fabric, &to_load_balancer(40_000)).outcome.unwrap_err();
    assert_eq!((stop.code(), stop.way()), ("SUBNET_ACL_RESTRICTION", Way::Return));
}

#[test]
fn udp_has_no_tcp_listener() {
    let flow = Flow { protocol: Protocol::Udp, ..to_load_balancer(40_000) };
    assert_eq!(code(&trace_connection(&fabric(), &flow)), "ELBV2_LISTENERS_MISMATCH");
}

#[test]
fn health_checks_come_from_the_load_balancers_address() {
    let mut fabric = fabric();
    let check = tcp("vpc-2", "10.2.96.200", "10.2.128.10", 30053);
    assert_eq!(verdict(&trace_connection(&fabric, &check)), "ok");
    fabric.security_groups.get_mut("sg-2").unwrap().ingress.pop();
    assert_eq!(code(&trace_connection(&fabric, &check)), "ENI_SG_RULES_MISMATCH");
}

#[rstest]
#[case("vpc-2", "10.2.96.200", 53, Some(("us-east-1a", true)))]
#[case("vpc-2", "10.2.128.200", 54, Some(("us-east-1b", false)))]
#[case("vpc-1", "10.2.96.200", 53, None)]
#[case("vpc-2", "10.2.96.10", 53, None)]
fn found_by_address(
    #[case] vpc: &str,
    #[case] address: &str,
    #[case] port: u16,
    #[case] expected: Option<(&str, bool)>,
) {
    let prepared = Prepared::new(fabric().into());
    let found = prepared.load_balancer_for(vpc, ip(address), port);
    assert_eq!(found.map(|found| (found.availability_zone, found.listener.is_some())), expected);
}
