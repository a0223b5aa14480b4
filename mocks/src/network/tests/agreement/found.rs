//! What the networks did not agree about, each as a case of its own, and who was wrong.

use acrossk8s_vpc::RuleProtocol::{All, Icmp, Tcp};
use rstest::rstest;

use super::change::Change::{self, *};
use super::change::{Peer, Traffic};
use super::world::{BalancerPlan, NodePlan, PodPlan, VpcPlan, World};
use super::{differences, run};

const REGION: usize = 0;
/// In the order in which changes count blocks: everything, 10.0.0.0/8, then each VPC with its two subnets.
const EVERYWHERE: usize = 0;
const fn whole(site: usize) -> usize {
    2 + 3 * site
}

fn pod(source_nat: bool, endpoint: bool) -> PodPlan {
    PodPlan { source_nat, excluded: Vec::new(), endpoint }
}

fn vpc(second_interface: bool, pods: &[PodPlan]) -> VpcPlan {
    let node = NodePlan { subnet: 0, second_interface, pods: pods.to_vec() };
    VpcPlan { region: REGION, nodes: vec![node], balancer: None }
}

/// Peered VPCs, each with a node and a pod.
fn plain(vpcs: usize, source_nat: bool) -> World {
    World { vpcs: vec![vpc(false, &[pod(source_nat, true)]); vpcs], twins: false }
}

fn deny(site: usize, egress: bool, protocol: acrossk8s_vpc::RuleProtocol, ports: (i32, i32)) -> Change {
    let traffic = Traffic(protocol, ports);
    PutEntry { site, acl: 0, egress, number: 50, allow: false, traffic, to: EVERYWHERE }
}

/// The second VPC has no route back to the first, in both of its tables, and its Service no endpoint.
fn no_way_back() -> Vec<Change> {
    vec![DeleteRoute { site: 1, route: 0 }, DeleteRoute { site: 1, route: 0 }, Endpoints { site: 1, pods: vec![] }]
}

/// A node port without endpoints refuses, and the refusal has no way back: the model said "refused" all the same.
#[test]
fn the_refusal_of_a_node_port_needs_a_way_back() {
    agree(&plain(2, true), &no_way_back());
}

/// ICMP carries refusals of UDP and of Services without endpoints, and ACLs look at it: the model did not.
#[rstest]
#[case::out_of_the_server(deny(1, true, Icmp, (3, 3)))]
#[case::into_the_client(deny(0, false, Icmp, (-1, -1)))]
#[case::answers_alone(deny(1, true, acrossk8s_vpc::RuleProtocol::Udp, (0, 65535)))]
fn a_refusal_passes_network_acls_as_icmp(#[case] entry: Change) {
    agree(&plain(2, true), &[entry, Endpoints { site: 1, pods: vec![] }]);
}

/// Ports are translated with addresses, so that Linux's own ephemeral ports are not enough: the model kept the port.
#[rstest]
#[case::lower(deny(0, false, Tcp, (1024, 32_767)))]
#[case::upper(deny(0, false, Tcp, (61_000, 65_535)))]
fn a_translated_port_is_any_port(#[case] entry: Change) {
    agree(&plain(2, true), &[entry]);
}

/// The same for a load balancer that connects in its own name.
#[test]
fn the_port_of_a_load_balancer_is_any_port() {
    let balancer = BalancerPlan { cross_zone: true, preserve_client_ip: false, groups: false };
    let mut world = plain(2, false);
    world.vpcs[1].balancer = Some(balancer);
    world.vpcs[1].nodes[0].subnet = 1;
    let entry = PutEntry {
        site: 1,
        acl: 1,
        egress: true,
        number: 50,
        allow: false,
        traffic: Traffic(Tcp, (1024, 32_767)),
        to: whole(1) + 1,
    };
    let allow = |egress: bool| PutEntry {
        site: 1,
        acl: 1,
        egress,
        number: 100,
        allow: true,
        traffic: Traffic(All, (-1, -1)),
        to: EVERYWHERE,
    };
    let changes = [entry, allow(true), allow(false), MoveAcl { site: 1, subnet: 1, acl: 1 }];
    agree(&world, &changes);
}

/// A pod whose address AWS has taken away sends in a name that is not its interface's: the kernel let it.
#[test]
fn an_interface_sends_in_no_other_name() {
    agree(&plain(2, false), &[Unassign { site: 0, pod: 0 }]);
}

/// Two peers with the same block: a rule that refers to the group of one does not speak of the other. The kernel knew them
/// by their addresses alone.
#[test]
fn a_group_is_that_of_its_own_vpc() {
    let world = World { vpcs: vec![vpc(false, &[pod(false, false)]); 3], twins: true };
    let (traffic, peer) = (Traffic(All, (-1, -1)), Peer::Group(2, 0));
    let refer = Authorize { site: 1, group: 0, egress: false, traffic, peer };
    let changes = [RevokeAll { site: 1, group: 0, egress: false }, refer];
    agree(&world, &changes);
}

/// Answers of a pod on a second interface left by the first one, in a name that is not its.
#[rstest]
#[case(true)]
#[case(false)]
fn a_pod_on_a_second_interface_answers_by_it(#[case] source_nat: bool) {
    agree(&World { vpcs: vec![vpc(true, &[pod(source_nat, true)]); 2], twins: false }, &[]);
}

/// A pod on a second interface that asks its own node for a port leaves by that interface, and kube-proxy gives it that
/// one's address: the model said the node's, and the kernel sent the node's by the wrong interface.
#[test]
fn a_node_port_masquerades_by_the_interface() {
    let mut world = World { vpcs: vec![vpc(false, &[pod(false, true)])], twins: false };
    world.vpcs[0].nodes.push(NodePlan { subnet: 0, second_interface: true, pods: vec![pod(false, false)] });
    agree(&world, &[]);
}

/// Nobody has the first address of a node's second interface; a packet from a pod went round between node and router until
/// the kernel said "no route to host".
#[test]
fn nothing_goes_round_to_an_address_without_a_host() {
    let mut world =
        World { vpcs: vec![vpc(false, &[]), vpc(false, &[]), vpc(true, &[pod(false, false)])], twins: true };
    // In the twin it is a load balancer's, and so it is asked for.
    let balancer = BalancerPlan { cross_zone: false, preserve_client_ip: false, groups: false };
    world.vpcs[0].balancer = Some(balancer);
    agree(&world, &[]);
}

/// kube-proxy refuses on the sender's own node: the kernel then says so to the one who sends, and the network did too.
#[test]
fn a_refusal_on_the_own_node_is_heard_by_receiving() {
    agree(&World { vpcs: vec![vpc(false, &[])], twins: false }, &[]);
}

fn agree(world: &World, changes: &[Change]) {
    assert_eq!(run(differences(world, changes)), Vec::<String>::new());
}
