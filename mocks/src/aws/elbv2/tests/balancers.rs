//! Load balancers, listeners and tags on the wire.

use std::time::Duration;

use rstest::rstest;

use super::{REGION, Site, listener};
use crate::aws::wire::testing::Client;
use crate::clock::Latencies;

#[test]
fn a_load_balancer_has_an_interface_in_each_subnet_and_becomes_active() {
    let site = Site::with(Latencies::REALISTIC);
    let parameters = [
        ("Name", "dns"),
        ("Type", "network"),
        ("Scheme", "internal"),
        ("SubnetMappings.member.1.SubnetId", site.private[0].as_str()),
        ("SubnetMappings.member.2.SubnetId", site.private[1].as_str()),
        ("Tags.member.1.Key", "run"),
        ("Tags.member.1.Value", "r1"),
    ];
    let made = site.call("CreateLoadBalancer", &parameters).unwrap();
    let balancer = made.at("LoadBalancers/member");
    let arn = balancer.text("LoadBalancerArn");
    let id = arn.rsplit('/').next().unwrap();
    assert_eq!(arn, format!("arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/net/dns/{id}"));
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(balancer.text("DNSName"), format!("dns-{id}.elb.us-west-2.amazonaws.com"));
    assert_eq!(balancer.text("State/Code"), "provisioning");
    assert_eq!(balancer.all("AvailabilityZones", "ZoneName"), ["us-west-2a", "us-west-2b"]);
    assert_eq!(site.interfaces(), vec![format!("ELB net/dns/{id}"); 2]);
    site.aws.read(REGION, |state, _| {
        let all = state.ec2.interfaces.values().filter(|it| it.interface_type == "network_load_balancer");
        for interface in all {
            assert_eq!(interface.requester.as_deref(), Some("amazon-elb"));
            assert!(interface.groups.is_empty() && !interface.source_dest_check);
        }
    });

    let code = || site.call("DescribeLoadBalancers", &[("Names.member.1", "dns")]).unwrap();
    assert_eq!(code().text("LoadBalancers/member/State/Code"), "provisioning");
    site.aws.clock().advance(Latencies::REALISTIC.load_balancer_provision);
    assert_eq!(code().text("LoadBalancers/member/State/Code"), "active");
    assert!(site.aws.read(REGION, |state, _| state.elbv2.load_balancers[&arn].tags["run"] == "r1"));
}

