//! Target groups and targets on the wire.

use rstest::rstest;

use super::{REGION, Site};

#[test]
fn a_group_has_elbs_defaults() {
    let site = Site::new();
    let group = site.target_group("group");
    let seen = site.call("DescribeTargetGroups", &[("Names.member.1", "group")]).unwrap();
    let seen = seen.at("TargetGroups/member");
    let shown = |name: &str| seen.text(name);
    assert_eq!(shown("TargetGroupArn"), group);
    assert_eq!(shown("HealthCheckPort"), "traffic-port");
    assert_eq!([shown("HealthCheckIntervalSeconds"), shown("HealthCheckTimeoutSeconds")], ["30", "10"]);
    assert_eq!([shown("HealthyThresholdCount"), shown("UnhealthyThresholdCount")], ["5", "2"]);
    let attributes = site.call("DescribeTargetGroupAttributes", &[("TargetGroupArn", &group)]).unwrap();
    let preserve =
        attributes.at("Attributes").children.iter().find(|it| it.text("Key") == "preserve_client_ip.enabled");
    assert_eq!(preserve.unwrap().text("Value"), "true");
}

#[rstest]
#[case::again(&[], "ok")]
#[case::other_port(&[("Port", "30054")], "DuplicateTargetGroupName")]
#[case::other_check(&[("HealthCheckIntervalSeconds", "10")], "DuplicateTargetGroupName")]
#[case::name(&[("Name", "a_b")], "ValidationError")]
#[case::no_vpc(&[("Name", "x"), ("VpcId", "vpc-00000000000000000")], "ValidationError")]
#[case::udp(&[("Name", "x"), ("Protocol", "UDP")], "ValidationError")]
#[case::by_address(&[("Name", "x"), ("TargetType", "ip")], "ValidationError")]
#[case::often(&[("Name", "x"), ("HealthCheckIntervalSeconds", "4")], "ValidationError")]
#[case::slow(&[("Name", "x"), ("HealthCheckTimeoutSeconds", "40")], "ValidationError")]
#[case::threshold(&[("Name", "x"), ("HealthyThresholdCount", "11")], "ValidationError")]
#[case::negative(&[("Name", "x"), ("HealthyThresholdCount", "-1")], "ValidationError")]
#[case::http(&[("Name", "x"), ("HealthCheckProtocol", "HTTP")], "ValidationError")]
#[case::port(&[("Name", "x"), ("Port", "0")], "ValidationError")]
fn groups_are_checked(#[case] changed: &[(&str, &str)], #[case] code: &str) {
    let site = Site::new();
    site.target_group("group");
    let vpc = site.vpc.clone();
    let mut parameters = vec![("Name", "group"), ("Protocol", "TCP"), ("Port", "30053"), ("VpcId", vpc.as_str())];
    parameters.extend(changed);
    assert_eq!(site.code("CreateTargetGroup", &parameters), code);
}

#[test]
fn the_health_check_can_be_changed() {
    let site = Site::new();
    let group = site.target_group("group");
    let parameters = [("TargetGroupArn", group.as_str()), ("UnhealthyThresholdCount", "3")];
    let changed = site.call("ModifyTargetGroup", &parameters).unwrap();
    assert_eq!(changed.text("TargetGroups/member/UnhealthyThresholdCount"), "3");
    assert_eq!(changed.text("TargetGroups/member/HealthyThresholdCount"), "5");
    let parameters = [("TargetGroupArn", group.as_str()), ("HealthCheckIntervalSeconds", "5")];
    assert_eq!(site.code("ModifyTargetGroup", &parameters), "ValidationError", "less than the timeout");
}

#[test]
fn targets_are_running_instances_of_the_vpc() {
    let site = Site::new();
    let other = Site::in_vpc(site.aws.clone());
    let group = site.target_group("group");
    let register = |id: &str| {
        let parameters = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id)];
        site.call("RegisterTargets", &parameters).map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    };
    assert_eq!(
        register("i-00000000000000000"),
        "InvalidTarget: The following targets are not valid instances: 'i-00000000000000000'"
    );
    assert!(register(&other.instances[0]).contains("are not in the target group VPC"));
    assert_eq!(register(&site.instances[0]), "ok");
    site.aws.with(REGION, |state, context| state.ec2.terminate_instance(context, &site.instances[1]).unwrap());
    assert!(register(&site.instances[1]).contains("not in a running state"));
    assert_eq!(site.code("RegisterTargets", &[("TargetGroupArn", &group)]), "MissingParameter");

    // All or none.
    let parameters = [
        ("TargetGroupArn", group.as_str()),
        ("Targets.member.1.Id", &site.instances[0]),
        ("Targets.member.1.Port", "31000"),
        ("Targets.member.2.Id", "i-00000000000000000"),
    ];
    assert_eq!(site.code("RegisterTargets", &parameters), "InvalidTarget");
    site.aws.read(REGION, |state, _| {
        assert_eq!(state.elbv2.target_groups[&group].targets[&site.instances[0]].port, 30053);
    });
}

#[test]
fn health_is_shown_with_its_reason() {
    let site = Site::new();
    let (balancer, group) = (site.balancer("dns"), site.target_group("group"));
    let (one, two) = (site.instances[0].as_str(), site.instances[1].as_str());
    let both = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", one), ("Targets.member.2.Id", two)];
    let shown = || {
        let answer = site.call("DescribeTargetHealth", &both).unwrap();
        let members = answer.at("TargetHealthDescriptions").children.iter();
        let mut all: Vec<_> = members
            .map(|it| {
                let reason = if it.has("TargetHealth/Reason") { it.text("TargetHealth/Reason") } else { String::new() };
                (it.text("Target/Id"), it.text("TargetHealth/State"), reason)
            })
            .collect();
        all.sort_by_key(|(id, ..)| id != one);
        all.into_iter().map(|(_, state, reason)| format!("{state} {reason}")).collect::<Vec<_>>()
    };
    site.call("RegisterTargets", &[("TargetGroupArn", &group), ("Targets.member.1.Id", one)]).unwrap();
    assert_eq!(shown(), ["unused Target.NotInUse", "unused Target.NotRegistered"]);
    site.listener(&balancer, &group);
    assert_eq!(shown()[0], "initial Elb.RegistrationInProgress");
    let record = |ok| {
        site.aws.with(REGION, |state, _| crate::aws::elbv2::record_health_check(state, &group, one, ok));
    };
    record(true);
    assert_eq!(shown()[0], "healthy ");
    record(false);
    record(false);
    assert_eq!(shown()[0], "unhealthy Target.FailedHealthChecks");
    site.aws.with(REGION, |state, context| state.ec2.terminate_instance(context, one).unwrap());
    assert_eq!(shown()[0], "unused Target.InvalidState");
    site.call("DeregisterTargets", &both).unwrap();
    assert_eq!(shown(), ["unused Target.NotRegistered", "unused Target.NotRegistered"]);
}
