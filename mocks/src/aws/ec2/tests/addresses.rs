//! Addresses of interfaces.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use rstest::rstest;

use super::client;
use crate::aws::ec2::NewInterface;

#[test]
fn four_addresses_at_the_beginning_and_one_at_the_end_are_reserved() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/28");
    let addresses: Vec<Ipv4Addr> = client.aws.with("us-west-2", |state, context| {
        std::iter::from_fn(|| {
            let new = NewInterface::new(&subnet, &[], "");
            state.ec2.create_interface(&mut state.ids, context, new).ok().map(|(_, address)| address)
        })
        .collect()
    });
    let expected: Vec<Ipv4Addr> = (4..15).map(|n| Ipv4Addr::new(10, 1, 0, n)).collect();
    assert_eq!(addresses, expected);
    let error = client.ec2("CreateNetworkInterface", &[("SubnetId", &subnet)]).unwrap_err();
    assert_eq!(error.code, "InsufficientFreeAddressesInSubnet");
    let subnets = client.ec2("DescribeSubnets", &[]).unwrap();
    assert_eq!(subnets.all("subnetSet", "availableIpAddressCount"), ["0"]);
}

#[rstest]
#[case::outside("10.1.1.9", "InvalidParameterValue")]
#[case::network("10.1.0.0", "InvalidParameterValue")]
#[case::dns("10.1.0.2", "InvalidParameterValue")]
#[case::broadcast("10.1.0.255", "InvalidParameterValue")]
#[case::taken("10.1.0.4", "InvalidIPAddress.InUse")]
#[case::no_address("10.1.0", "InvalidParameterValue")]
#[case::free("10.1.0.9", "ok")]
fn addresses_can_be_asked_for(#[case] address: &str, #[case] code: &str) {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let made = client.ec2("CreateNetworkInterface", &[("SubnetId", &subnet)]).unwrap();
    assert_eq!(made.text("networkInterface/privateIpAddress"), "10.1.0.4");
    let parameters = [("SubnetId", subnet.as_str()), ("PrivateIpAddress", address)];
    assert_eq!(client.code("CreateNetworkInterface", &parameters), code);
    let id = made.text("networkInterface/networkInterfaceId");
    let parameters = [("NetworkInterfaceId", id.as_str()), ("PrivateIpAddress.1", address)];
    let expected = if address == "10.1.0.9" { "InvalidIPAddress.InUse" } else { code };
    assert_eq!(client.code("AssignPrivateIpAddresses", &parameters), expected);
}

#[test]
fn secondary_addresses_come_and_go() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let made = client.ec2("CreateNetworkInterface", &[("SubnetId", &subnet)]).unwrap();
    let id = made.text("networkInterface/networkInterfaceId");
    let more = [("NetworkInterfaceId", id.as_str()), ("SecondaryPrivateIpAddressCount", "2")];
    let assigned = client.ec2("AssignPrivateIpAddresses", &more).unwrap();
    assert_eq!(assigned.all("assignedPrivateIpAddressesSet", "privateIpAddress"), ["10.1.0.5", "10.1.0.6"]);
    let unassign = |address| {
        client.code("UnassignPrivateIpAddresses", &[("NetworkInterfaceId", &id), ("PrivateIpAddress.1", address)])
    };
    assert_eq!(
        [unassign("10.1.0.4"), unassign("10.1.0.7"), unassign("10.1.0.5")],
        ["InvalidParameterValue", "InvalidParameterValue", "ok"]
    );
    let filter = [("Filter.1.Name", "addresses.private-ip-address"), ("Filter.1.Value.1", "10.1.0.6")];
    let found = client.ec2("DescribeNetworkInterfaces", &filter).unwrap();
    let item = found.at("networkInterfaceSet/item");
    assert_eq!(item.all("privateIpAddressesSet", "privateIpAddress"), ["10.1.0.4", "10.1.0.6"]);
    assert_eq!(item.all("privateIpAddressesSet", "primary"), ["true", "false"]);
    // All or none: the second is taken.
    let two =
        [("NetworkInterfaceId", id.as_str()), ("PrivateIpAddress.1", "10.1.0.9"), ("PrivateIpAddress.2", "10.1.0.6")];
    assert_eq!(client.code("AssignPrivateIpAddresses", &two), "InvalidIPAddress.InUse");
    let filter = [("Filter.1.Name", "addresses.private-ip-address"), ("Filter.1.Value.1", "10.1.0.9")];
    assert!(client.ec2("DescribeNetworkInterfaces", &filter).unwrap().at("networkInterfaceSet").children.is_empty());
}