#[test]
fn without_latency_only_the_answer_that_creates_says_provisioning() {
    let site = Site::new();
    let parameters =
        [("Name", "dns"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", &site.private[0])];
    let made = site.call("CreateLoadBalancer", &parameters).unwrap();
    assert_eq!(made.text("LoadBalancers/member/State/Code"), "provisioning");
    let seen = site.call("DescribeLoadBalancers", &[]).unwrap();
    assert_eq!(seen.text("LoadBalancers/member/State/Code"), "active");
}

#[test]
fn a_deleted_load_balancer_holds_its_subnets_for_a_while() {
    let site = Site::with(Latencies::REALISTIC);
    let arn = site.balancer("dns");
    let group = site.target_group("group");
    site.listener(&arn, &group);
    let ec2 = Client::new(&site.aws, REGION);
    site.call("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    assert_eq!(site.code("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &arn)]), "LoadBalancerNotFound");
    assert_eq!(site.code("DescribeListeners", &[("LoadBalancerArn", &arn)]), "LoadBalancerNotFound");
    assert_eq!(site.code("DeleteTargetGroup", &[("TargetGroupArn", &group)]), "ok", "its listeners went with it");
    site.aws.clock().advance(Latencies::REALISTIC.load_balancer_release - Duration::from_secs(1));
    assert_eq!(site.interfaces().len(), 2);
    assert_eq!(ec2.code("DeleteSubnet", &[("SubnetId", &site.private[1])]), "DependencyViolation");
    site.aws.clock().advance(Duration::from_secs(1));
    assert!(site.interfaces().is_empty());
    assert_eq!(site.code("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]), "ok", "again is no error");
}

#[test]
fn the_same_request_again_gives_the_same_load_balancer() {
    let site = Site::new();
    assert_eq!(site.balancer("dns"), site.balancer("dns"));
    assert_eq!(site.interfaces().len(), 2);
}

#[rstest]
#[case::long_name(&[("Name", "a23456789012345678901234567890123")], "ValidationError")]
#[case::dash(&[("Name", "-a")], "ValidationError")]
#[case::dot(&[("Name", "a.b")], "ValidationError")]
#[case::internal(&[("Name", "internal-a")], "ValidationError")]
#[case::no_name(&[("Name", "")], "MissingParameter")]
#[case::application(&[("Type", "application")], "ValidationError")]
#[case::scheme(&[("Scheme", "public")], "ValidationError")]
#[case::no_subnet(&[("Subnets.member.1", "subnet-00000000000000000")], "SubnetNotFound")]
#[case::group(&[("SecurityGroups.member.1", "sg-00000000000000000")], "InvalidSecurityGroup")]
#[case::other_settings(&[("Name", "dns"), ("Scheme", "internet-facing")], "DuplicateLoadBalancerName")]
#[case::reserved_tag(&[("Tags.member.1.Key", "aws:x")], "ValidationError")]
#[case::twice(&[("Tags.member.1.Key", "x"), ("Tags.member.2.Key", "x")], "DuplicateTagKeys")]
fn what_no_load_balancer_can_be_is_refused(#[case] changed: &[(&str, &str)], #[case] code: &str) {
    let site = Site::new();
    site.balancer("dns");
    let subnet = site.private[0].clone();
    let mut parameters =
        vec![("Name", "other"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", &subnet)];
    parameters.extend(changed);
    assert_eq!(site.code("CreateLoadBalancer", &parameters), code);
    assert_eq!(site.interfaces().len(), 2, "nothing of it is left");
}

#[test]
fn one_subnet_of_each_zone_in_one_vpc() {
    let site = Site::new();
    let other = Site::in_vpc(site.aws.clone());
    let code = |one: &str, two: &str| {
        let parameters = [
            ("Name", "x"),
            ("Type", "network"),
            ("Scheme", "internal"),
            ("Subnets.member.1", one),
            ("Subnets.member.2", two),
        ];
        site.code("CreateLoadBalancer", &parameters)
    };
    assert_eq!(code(&site.private[0], &site.public[0]), "InvalidConfigurationRequest");
    assert_eq!(code(&site.private[0], &other.private[1]), "InvalidConfigurationRequest");
    assert_eq!(code(&site.private[0], &site.public[1]), "ok");
}

#[test]
fn a_subnet_needs_eight_free_addresses() {
    let site = Site::new();
    let small = site.aws.with(REGION, |state, context| {
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let block = "10.1.200.0/28".parse().unwrap();
        let small = ec2.create_subnet(ids, context, &site.vpc, block, "us-west-2c", Default::default()).unwrap();
        for _ in 0..4 {
            ec2.run_instance(ids, context, &small, &[], "m5.large", Default::default()).unwrap();
        }
        small
    });
    let parameters = [("Name", "x"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", &small)];
    assert_eq!(site.code("CreateLoadBalancer", &parameters), "InvalidSubnet");
}

#[test]
fn attributes_are_known_ones_and_protect() {
    let site = Site::new();
    let arn = site.balancer("dns");
    let set = |key: &str, value: &str| {
        let parameters =
            [("LoadBalancerArn", arn.as_str()), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
        site.code("ModifyLoadBalancerAttributes", &parameters)
    };
    assert_eq!(set("load_balancing.cross_zone.enabled", "true"), "ok");
    assert_eq!(set("load_balancing.cross_zone.enabled", "yes"), "ValidationError");
    assert_eq!(set("idle_timeout.timeout_seconds", "60"), "ValidationError", "of Application Load Balancers");
    assert_eq!(set("deletion_protection.enabled", "true"), "ok");
    assert_eq!(site.code("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]), "OperationNotPermitted");
    let all = site.call("DescribeLoadBalancerAttributes", &[("LoadBalancerArn", &arn)]).unwrap();
    let named =
        |key: &str| all.at("Attributes").children.iter().find(|it| it.text("Key") == key).unwrap().text("Value");
    assert_eq!(named("load_balancing.cross_zone.enabled"), "true");
    assert_eq!(named("zonal_shift.config.enabled"), "false");
}

#[test]
fn security_groups_can_be_replaced_but_not_added_later() {
    let site = Site::new();
    let bare = site.balancer("bare");
    let set = |arn: &str, group: &str| {
        site.code("SetSecurityGroups", &[("LoadBalancerArn", arn), ("SecurityGroups.member.1", group)])
    };
    assert_eq!(set(&bare, &site.group), "InvalidConfigurationRequest");
    let parameters = [
        ("Name", "filtered"),
        ("Type", "network"),
        ("Scheme", "internal"),
        ("Subnets.member.1", site.private[0].as_str()),
        ("SecurityGroups.member.1", site.group.as_str()),
    ];
    let arn = site.call("CreateLoadBalancer", &parameters).unwrap().text("LoadBalancers/member/LoadBalancerArn");
    let default = site.aws.read(REGION, |state, _| state.ec2.default_group(&site.vpc).unwrap().to_owned());
    assert_eq!(set(&arn, &default), "ok");
    site.aws.read(REGION, |state, _| {
        let zone = &state.elbv2.load_balancers[&arn].zones[0];
        assert_eq!(state.ec2.interfaces[&zone.interface].groups, std::slice::from_ref(&default));
    });
}

#[test]
fn listeners_forward_to_a_target_group_of_their_own() {
    let site = Site::new();
    let (arn, group) = (site.balancer("dns"), site.target_group("group"));
    let made = site.listener(&arn, &group);
    assert!(made.starts_with(&arn.replace(":loadbalancer/", ":listener/")), "{made}");
    assert_eq!(site.listener(&arn, &group), made, "again is the same");
    let next = site.target_group("next");
    assert_eq!(site.code("CreateListener", &listener(&arn, "53", &next)), "DuplicateListener");
    assert_eq!(site.code("CreateListener", &listener(&arn, "70000", &next)), "ValidationError");
    assert_eq!(site.code("CreateListener", &listener(&arn, "54", "arn:none")), "TargetGroupNotFound");
    assert_eq!(site.code("CreateListener", &listener("arn:none", "54", &next)), "LoadBalancerNotFound");
    let second = site.balancer("second");
    assert_eq!(site.code("CreateListener", &listener(&second, "53", &group)), "TargetGroupAssociationLimit");
    assert_eq!(site.code("DeleteTargetGroup", &[("TargetGroupArn", &group)]), "ResourceInUse");

    let changed = [
        ("ListenerArn", made.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", next.as_str()),
    ];
    let changed = site.call("ModifyListener", &changed).unwrap();
    assert_eq!(changed.text("Listeners/member/DefaultActions/member/TargetGroupArn"), next);
    let used = site.call("DescribeTargetGroups", &[("LoadBalancerArn", &arn)]).unwrap();
    assert_eq!(used.all("TargetGroups", "TargetGroupName"), ["next"]);
    assert_eq!(site.code("DeleteListener", &[("ListenerArn", &made)]), "ok");
    assert_eq!(site.code("DeleteListener", &[("ListenerArn", &made)]), "ListenerNotFound");
    assert_eq!(site.code("DescribeListeners", &[("ListenerArns.member.1", &made)]), "ListenerNotFound");
}

#[test]
fn nothing_is_seen_from_another_region() {
    let site = Site::new();
    let (arn, group) = (site.balancer("dns"), site.target_group("group"));
    let made = site.listener(&arn, &group);
    let elsewhere = Client::new(&site.aws, "us-east-1");
    let code = |action: &str, parameters: &[(&str, &str)]| {
        elsewhere.call("elasticloadbalancing", action, parameters).map_or_else(|error| error.code, |_| "ok".to_owned())
    };
    assert_eq!(code("DescribeLoadBalancers", &[("Names.member.1", "dns")]), "LoadBalancerNotFound");
    assert_eq!(code("DeleteListener", &[("ListenerArn", &made)]), "ListenerNotFound");
    assert_eq!(code("DescribeTargetHealth", &[("TargetGroupArn", &group)]), "TargetGroupNotFound");
    assert_eq!(code("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]), "ok", "and nothing happens");
    assert_eq!(site.interfaces().len(), 2);
}

#[test]
fn lists_come_in_pages() {
    let site = Site::new();
    let mut made: Vec<_> = ["a", "b", "c"].into_iter().map(|name| site.balancer(name)).collect();
    made.sort();
    let first = site.call("DescribeLoadBalancers", &[("PageSize", "2")]).unwrap();
    assert_eq!(first.all("LoadBalancers", "LoadBalancerArn"), made[..2]);
    let marker = first.text("NextMarker");
    let rest = site.call("DescribeLoadBalancers", &[("PageSize", "2"), ("Marker", &marker)]).unwrap();
    assert_eq!(rest.all("LoadBalancers", "LoadBalancerArn"), made[2..]);
    assert!(!rest.has("NextMarker"));
}

#[test]
fn tags_are_added_read_and_removed() {
    let site = Site::new();
    let (arn, group) = (site.balancer("dns"), site.target_group("group"));
    let made = site.listener(&arn, &group);
    let named =
        [("ResourceArns.member.1", arn.as_str()), ("ResourceArns.member.2", &made), ("ResourceArns.member.3", &group)];
    let with =
        |more: &[(&'static str, &'static str)]| named.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    site.call("AddTags", &with(&[("Tags.member.1.Key", "run"), ("Tags.member.1.Value", "r1")])).unwrap();
    let seen = site.call("DescribeTags", &named).unwrap();
    assert_eq!(seen.all("TagDescriptions", "Tags/member/Value"), ["r1", "r1", "r1"]);
    site.call("RemoveTags", &with(&[("TagKeys.member.1", "run")])).unwrap();
    let seen = site.call("DescribeTags", &named).unwrap();
    assert!(seen.at("TagDescriptions").children.iter().all(|it| it.at("Tags").children.is_empty()));
    assert_eq!(site.code("DescribeTags", &[]), "ValidationError");
    assert_eq!(
        site.code("DescribeTags", &[("ResourceArns.member.1", &arn.replace("/dns/", "/x/"))]),
        "LoadBalancerNotFound"
    );
}

#[test]
fn what_is_not_emulated_says_so() {
    let error = Site::new().call("CreateRule", &[]).unwrap_err();
    assert_eq!(error.code, "InvalidAction");
    assert!(error.message.contains("ELBv2 is emulated without it"), "{error}");
}
