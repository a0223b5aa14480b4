//! What can be made, and what has to be deleted first.

use rstest::rstest;

use super::client;

#[rstest]
#[case("10.0.0.0/15", "InvalidVpc.Range")]
#[case("10.0.0.0/29", "InvalidVpc.Range")]
#[case("10.0.0.0/16", "ok")]
#[case("ten", "InvalidParameterValue")]
fn blocks_of_vpcs(#[case] cidr: &str, #[case] code: &str) {
    assert_eq!(client().code("CreateVpc", &[("CidrBlock", cidr)]), code);
}

#[rstest]
#[case::outside("10.2.0.0/24", "", "InvalidSubnet.Range")]
#[case::too_small("10.1.1.0/29", "", "InvalidSubnet.Range")]
#[case::overlap("10.1.0.128/25", "", "InvalidSubnet.Conflict")]
#[case::zone_of_another_region("10.1.1.0/24", "us-east-1a", "InvalidParameterValue")]
#[case::fine("10.1.1.0/24", "us-west-2c", "ok")]
fn blocks_of_subnets(#[case] cidr: &str, #[case] zone: &str, #[case] code: &str) {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    client.subnet(&vpc, "10.1.0.0/24");
    let parameters = [("VpcId", vpc.as_str()), ("CidrBlock", cidr), ("AvailabilityZone", zone)];
    assert_eq!(client.code("CreateSubnet", &parameters), code);
}

#[test]
fn five_vpcs_of_a_region_are_the_limit() {
    let client = client();
    for n in 0..5 {
        client.vpc(&format!("10.{n}.0.0/16"));
    }
    assert_eq!(client.code("CreateVpc", &[("CidrBlock", "10.5.0.0/16")]), "VpcLimitExceeded");
    assert_eq!(client.region("us-east-1").code("CreateVpc", &[("CidrBlock", "10.5.0.0/16")]), "ok");
}

#[test]
fn a_vpc_comes_with_a_main_table_a_default_group_and_a_default_acl_and_takes_them_along() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let counts = || {
        [
            ("DescribeRouteTables", "routeTableSet"),
            ("DescribeSecurityGroups", "securityGroupInfo"),
            ("DescribeNetworkAcls", "networkAclSet"),
        ]
        .map(|(action, set)| client.ec2(action, &[]).unwrap().at(set).children.len())
    };
    assert_eq!(counts(), [1, 1, 1]);
    client.ec2("DeleteVpc", &[("VpcId", &vpc)]).unwrap();
    assert_eq!(counts(), [0, 0, 0]);
    assert_eq!(client.code("DeleteVpc", &[("VpcId", &vpc)]), "InvalidVpcID.NotFound");
}

#[rstest]
#[case::subnet("subnet")]
#[case::route_table("route table")]
#[case::security_group("security group")]
#[case::network_acl("network acl")]
#[case::internet_gateway("internet gateway")]
#[case::peering("peering")]
fn a_vpc_in_use_cannot_be_deleted(#[case] by: &str) {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let undo: (&str, Vec<(&str, String)>) = match by {
        "subnet" => ("DeleteSubnet", vec![("SubnetId", client.subnet(&vpc, "10.1.0.0/24"))]),
        "route table" => ("DeleteRouteTable", vec![("RouteTableId", client.route_table(&vpc))]),
        "security group" => ("DeleteSecurityGroup", vec![("GroupId", client.group(&vpc, "g"))]),
        "network acl" => {
            let acl = client.ec2("CreateNetworkAcl", &[("VpcId", &vpc)]).unwrap();
            ("DeleteNetworkAcl", vec![("NetworkAclId", acl.text("networkAcl/networkAclId"))])
        }
        "internet gateway" => {
            let gateway = client.ec2("CreateInternetGateway", &[]).unwrap().text("internetGateway/internetGatewayId");
            client.ec2("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc)]).unwrap();
            assert_eq!(client.code("DeleteInternetGateway", &[("InternetGatewayId", &gateway)]), "DependencyViolation");
            ("DetachInternetGateway", vec![("InternetGatewayId", gateway), ("VpcId", vpc.clone())])
        }
        _ => {
            let id = client.peer(&vpc, &client.vpc("10.2.0.0/16"), "us-west-2");
            client.ec2("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &id)]).unwrap();
            ("DeleteVpcPeeringConnection", vec![("VpcPeeringConnectionId", id)])
        }
    };
    let error = client.ec2("DeleteVpc", &[("VpcId", &vpc)]).unwrap_err();
    assert_eq!(error.code, "DependencyViolation");
    assert_eq!(error.message, format!("The vpc '{vpc}' has dependencies and cannot be deleted."));
    let parameters: Vec<(&str, &str)> = undo.1.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.ec2(undo.0, &parameters).unwrap();
    assert_eq!(client.code("DeleteVpc", &[("VpcId", &vpc)]), "ok");
}

#[test]
fn a_request_for_a_connection_ends_with_its_vpc() {
    let client = client();
    let (a, b) = (client.vpc("10.1.0.0/16"), client.vpc("10.2.0.0/16"));
    let id = client.peer(&a, &b, "us-west-2");
    client.ec2("DeleteVpc", &[("VpcId", &b)]).unwrap();
    assert_eq!(client.peering_state(&id), "deleted");
}

#[test]
fn a_subnet_with_interfaces_cannot_be_deleted() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let interface = client.ec2("CreateNetworkInterface", &[("SubnetId", &subnet)]).unwrap();
    let interface = interface.text("networkInterface/networkInterfaceId");
    let error = client.ec2("DeleteSubnet", &[("SubnetId", &subnet)]).unwrap_err();
    assert_eq!(error.code, "DependencyViolation");
    assert_eq!(error.message, format!("The subnet '{subnet}' has dependencies and cannot be deleted."));
    client.ec2("DeleteNetworkInterface", &[("NetworkInterfaceId", &interface)]).unwrap();
    assert_eq!(client.code("DeleteSubnet", &[("SubnetId", &subnet)]), "ok");
}

