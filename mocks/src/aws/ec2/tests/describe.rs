//! What Describe actions have in common: ids, filters, tags and pages.

use rstest::rstest;

use super::client;

#[rstest]
#[case("DescribeVpcs", "VpcId.1", "vpc-0123456789abcdef0", "InvalidVpcID.NotFound")]
#[case("DescribeVpcs", "VpcId.1", "vpc-xyz", "InvalidVpcID.Malformed")]
#[case("DescribeSubnets", "SubnetId.1", "subnet-0123456789abcdef0", "InvalidSubnetID.NotFound")]
#[case("DescribeSubnets", "SubnetId.1", "net-1", "InvalidSubnetID.Malformed")]
#[case("DescribeRouteTables", "RouteTableId.1", "rtb-0123456789abcdef0", "InvalidRouteTableID.NotFound")]
#[case("DescribeRouteTables", "RouteTableId.1", "rtb-", "InvalidRouteTableId.Malformed")]
#[case("DescribeSecurityGroups", "GroupId.1", "sg-01234567", "InvalidGroup.NotFound")]
#[case("DescribeSecurityGroups", "GroupId.1", "sg-0123456G", "InvalidGroupId.Malformed")]
#[case("DescribeSecurityGroupRules", "SecurityGroupRuleId.1", "sgr-01234567", "InvalidSecurityGroupRuleId.NotFound")]
#[case("DescribeNetworkInterfaces", "NetworkInterfaceId.1", "eni-01234567", "InvalidNetworkInterfaceID.NotFound")]
#[case("DescribeNetworkInterfaces", "NetworkInterfaceId.1", "eni-0", "InvalidNetworkInterfaceId.Malformed")]
#[case("DescribeInstances", "InstanceId.1", "i-01234567", "InvalidInstanceID.NotFound")]
#[case("DescribeInstances", "InstanceId.1", "x", "InvalidInstanceID.Malformed")]
#[case("DescribeInternetGateways", "InternetGatewayId.1", "igw-01234567", "InvalidInternetGatewayID.NotFound")]
#[case("DescribeNatGateways", "NatGatewayId.1", "nat-01234567", "NatGatewayNotFound")]
#[case("DescribeNatGateways", "NatGatewayId.1", "nat-0", "NatGatewayMalformed")]
#[case("DescribeNetworkAcls", "NetworkAclId.1", "acl-01234567", "InvalidNetworkAclID.NotFound")]
#[case("DescribeAddresses", "AllocationId.1", "eipalloc-01234567", "InvalidAllocationID.NotFound")]
#[case("DescribeAddresses", "PublicIp.1", "192.0.2.1", "InvalidAddress.NotFound")]
#[case(
    "DescribeVpcPeeringConnections",
    "VpcPeeringConnectionId.1",
    "pcx-01234567",
    "InvalidVpcPeeringConnectionID.NotFound"
)]
#[case(
    "DescribeVpcPeeringConnections",
    "VpcPeeringConnectionId.1",
    "vpc-01234567",
    "InvalidVpcPeeringConnectionId.Malformed"
)]
#[case("DescribeAvailabilityZones", "ZoneName.1", "us-east-1a", "InvalidParameterValue")]
fn unknown_ids_are_refused(#[case] action: &str, #[case] name: &str, #[case] id: &str, #[case] code: &str) {
    assert_eq!(client().code(action, &[(name, id)]), code);
}

#[rstest]
#[case("DescribeVpcs")]
#[case("DescribeSubnets")]
#[case("DescribeRouteTables")]
#[case("DescribeSecurityGroups")]
#[case("DescribeSecurityGroupRules")]
#[case("DescribeNetworkInterfaces")]
#[case("DescribeInstances")]
#[case("DescribeInternetGateways")]
#[case("DescribeNatGateways")]
#[case("DescribeNetworkAcls")]
#[case("DescribeAddresses")]
#[case("DescribeVpcPeeringConnections")]
#[case("DescribeAvailabilityZones")]
#[case("DescribeRegions")]
#[case("DescribeTags")]
fn unknown_filters_are_refused(#[case] action: &str) {
    let error = client().ec2(action, &[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")]).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("InvalidParameterValue", "The filter 'colour' is invalid")
    );
}

#[test]
fn a_filter_without_values_matches_nothing() {
    let client = client();
    client.vpc("10.1.0.0/16");
    let groups = client.ec2("DescribeSecurityGroups", &[("Filter.1.Name", "group-id")]).unwrap();
    assert!(groups.at("securityGroupInfo").children.is_empty());
}

#[test]
fn an_id_of_another_region_is_unknown() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    assert_eq!(client.region("us-east-1").code("DescribeVpcs", &[("VpcId.1", &vpc)]), "InvalidVpcID.NotFound");
    assert_eq!(client.region("us-east-1").code("DeleteVpc", &[("VpcId", &vpc)]), "InvalidVpcID.NotFound");
    assert_eq!(
        client.region("us-east-1").code("CreateTags", &[("ResourceId.1", &vpc), ("Tag.1.Key", "a")]),
        "InvalidVpcID.NotFound"
    );
}

