//! Security groups and their rules.

use rstest::rstest;

use super::client;
use crate::aws::wire::testing::Client;

const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";
const REVOKE: &str = "RevokeSecurityGroupIngress";

fn group() -> (Client, String, String) {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let group = client.group(&vpc, "nodes");
    (client, vpc, group)
}

/// A permission for a CIDR block.
fn permission<'a>(
    group: &'a str,
    protocol: &'a str,
    ports: Option<(&'a str, &'a str)>,
    cidr: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut parameters =
        vec![("GroupId", group), ("IpPermissions.1.IpProtocol", protocol), ("IpPermissions.1.IpRanges.1.CidrIp", cidr)];
    if let Some((from, to)) = ports {
        parameters.extend([("IpPermissions.1.FromPort", from), ("IpPermissions.1.ToPort", to)]);
    }
    parameters
}

#[rstest]
#[case::all("-1", None, r#"the specified rule "peer: 10.2.0.0/16, ALL, ALLOW" already exists"#)]
#[case::tcp("tcp", Some(("80", "80")), r#"the specified rule "peer: 10.2.0.0/16, TCP, from port: 80, to port: 80, ALLOW" already exists"#)]
#[case::by_number("17", Some(("53", "54")), r#"the specified rule "peer: 10.2.0.0/16, UDP, from port: 53, to port: 54, ALLOW" already exists"#)]
fn a_rule_that_exists_is_refused_whatever_its_description(
    #[case] protocol: &str,
    #[case] ports: Option<(&str, &str)>,
    #[case] message: &str,
) {
    let (client, _, group) = group();
    let mut parameters = permission(&group, protocol, ports, "10.2.0.0/16");
    client.ec2(AUTHORIZE, &parameters).unwrap();
    parameters.push(("IpPermissions.1.IpRanges.1.Description", "another"));
    let error = client.ec2(AUTHORIZE, &parameters).unwrap_err();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("InvalidPermission.Duplicate", message));
}

#[test]
fn host_bits_of_a_block_are_cleared() {
    let (client, _, group) = group();
    let made = client.ec2(AUTHORIZE, &permission(&group, "-1", None, "10.2.3.4/16")).unwrap();
    assert_eq!(made.all("securityGroupRuleSet", "cidrIpv4"), ["10.2.0.0/16"]);
    assert_eq!(made.all("securityGroupRuleSet", "fromPort"), ["-1"]);
    assert_eq!(client.code(AUTHORIZE, &permission(&group, "-1", None, "10.2.0.0/16")), "InvalidPermission.Duplicate");
}

#[rstest]
#[case::no_ports("tcp", None, "InvalidParameterValue")]
#[case::port_out_of_range("tcp", Some(("1", "65536")), "InvalidParameterValue")]
#[case::ports_the_wrong_way_round("udp", Some(("80", "79")), "InvalidParameterValue")]
#[case::unknown_protocol("quic", Some(("80", "80")), "InvalidParameterValue")]
#[case::all_ports_of_icmp("icmp", None, "ok")]
#[case::other_protocol("50", None, "ok")]
fn permissions_are_checked(#[case] protocol: &str, #[case] ports: Option<(&str, &str)>, #[case] code: &str) {
    let (client, _, group) = group();
    assert_eq!(client.code(AUTHORIZE, &permission(&group, protocol, ports, "10.2.0.0/16")), code);
}

#[test]
fn what_is_not_there_cannot_be_revoked() {
    let (client, _, group) = group();
    let error = client.ec2(REVOKE, &permission(&group, "-1", None, "10.2.0.0/16")).unwrap_err();
    assert_eq!(error.code, "InvalidPermission.NotFound");
    assert_eq!(error.message, "The specified rule does not exist in this security group.");
    // An outbound rule is not an inbound one.
    assert_eq!(client.code(REVOKE, &permission(&group, "-1", None, "0.0.0.0/0")), "InvalidPermission.NotFound");
    assert_eq!(client.code("RevokeSecurityGroupEgress", &permission(&group, "-1", None, "0.0.0.0/0")), "ok");
}

