//! Each thing that stops a packet, there and back, made by deviating an observation in which everything is as documented.

use acrossk8s_vpc::{AclEntry, PeeringState, RulePeer, RuleProtocol, Way};
use rstest::rstest;

use super::{can_be_mended, fail};
use crate::diagnosis::{Cause, Conclusion, diagnose};
use crate::invariants::fixture::documented;
use crate::observation::{ClusterObservation, LoadBalancer, Observation, Rule};
use crate::topology::Topology;

type Deviate = fn(&mut Topology, &mut Observation);

fn routes(cluster: &mut ClusterObservation, number: u8, turn: impl Fn(&mut crate::observation::Route) -> bool) {
    let peer = format!("10.{number}.0.0/16").parse().unwrap();
    for table in &mut cluster.route_tables {
        table.routes.retain_mut(|route| route.destination != peer || turn(route));
    }
}

fn peering(observation: &mut Observation, state: PeeringState) {
    observation.peerings[0].state = state;
}

fn deny(cluster: &mut ClusterObservation, egress: bool, block: &str, ports: (i32, i32)) {
    let cidr_block = block.parse().unwrap();
    let protocol = RuleProtocol::Tcp;
    cluster.network_acls[0].entries.push(AclEntry { number: 50, egress, allow: false, protocol, ports, cidr_block });
}

fn balancer(observation: &mut Observation) -> &mut LoadBalancer {
    &mut observation.clusters[1].load_balancers[0]
}

/// The cause of the first failed probe that has it, of those from cluster 1 to cluster 2.
fn cause(deviate: Deviate, code: &str) -> Cause {
    let (mut topology, mut observation) = documented(3);
    deviate(&mut topology, &mut observation);
    fail(&mut observation, 0, 1);
    let found = diagnose(&topology, &observation);
    assert!(!found.is_empty());
    let mut others = Vec::new();
    for it in found {
        match it.conclusion {
            Conclusion::Stopped(cause) if cause.code.as_str() == code => {
                can_be_mended(&cause, &observation);
                assert!(!it.legs.last().is_some_and(|leg| leg.passed), "{:#?}", it.legs);
                return *cause;
            }
            other => others.push(other),
        }
    }
    panic!("no {code} in {others:#?}");
}

#[rstest]
#[case::no_route(
    "NO_ROUTE_TO_DESTINATION", Way::Forward, "route-table rtb-00000000000000102 of tidb-1",
    "create-route --region us-west-1 --route-table-id rtb-00000000000000102 --destination-cidr-block 10.2.0.0/16 \
     --vpc-peering-connection-id pcx-00000000000000102",
    |_: &mut Topology, o: &mut Observation| o.clusters[0].route_tables.iter_mut().for_each(|table| table.routes.retain(|it| it.target == "local")))]
#[case::no_route_back(
    "NO_ROUTE_TO_DESTINATION", Way::Return, "route-table rtb-00000000000000202 of tidb-2",
    "create-route --region us-west-2 --route-table-id rtb-00000000000000202 --destination-cidr-block 10.1.0.0/16",
    |_: &mut Topology, o: &mut Observation| o.clusters[1].route_tables.iter_mut().for_each(|table| table.routes.retain(|it| it.target == "local")))]
#[case::default_route(
    "NO_ROUTE_TO_DESTINATION", Way::Forward, "route-table rtb-00000000000000102 of tidb-1", "create-route",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[0], 2, |_| false))]
#[case::default_route_back(
    "NO_ROUTE_TO_DESTINATION", Way::Return, "route-table rtb-00000000000000202 of tidb-2", "create-route",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[1], 1, |_| false))]
#[case::replaced_route(
    "NO_ROUTE_TO_DESTINATION", Way::Forward, "route-table rtb-00000000000000102 of tidb-1", "replace-route",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[0], 2, |it| { it.target = "nat-1".to_owned(); true }))]
#[case::shadowed(
    "NO_ROUTE_TO_DESTINATION", Way::Forward, "route-table rtb-00000000000000102 of tidb-1",
    "delete-route --region us-west-1 --route-table-id rtb-00000000000000102 --destination-cidr-block 10.2.96.0/19",
    |_: &mut Topology, o: &mut Observation| for table in &mut o.clusters[0].route_tables {
        let route = crate::observation::Route {
            destination: "10.2.96.0/19".parse().unwrap(),
            target: "tgw-1".to_owned(),
            state: "active".to_owned(),
            origin: "CreateRoute".to_owned(),
        };
        table.routes.push(route);
    })]
