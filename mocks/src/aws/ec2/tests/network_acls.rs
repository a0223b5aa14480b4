//! Network ACLs.

use rstest::rstest;

use super::client;

#[test]
fn entries_are_made_replaced_and_deleted() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let acl = client.ec2("CreateNetworkAcl", &[("VpcId", &vpc)]).unwrap().text("networkAcl/networkAclId");
    let entry = |action: &str, rule: &str| {
        let parameters = [
            ("NetworkAclId", acl.as_str()),
            ("RuleNumber", "90"),
            ("Egress", "false"),
            ("Protocol", "6"),
            ("PortRange.From", "53"),
            ("PortRange.To", "53"),
            ("CidrBlock", "10.2.3.4/16"),
            ("RuleAction", rule),
        ];
        client.code(action, &parameters)
    };
    assert_eq!(entry("ReplaceNetworkAclEntry", "deny"), "InvalidNetworkAclEntry.NotFound");
    assert_eq!(entry("CreateNetworkAclEntry", "allow"), "ok");
    assert_eq!(entry("CreateNetworkAclEntry", "deny"), "NetworkAclEntryAlreadyExists");
    assert_eq!(entry("ReplaceNetworkAclEntry", "deny"), "ok");
    let answer = client.ec2("DescribeNetworkAcls", &[("NetworkAclId.1", &acl)]).unwrap();
    let item = answer.at("networkAclSet/item");
    assert_eq!(item.all("entrySet", "ruleNumber"), ["90", "32767", "32767"]);
    assert_eq!(item.text("entrySet/item/ruleAction"), "deny");
    assert_eq!(item.text("entrySet/item/cidrBlock"), "10.2.0.0/16");
    let delete = |egress| {
        client.code("DeleteNetworkAclEntry", &[("NetworkAclId", &acl), ("RuleNumber", "90"), ("Egress", egress)])
    };
    assert_eq!([delete("true"), delete("false")], ["InvalidNetworkAclEntry.NotFound", "ok"]);
}

#[rstest]
#[case::number_of_the_last("RuleNumber", "32767", "InvalidParameterValue")]
#[case::number_out_of_range("RuleNumber", "70000", "InvalidParameterValue")]
#[case::action("RuleAction", "maybe", "InvalidParameterValue")]
#[case::protocol("Protocol", "gre", "InvalidParameterValue")]
#[case::tcp_without_ports("Protocol", "tcp", "MissingParameter")]
#[case::fine("Protocol", "-1", "ok")]
fn entries_are_checked(#[case] name: &str, #[case] value: &str, #[case] code: &str) {
    let client = client();
    client.vpc("10.1.0.0/16");
    let acl = client.ec2("DescribeNetworkAcls", &[]).unwrap().text("networkAclSet/item/networkAclId");
    let parameters = [
        ("NetworkAclId", acl.as_str()),
        ("RuleNumber", "50"),
        ("Egress", "true"),
        ("Protocol", "-1"),
        ("CidrBlock", "10.2.0.0/16"),
        ("RuleAction", "deny"),
        (name, value),
    ];
    assert_eq!(client.code("CreateNetworkAclEntry", &parameters), code);
}

#[test]
fn an_association_moves_to_another_acl() {
    let client = client();
    let vpc = client.vpc("10.1.0.0/16");
    let subnet = client.subnet(&vpc, "10.1.0.0/24");
    let of_subnet = || {
        let filter = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet.as_str())];
        client.ec2("DescribeNetworkAcls", &filter).unwrap().at("networkAclSet/item").clone()
    };
    let default = of_subnet();
    assert_eq!(default.text("default"), "true");
    let acl = client.ec2("CreateNetworkAcl", &[("VpcId", &vpc)]).unwrap().text("networkAcl/networkAclId");
    let association = default.text("associationSet/item/networkAclAssociationId");
    let replace = [("AssociationId", association.as_str()), ("NetworkAclId", &acl)];
    client.ec2("ReplaceNetworkAclAssociation", &replace).unwrap();
    assert_eq!(of_subnet().text("networkAclId"), acl);
    assert_eq!(client.code("ReplaceNetworkAclAssociation", &replace), "InvalidAssociationID.NotFound");
    assert_eq!(client.code("DeleteNetworkAcl", &[("NetworkAclId", &acl)]), "DependencyViolation");
    let default = default.text("networkAclId");
    assert_eq!(client.code("DeleteNetworkAcl", &[("NetworkAclId", &default)]), "InvalidParameterValue");
}