#[test]
fn rules_are_revoked_by_their_ids() {
    let (client, _, group) = group();
    let made = client.ec2(AUTHORIZE, &permission(&group, "-1", None, "10.2.0.0/16")).unwrap();
    let rule = made.all("securityGroupRuleSet", "securityGroupRuleId").remove(0);
    let by_id = [("GroupId", group.as_str()), ("SecurityGroupRuleId.1", &rule)];
    assert_eq!(client.code("RevokeSecurityGroupEgress", &by_id), "InvalidSecurityGroupRuleId.NotFound");
    assert_eq!(client.code(REVOKE, &by_id), "ok");
    assert_eq!(client.code(REVOKE, &by_id), "InvalidSecurityGroupRuleId.NotFound");
    let left = client.ec2("DescribeSecurityGroupRules", &[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", &group)]);
    assert_eq!(left.unwrap().all("securityGroupRuleSet", "isEgress"), ["true"]);
}

#[test]
fn a_new_group_lets_everything_out_and_nothing_in() {
    let (client, _, group) = group();
    let answer = client.ec2("DescribeSecurityGroups", &[("GroupId.1", &group)]).unwrap();
    let item = answer.at("securityGroupInfo/item");
    assert!(item.at("ipPermissions").children.is_empty());
    assert_eq!(item.text("ipPermissionsEgress/item/ipProtocol"), "-1");
    assert_eq!(item.text("ipPermissionsEgress/item/ipRanges/item/cidrIp"), "0.0.0.0/0");
}

#[test]
fn sixty_rules_of_each_direction_are_the_limit() {
    let (client, _, group) = group();
    let blocks: Vec<String> = (0..60).map(|n| format!("172.16.{n}.0/24")).collect();
    for block in &blocks {
        client.ec2(AUTHORIZE, &permission(&group, "-1", None, block)).unwrap();
    }
    let one_more = permission(&group, "-1", None, "172.16.60.0/24");
    assert_eq!(client.code(AUTHORIZE, &one_more), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(client.code("AuthorizeSecurityGroupEgress", &one_more), "ok");
}

#[test]
fn of_several_rules_all_or_none_are_added() {
    let (client, _, group) = group();
    client.ec2(AUTHORIZE, &permission(&group, "-1", None, "10.2.0.0/16")).unwrap();
    let mut two = permission(&group, "-1", None, "10.3.0.0/16");
    two.push(("IpPermissions.1.IpRanges.2.CidrIp", "10.2.0.0/16"));
    assert_eq!(client.code(AUTHORIZE, &two), "InvalidPermission.Duplicate");
    assert_eq!(client.code(REVOKE, &permission(&group, "-1", None, "10.3.0.0/16")), "InvalidPermission.NotFound");
    let mut twice = permission(&group, "-1", None, "10.3.0.0/16");
    twice.push(("IpPermissions.1.IpRanges.2.CidrIp", "10.3.0.0/16"));
    let error = client.ec2(AUTHORIZE, &twice).unwrap_err();
    assert_eq!(error.message, "The same permission must not appear multiple times");
}

#[rstest]
#[case::taken("nodes", "InvalidGroup.Duplicate")]
#[case::reserved("default", "InvalidGroup.Reserved")]
#[case::like_an_id("sg-nodes", "InvalidParameterValue")]
fn group_names_that_are_refused(#[case] name: &str, #[case] code: &str) {
    let (client, vpc, _) = group();
    let parameters = [("VpcId", vpc.as_str()), ("GroupName", name), ("GroupDescription", "again")];
    assert_eq!(client.code("CreateSecurityGroup", &parameters), code);
}

#[test]
fn a_group_that_an_interface_carries_cannot_be_deleted() {
    let (client, vpc, group) = group();
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let instance = client.instance(&subnet, &group);
    let error = client.ec2("DeleteSecurityGroup", &[("GroupId", &group)]).unwrap_err();
    assert_eq!(error.code, "DependencyViolation");
    assert_eq!(error.message, format!("resource {group} has a dependent object"));
    client.ec2("TerminateInstances", &[("InstanceId.1", &instance)]).unwrap();
    assert_eq!(client.code("DeleteSecurityGroup", &[("GroupId", &group)]), "ok");
}

#[test]
fn a_group_that_another_groups_rule_names_cannot_be_deleted() {
    let (client, vpc, first) = group();
    let second = client.group(&vpc, "control-plane");
    let rule = |group: &str, peer: &str| {
        let parameters =
            [("GroupId", group), ("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.Groups.1.GroupId", peer)];
        client.code(AUTHORIZE, &parameters)
    };
    assert_eq!(rule(&first, "sg-0123456789abcdef0"), "InvalidGroup.NotFound");
    assert_eq!([rule(&first, &first), rule(&second, &first)], ["ok", "ok"]);
    assert_eq!(rule(&second, &first), "InvalidPermission.Duplicate");
    assert_eq!(client.code("DeleteSecurityGroup", &[("GroupId", &first)]), "DependencyViolation");
    client.ec2("DeleteSecurityGroup", &[("GroupId", &second)]).unwrap();
    // A rule that names the own group is no obstacle.
    assert_eq!(client.code("DeleteSecurityGroup", &[("GroupId", &first)]), "ok");
}

#[test]
fn a_group_of_another_vpc_is_named_only_over_an_active_connection() {
    let (client, a, group) = group();
    let b = client.vpc("10.2.0.0/16");
    let other = client.group(&b, "nodes");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.Groups.1.GroupId", &other),
    ];
    let id = client.peer(&a, &b, "us-west-2");
    assert_eq!(client.code(AUTHORIZE, &rule), "InvalidGroup.NotFound");
    client.ec2("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &id)]).unwrap();
    assert_eq!(client.code(AUTHORIZE, &rule), "ok");
}

#[test]
fn the_default_group_cannot_be_deleted() {
    let (client, ..) = group();
    let filter = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default")];
    let id = client.ec2("DescribeSecurityGroups", &filter).unwrap().text("securityGroupInfo/item/groupId");
    assert_eq!(client.code("DeleteSecurityGroup", &[("GroupId", &id)]), "CannotDelete");
}

#[test]
fn rules_carry_tags_of_their_own() {
    let (client, _, group) = group();
    let mut parameters = permission(&group, "-1", None, "10.2.0.0/16");
    parameters.extend([
        ("TagSpecification.1.ResourceType", "security-group-rule"),
        ("TagSpecification.1.Tag.1.Key", "run"),
        ("TagSpecification.1.Tag.1.Value", "7"),
    ]);
    client.ec2(AUTHORIZE, &parameters).unwrap();
    let filter = [("Filter.1.Name", "tag:run"), ("Filter.1.Value.1", "7")];
    let rules = client.ec2("DescribeSecurityGroupRules", &filter).unwrap();
    assert_eq!(rules.all("securityGroupRuleSet", "cidrIpv4"), ["10.2.0.0/16"]);
    let tags = client.ec2("DescribeTags", &[("Filter.1.Name", "key"), ("Filter.1.Value.1", "run")]).unwrap();
    assert_eq!(tags.all("tagSet", "resourceType"), ["security-group-rule"]);
}
