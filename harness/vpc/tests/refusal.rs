//! What ICMP carries back, and ports that load balancers choose.

mod common;

use acrossk8s_vpc::*;
use common::*;
use rstest::rstest;

fn icmp(number: u16, egress: bool, allow: bool, ports: (i32, i32)) -> AclEntry {
    AclEntry { protocol: RuleProtocol::Icmp, ..entry(number, egress, allow, ports, ANY) }
}

fn all(number: u16, egress: bool) -> AclEntry {
    AclEntry { protocol: RuleProtocol::All, ..entry(number, egress, true, (-1, -1), ANY) }
}

#[rstest]
#[case::port_unreachable(icmp(50, true, false, (3, 3)), "ok", "SUBNET_ACL_RESTRICTION")]
#[case::any_code(icmp(50, true, false, (3, -1)), "ok", "SUBNET_ACL_RESTRICTION")]
#[case::other_code(icmp(50, true, false, (3, 4)), "ok", "ok")]
#[case::into_the_server(icmp(50, false, false, (-1, -1)), "ok", "ok")]
#[case::answers(entry(50, true, false, (1024, 65535), ANY), "SUBNET_ACL_RESTRICTION", "ok")]
fn a_network_acl_sees_a_refusal_as_icmp(#[case] first: AclEntry, #[case] answered: &str, #[case] refused: &str) {
    let mut fabric = fabric();
    put_acl(&mut fabric, "subnet-2b", vec![first, all(100, true), all(100, false)]);
    let prepared = Prepared::new(fabric.into());
    assert_eq!(code(&prepared.trace_connection(&across())), answered);
    assert_eq!(code(&prepared.trace_refusal(&across())), refused);
}

#[test]
fn security_groups_let_every_refusal_pass() {
    let mut fabric = fabric();
    // Nothing but what the request needs.
    for group in fabric.security_groups.values_mut() {
        let client = group.vpc == "vpc-1";
        if client { group.ingress.clear() } else { group.egress.clear() }
    }
    assert_eq!(verdict(&Prepared::new(fabric.into()).trace_refusal(&across())), "ok");
}

/// Of a load balancer that connects in its own name, ACLs see a port of its own choice.
#[test]
fn a_load_balancer_answers_from_any_port() {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    listener(&mut fabric).preserve_client_ip = false;
    put_acl(&mut fabric, "subnet-2b", vec![all(100, false), entry(100, true, true, (32_768, 60_999), ANY)]);
    let prepared = Prepared::new(fabric.into());
    let (mut passed, mut stopped) = (0, 0);
    for port in 40_000..40_200 {
        let flow = to_load_balancer(port);
        let trace = prepared.trace_connection(&flow);
        let own = trace.arrival.as_ref().map(|arrival| arrival.source_port);
        assert_eq!(own, Some(translated_port(&flow)));
        *(if trace.outcome.is_ok() { &mut passed } else { &mut stopped }) += 1;
    }
    assert!(passed > 50 && stopped > 50, "{passed} passed, {stopped} stopped");
}