#[case::pending(
    "BAD_STATE_ROUTE", Way::Forward, "vpc-peering-connection pcx-00000000000000102",
    "accept-vpc-peering-connection --region us-west-2 --vpc-peering-connection-id pcx-00000000000000102",
    |_: &mut Topology, o: &mut Observation| peering(o, PeeringState::PendingAcceptance))]
#[case::provisioning(
    "BAD_STATE_ROUTE", Way::Forward, "vpc-peering-connection pcx-00000000000000102", "describe-vpc-peering-connections",
    |_: &mut Topology, o: &mut Observation| peering(o, PeeringState::Provisioning))]
#[case::rejected(
    "BAD_STATE_ROUTE", Way::Forward, "vpc-peering-connection pcx-00000000000000102",
    "create-vpc-peering-connection --region us-west-1 --vpc-id vpc-00000000000000100 --peer-vpc-id vpc-00000000000000200",
    |_: &mut Topology, o: &mut Observation| peering(o, PeeringState::Rejected))]
#[case::gone_back(
    "BAD_STATE_ROUTE", Way::Return, "vpc-peering-connection pcx-gone",
    "replace-route --region us-west-2 --route-table-id rtb-00000000000000202 --destination-cidr-block 10.1.0.0/16 \
     --vpc-peering-connection-id pcx-00000000000000102",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[1], 1, |it| {
        (it.target, it.state) = ("pcx-gone".to_owned(), "blackhole".to_owned());
        true
    }))]
#[case::wrong_peering(
    "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", Way::Forward, "route-table rtb-00000000000000102 of tidb-1", "replace-route",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[0], 2, |it| { it.target = "pcx-00000000000000103".to_owned(); true }))]
#[case::wrong_peering_back(
    "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", Way::Return, "route-table rtb-00000000000000202 of tidb-2", "replace-route",
    |_: &mut Topology, o: &mut Observation| routes(&mut o.clusters[1], 1, |it| { it.target = "pcx-00000000000000203".to_owned(); true }))]
#[case::no_peering(
    "PCX_MISSING", Way::Forward, "vpc vpc-00000000000000100 of tidb-1", "create-vpc-peering-connection",
    |_: &mut Topology, o: &mut Observation| { o.peerings.remove(0); routes(&mut o.clusters[0], 2, |_| false) })]
#[case::dead_peering(
    "PCX_NOT_ACTIVE", Way::Forward, "vpc-peering-connection pcx-00000000000000102", "create-vpc-peering-connection",
    |_: &mut Topology, o: &mut Observation| { peering(o, PeeringState::Expired); routes(&mut o.clusters[0], 2, |_| false) })]
#[case::no_ingress_rule(
    "ENI_SG_RULES_MISMATCH", Way::Forward, "security-group sg-00000000000000201 of tidb-2",
    "authorize-security-group-ingress --region us-west-2 --group-id sg-00000000000000201 --protocol all --cidr 10.1.0.0/16",
    |_: &mut Topology, o: &mut Observation| o.clusters[1].security_groups[0].ingress.retain(|it| matches!(it.peer, RulePeer::Group(_))))]
#[case::no_egress_rule(
    "ENI_SG_RULES_MISMATCH", Way::Forward, "security-group sg-00000000000000101 of tidb-1",
    "authorize-security-group-egress --region us-west-1 --group-id sg-00000000000000101 --protocol all --cidr 10.2.0.0/16",
    |_: &mut Topology, o: &mut Observation| for group in &mut o.clusters[0].security_groups {
        let peer = RulePeer::Cidr("10.1.0.0/16".parse().unwrap());
        group.egress = vec![Rule { protocol: "-1".into(), from_port: -1, to_port: -1, peer, description: None }];
    })]
#[case::group_of_another_region(
    "SG_REFERENCES_NOT_PRESERVED", Way::Forward, "security-group sg-00000000000000201 of tidb-2",
    "authorize-security-group-ingress --region us-west-2 --group-id sg-00000000000000201 --protocol all --cidr 10.1.0.0/16",
    |_: &mut Topology, o: &mut Observation| for rule in &mut o.clusters[1].security_groups[0].ingress {
        rule.peer = RulePeer::Group("sg-00000000000000101".to_owned());
    })]
