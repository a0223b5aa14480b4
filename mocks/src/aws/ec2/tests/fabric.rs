//! The fabric follows the state, and is made again only when it changes.

use std::sync::Arc;
use std::time::Duration;

use acrossk8s_vpc::{PeeringState, RouteTarget, RulePeer, RuleProtocol};

use super::client_with;
use crate::aws::ec2::NewInterface;
use crate::clock::Latencies;
use crate::network::FabricSource as _;

#[test]
fn reads_leave_it_and_changes_renew_it() {
    let (_, client) = client_with(Latencies::INSTANT);
    client.vpc("10.1.0.0/16");
    let first = client.aws.fabric();
    client.code("DescribeVpcs", &[]);
    client.aws.read("us-west-2", |state, _| assert_eq!(state.ec2.vpcs.len(), 1));
    assert!(Arc::ptr_eq(&first, &client.aws.fabric()));
    client.vpc("10.2.0.0/16");
    let second = client.aws.fabric();
    assert_eq!((first.vpcs.len(), second.vpcs.len()), (1, 2));
    client.aws.with("us-west-2", |state, context| {
        state.ec2.create_vpc(&mut state.ids, context, "10.3.0.0/16".parse().unwrap(), Default::default()).unwrap();
    });
    assert_eq!(client.aws.fabric().vpcs.len(), 3);
}

#[test]
fn time_alone_renews_it() {
    let latencies = Latencies {
        peering_request: Duration::from_secs(2),
        peering_provision: Duration::from_secs(5),
        ..Latencies::INSTANT
    };
    let (clock, client) = client_with(latencies);
    let (a, b) = (client.vpc("10.1.0.0/16"), client.vpc("10.2.0.0/16"));
    let id = client.peer(&a, &b, "us-west-2");
    let state = || client.aws.fabric().peerings[&id].state;
    assert_eq!(state(), PeeringState::InitiatingRequest);
    clock.advance(Duration::from_secs(2));
    assert_eq!(state(), PeeringState::PendingAcceptance);
    client.ec2("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &id)]).unwrap();
    assert_eq!(state(), PeeringState::Provisioning);
    clock.advance(Duration::from_secs(4));
    let before = client.aws.fabric();
    assert!(Arc::ptr_eq(&before, &client.aws.fabric()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(state(), PeeringState::Active);
}

#[test]
fn interfaces_that_linger_go_in_time() {
    let (clock, client) = client_with(Latencies::INSTANT);
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let interface = client.aws.with("us-west-2", |state, context| {
        let new = NewInterface::managed(&subnet, &[], "ELB net/a/0", "network_load_balancer", "amazon-elb");
        let (id, _) = state.ec2.create_interface(&mut state.ids, context, new).unwrap();
        state.elbv2.released.push((Duration::from_secs(120), id.clone()));
        id
    });
    let seen = || client.aws.fabric().interfaces.contains_key(&interface);
    assert!(seen());
    clock.advance(Duration::from_secs(120));
    assert!(!seen());
}

#[test]
fn it_says_what_ec2_says() {
    let (_, client) = client_with(Latencies::INSTANT);
    let (a, b) = (client.vpc("10.1.0.0/16"), client.vpc("10.2.0.0/16"));
    let (subnet, plain) = (client.subnet(&a, "10.1.0.0/24"), client.subnet(&a, "10.1.1.0/24"));
    let (group, table) = (client.group(&a, "nodes"), client.route_table(&a));
    let id = client.peer(&a, &b, "us-west-2");
    client.ec2("AssociateRouteTable", &[("RouteTableId", &table), ("SubnetId", &subnet)]).unwrap();
    let route =
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.2.0.0/16"), ("VpcPeeringConnectionId", &id)];
    client.ec2("CreateRoute", &route).unwrap();
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "80"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.2.0.0/16"),
    ];
    client.ec2("AuthorizeSecurityGroupIngress", &rule).unwrap();
    let instance = client.instance(&subnet, &group);

    let fabric = client.aws.fabric();
    assert_eq!(fabric.vpcs[&a].cidr_blocks, ["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(fabric.route_tables[&fabric.vpcs[&a].main_route_table].vpc, a);
    assert_eq!(fabric.subnets[&subnet].route_table.as_ref(), Some(&table));
    assert_eq!(fabric.subnets[&plain].route_table, None);
    assert!(fabric.subnets[&plain].network_acl.is_some());
    let routes = &fabric.route_tables[&table].routes;
    assert!(routes.iter().any(|route| route.target == RouteTarget::Local));
    assert!(routes.iter().any(|route| route.target == RouteTarget::Peering(id.clone())));
    let ingress = &fabric.security_groups[&group].ingress;
    assert_eq!((ingress[0].protocol, ingress[0].ports), (RuleProtocol::Tcp, (80, 80)));
    assert_eq!(ingress[0].peer, RulePeer::Cidr("10.2.0.0/16".parse().unwrap()));
    assert_eq!(fabric.security_groups[&group].egress.len(), 1);
    let interface = fabric.interfaces.values().find(|one| one.instance.as_ref() == Some(&instance)).unwrap();
    assert_eq!((&interface.subnet, &interface.security_groups), (&subnet, &vec![group]));
}