#[test]
fn an_interface_of_a_load_balancer_is_found_by_its_description() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    client.aws.with("us-west-2", |state, context| {
        let new = NewInterface::managed(
            &subnet,
            &[],
            "ELB net/a0123/0123456789abcdef",
            "network_load_balancer",
            "amazon-elb",
        );
        state.ec2.create_interface(&mut state.ids, context, new).unwrap();
    });
    let filter = [("Filter.1.Name", "description"), ("Filter.1.Value.1", "ELB net/a0123/*")];
    let found = client.ec2("DescribeNetworkInterfaces", &filter).unwrap();
    let item = found.at("networkInterfaceSet/item");
    let fields = ["interfaceType", "requesterManaged", "requesterId", "sourceDestCheck", "status"];
    assert_eq!(
        fields.map(|field| item.text(field)),
        ["network_load_balancer", "true", "amazon-elb", "false", "in-use"]
    );
    assert!(item.at("groupSet").children.is_empty());
    let id = item.text("networkInterfaceId");
    assert_eq!(client.code("DeleteNetworkInterface", &[("NetworkInterfaceId", &id)]), "InvalidParameterValue");
}

#[test]
fn groups_of_an_interface_are_replaced() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let made = client.ec2("CreateNetworkInterface", &[("SubnetId", &subnet)]).unwrap();
    assert_eq!(made.all("networkInterface/groupSet", "groupName"), ["default"]);
    let id = made.text("networkInterface/networkInterfaceId");
    let set = |groups: &[String]| {
        let names: Vec<String> = (1..=groups.len()).map(|n| format!("SecurityGroupId.{n}")).collect();
        let groups = names.iter().zip(groups).map(|(name, group)| (name.as_str(), group.as_str()));
        let parameters: Vec<_> = [("NetworkInterfaceId", id.as_str())].into_iter().chain(groups).collect();
        client.code("ModifyNetworkInterfaceAttribute", &parameters)
    };
    let groups: Vec<String> = (0..6).map(|n| client.group(&vpc, &format!("g{n}"))).collect();
    assert_eq!(set(&groups[..5]), "ok");
    assert_eq!(set(&groups), "SecurityGroupsPerInterfaceLimitExceeded");
    assert_eq!(set(&[client.group(&client.vpc("10.2.0.0/16"), "other")]), "InvalidParameterValue");
    let interfaces = client.ec2("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &id)]).unwrap();
    assert_eq!(interfaces.all("networkInterfaceSet/item/groupSet", "groupId"), groups[..5]);
}

#[test]
fn as_many_instances_run_as_there_is_room_for() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/28");
    let run = |min, max| client.ec2("RunInstances", &[("SubnetId", &subnet), ("MinCount", min), ("MaxCount", max)]);
    assert_eq!(run("12", "20").unwrap_err().code, "InsufficientFreeAddressesInSubnet");
    assert!(client.ec2("DescribeInstances", &[]).unwrap().at("reservationSet").children.is_empty());
    let made = run("1", "20").unwrap();
    assert_eq!(made.at("instancesSet").children.len(), 11);
    assert_eq!(made.text("instancesSet/item/instanceState/name"), "pending");
    assert_eq!(run("2", "1").unwrap_err().code, "InvalidParameterValue");
}

proptest! {
    /// However addresses come and go: no two holders share one, none is reserved, and one just released is not given out
    /// while another is free.
    #[test]
    fn addresses_are_unique_and_rest_after_use(steps in proptest::collection::vec(any::<Option<prop::sample::Index>>(), 1..60)) {
        let client = client();
        let vpc = client.vpc("10.1.0.0/16");
        let subnet = client.subnet(&vpc, "10.1.0.0/28");
        client.aws.with("us-west-2", |state, context| {
            let new = NewInterface::new(&subnet, &[], "");
            let (interface, primary) = state.ec2.create_interface(&mut state.ids, context, new).unwrap();
            let mut held = vec![];
            let mut released = None;
            for step in steps {
                match step {
                    Some(index) if !held.is_empty() => {
                        let address: Ipv4Addr = held.remove(index.index(held.len()));
                        state.ec2.unassign_private_address(context, &interface, address).unwrap();
                        released = Some(address);
                    }
                    _ => match state.ec2.assign_private_address(context, &interface) {
                        Ok(address) => {
                            prop_assert!((4..15).contains(&address.octets()[3]));
                            prop_assert!(released != Some(address) || held.len() == 9);
                            held.push(address);
                            released = None;
                        }
                        Err(error) => prop_assert_eq!((held.len(), error.code.as_str()), (10, "InsufficientFreeAddressesInSubnet")),
                    },
                }
                let all: BTreeSet<Ipv4Addr> = held.iter().copied().chain([primary]).collect();
                prop_assert_eq!(all.len(), held.len() + 1);
                prop_assert_eq!(state.ec2.available_addresses(&subnet) as usize, 11 - all.len());
            }
            Ok(())
        })?;
    }
}