#[case::acl_out(
    "SUBNET_ACL_RESTRICTION", Way::Forward, "network-acl acl-00000000000000100 of tidb-1",
    "create-network-acl-entry --region us-west-1 --network-acl-id acl-00000000000000100 --egress --rule-number 49 \
     --protocol -1 --rule-action allow --cidr-block 10.2.0.0/16",
    |_: &mut Topology, o: &mut Observation| deny(&mut o.clusters[0], true, "10.2.0.0/16", (0, 65535)))]
#[case::acl_in(
    "SUBNET_ACL_RESTRICTION", Way::Forward, "network-acl acl-00000000000000200 of tidb-2", "--ingress --rule-number 49",
    |_: &mut Topology, o: &mut Observation| deny(&mut o.clusters[1], false, "10.1.0.0/16", (80, 80)))]
#[case::acl_answer_out(
    "SUBNET_ACL_RESTRICTION", Way::Return, "network-acl acl-00000000000000200 of tidb-2", "--egress --rule-number 49",
    |_: &mut Topology, o: &mut Observation| deny(&mut o.clusters[1], true, "10.1.0.0/16", (1024, 65535)))]
#[case::acl_answer_in(
    "SUBNET_ACL_RESTRICTION", Way::Return, "network-acl acl-00000000000000100 of tidb-1", "--ingress --rule-number 49",
    |_: &mut Topology, o: &mut Observation| deny(&mut o.clusters[0], false, "10.2.0.0/16", (1024, 65535)))]
#[case::provisioning_balancer(
    "BAD_STATE", Way::Forward, "load-balancer ", "aws elbv2 wait load-balancer-available --region us-west-2",
    |_: &mut Topology, o: &mut Observation| balancer(o).state = "provisioning".to_owned())]
#[case::no_listener(
    "ELBV2_LISTENERS_MISMATCH", Way::Forward, "load-balancer ", "--port 53 --protocol TCP",
    |_: &mut Topology, o: &mut Observation| balancer(o).listeners[0].port = 5353)]
#[case::no_targets(
    "ELBV2_LISTENER_HAS_NO_TG", Way::Forward, "load-balancer ",
    "--targets Id=i-00000000000000200 Id=i-00000000000000201",
    |_: &mut Topology, o: &mut Observation| balancer(o).listeners[0].targets.clear())]
#[case::no_targets_in_zone(
    "ELBV2_NO_TARGETS_IN_AZ", Way::Forward, "load-balancer ", "Key=load_balancing.cross_zone.enabled,Value=true",
    |_: &mut Topology, o: &mut Observation| balancer(o).cross_zone = false)]
#[case::no_interface_there(
    "NO_POSSIBLE_DESTINATION", Way::Forward, "vpc vpc-00000000000000200 of tidb-2",
    "describe-network-interfaces --region us-west-2",
    |_: &mut Topology, o: &mut Observation| o.clusters[1].interfaces[0].addresses.retain(|it| it.octets()[3] != 12))]
#[case::no_interface_here(
    "NO_SOURCE_OR_DESTINATION", Way::Forward, "vpc vpc-00000000000000100 of tidb-1",
    "describe-network-interfaces --region us-west-1",
    |_: &mut Topology, o: &mut Observation| o.clusters[0].interfaces[0].addresses.clear())]
fn stops(
    #[case] code: &str,
    #[case] way: Way,
    #[case] resource: &str,
    #[case] command: &str,
    #[case] deviate: Deviate,
) {
    let cause = cause(deviate, code);
    assert_eq!(cause.way, way, "{cause:#?}");
    assert!(cause.resources[0].to_string().starts_with(resource), "{cause:#?}");
    assert!(cause.mend.commands.join("\n").contains(command), "{cause:#?}");
}

/// A block that overlaps a third VPC's takes the answers.
#[test]
fn an_overlapping_third_vpc() {
    let deviate: Deviate = |topology, o| {
        let block: ipnet::Ipv4Net = "10.1.96.0/19".parse().unwrap();
        topology.clusters[2].cidr_block = block;
        o.clusters[2].vpc.as_mut().unwrap().cidr_blocks = vec![block];
        for table in &mut o.clusters[1].route_tables {
            let target = "pcx-00000000000000203".to_owned();
            let (state, origin) = ("active".to_owned(), "CreateRoute".to_owned());
            table.routes.push(crate::observation::Route { destination: block, target, state, origin });
        }
    };
    let cause = cause(deviate, "VPC_CIDR_OVERLAP");
    assert_eq!(cause.way, Way::Return);
    assert_eq!(cause.resources[0].to_string(), "vpc vpc-00000000000000300 of tidb-3");
    assert!(cause.mend.advice.is_some_and(|it| it.contains("create it again")));
}