#[test]
fn an_interface_in_use_cannot_be_deleted() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let (subnet, group) = (client.subnet(&vpc, "10.1.0.0/24"), client.group(&vpc, "g"));
    let instance = client.instance(&subnet, &group);
    let filter = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance.as_str())];
    let interfaces =
        || client.ec2("DescribeNetworkInterfaces", &filter).unwrap().all("networkInterfaceSet", "networkInterfaceId");
    let id = interfaces().remove(0);
    let error = client.ec2("DeleteNetworkInterface", &[("NetworkInterfaceId", &id)]).unwrap_err();
    assert_eq!(error.message, format!("Network interface '{id}' is currently in use."));
    let ended = client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).unwrap();
    assert_eq!(ended.text("instancesSet/item/currentState/name"), "shutting-down");
    assert!(interfaces().is_empty());
    let states = client.ec2("DescribeInstances", &[("InstanceId.1", &instance)]).unwrap();
    assert_eq!(states.text("reservationSet/item/instancesSet/item/instanceState/name"), "terminated");
}

#[test]
fn an_address_in_use_cannot_be_released() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let allocation = client.ec2("AllocateAddress", &[]).unwrap().text("allocationId");
    let nat = [("SubnetId", subnet.as_str()), ("AllocationId", &allocation)];
    assert_eq!(client.code("CreateNatGateway", &nat), "Gateway.NotAttached");
    let gateway = client.ec2("CreateInternetGateway", &[]).unwrap().text("internetGateway/internetGatewayId");
    client.ec2("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc)]).unwrap();
    let made = client.ec2("CreateNatGateway", &nat).unwrap();
    assert_eq!(made.text("natGateway/state"), "pending");
    let id = made.text("natGateway/natGatewayId");
    assert_eq!(client.code("CreateNatGateway", &nat), "Resource.AlreadyAssociated");
    let release = [("AllocationId", allocation.as_str())];
    assert_eq!(client.code("ReleaseAddress", &release), "InvalidIPAddress.InUse");
    let state =
        || client.ec2("DescribeNatGateways", &[("NatGatewayId.1", &id)]).unwrap().text("natGatewaySet/item/state");
    assert_eq!(state(), "available");
    client.ec2("DeleteNatGateway", &[("NatGatewayId", &id)]).unwrap();
    assert_eq!(state(), "deleted");
    assert_eq!(client.code("ReleaseAddress", &release), "ok");
    assert_eq!(client.code("DeleteSubnet", &[("SubnetId", &subnet)]), "ok");
}

#[test]
fn five_elastic_addresses_of_a_region_are_the_limit() {
    let client = client();
    let codes: Vec<String> = (0..6).map(|_| client.code("AllocateAddress", &[])).collect();
    assert_eq!(codes, ["ok", "ok", "ok", "ok", "ok", "AddressLimitExceeded"]);
}