#[test]
fn pages_go_on_until_there_is_no_token() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let mut expected: Vec<String> = (0..12).map(|n| client.subnet(&vpc, &format!("10.1.{n}.0/24"))).collect();
    expected.sort();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.ec2("DescribeSubnets", &[("MaxResults", "5"), ("NextToken", &token)]).unwrap();
        seen.extend(page.all("subnetSet", "subnetId"));
        if !page.has("nextToken") {
            break;
        }
        token = page.text("nextToken");
    }
    assert_eq!(seen, expected);
    assert_eq!(client.code("DescribeVpcs", &[("NextToken", &token)]), "InvalidNextToken");
    let both = [("SubnetId.1", expected[0].as_str()), ("MaxResults", "5")];
    assert_eq!(client.code("DescribeSubnets", &both), "InvalidParameterCombination");
    assert_eq!(client.code("DescribeSubnets", &[("MaxResults", "4")]), "InvalidParameterValue");
}

#[test]
fn tags_are_made_found_changed_and_removed() {
    let client = client();
    let parameters = [
        ("CidrBlock", "10.1.0.0/16"),
        ("TagSpecification.1.ResourceType", "vpc"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "eksctl-tidb-1-cluster/VPC"),
    ];
    let vpc = client.ec2("CreateVpc", &parameters).unwrap().text("vpc/vpcId");
    let find = |name: &str, value: &str| {
        let answer = client.ec2("DescribeVpcs", &[("Filter.1.Name", name), ("Filter.1.Value.1", value)]).unwrap();
        answer.at("vpcSet").children.len()
    };
    assert_eq!([find("tag:Name", "eksctl-*/VPC"), find("tag:Name", "eksctl"), find("tag-key", "Name")], [1, 0, 1]);
    client
        .ec2("CreateTags", &[("ResourceId.1", &vpc), ("Tag.1.Key", "Name"), ("Tag.1.Value", "b"), ("Tag.2.Key", "run")])
        .unwrap();
    assert_eq!([find("tag:Name", "b"), find("tag:run", "")], [1, 1]);
    client.ec2("DeleteTags", &[("ResourceId.1", &vpc), ("Tag.1.Key", "Name"), ("Tag.1.Value", "other")]).unwrap();
    assert_eq!(find("tag-key", "Name"), 1);
    client.ec2("DeleteTags", &[("ResourceId.1", &vpc), ("Tag.1.Key", "Name")]).unwrap();
    assert_eq!([find("tag-key", "Name"), find("tag-key", "run")], [0, 1]);
}

#[rstest]
#[case::reserved(&[("Tag.1.Key", "aws:x")], "InvalidParameterValue")]
#[case::no_tags(&[], "MissingParameter")]
#[case::twice(&[("Tag.1.Key", "a"), ("Tag.2.Key", "a")], "InvalidParameterValue")]
fn tags_that_are_refused(#[case] tags: &[(&str, &str)], #[case] code: &str) {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let parameters: Vec<_> = [("ResourceId.1", vpc.as_str())].into_iter().chain(tags.iter().copied()).collect();
    assert_eq!(client.code("CreateTags", &parameters), code);
}

#[test]
fn a_tag_specification_for_another_kind_is_refused() {
    let parameters = [
        ("CidrBlock", "10.1.0.0/16"),
        ("TagSpecification.1.ResourceType", "subnet"),
        ("TagSpecification.1.Tag.1.Key", "a"),
    ];
    let error = client().ec2("CreateVpc", &parameters).unwrap_err();
    assert_eq!(error.message, "'subnet' is not a valid taggable resource type for this operation.");
}

#[test]
fn fifty_tags_are_the_limit() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let tag = |n: u32| client.code("CreateTags", &[("ResourceId.1", &vpc), ("Tag.1.Key", &format!("key-{n}"))]);
    assert!((0..50).all(|n| tag(n) == "ok"));
    assert_eq!([tag(50), tag(49)], ["TagLimitExceeded", "ok"]);
}

#[test]
fn attributes_of_a_vpc_and_a_subnet_are_changed() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let hostnames = || {
        let answer =
            client.ec2("DescribeVpcAttribute", &[("VpcId", &vpc), ("Attribute", "enableDnsHostnames")]).unwrap();
        answer.text("enableDnsHostnames/value")
    };
    assert_eq!(hostnames(), "false");
    client.ec2("ModifyVpcAttribute", &[("VpcId", &vpc), ("EnableDnsHostnames.Value", "true")]).unwrap();
    assert_eq!(hostnames(), "true");
    client.ec2("ModifySubnetAttribute", &[("SubnetId", &subnet), ("MapPublicIpOnLaunch.Value", "true")]).unwrap();
    let subnets =
        client.ec2("DescribeSubnets", &[("Filter.1.Name", "map-public-ip-on-launch"), ("Filter.1.Value.1", "true")]);
    assert_eq!(subnets.unwrap().all("subnetSet", "subnetId"), [subnet]);
}

#[test]
fn regions_and_zones() {
    let client = client();
    let filter = [("Filter.1.Name", "zone-type"), ("Filter.1.Value.1", "availability-zone")];
    let zones = client.region("us-west-1").ec2("DescribeAvailabilityZones", &filter).unwrap();
    assert_eq!(zones.all("availabilityZoneInfo", "zoneName"), ["us-west-1a", "us-west-1b"]);
    let regions = client.ec2("DescribeRegions", &[("RegionName.1", "us-west-2")]).unwrap();
    assert_eq!(regions.all("regionInfo", "regionEndpoint"), ["ec2.us-west-2.amazonaws.com"]);
}
