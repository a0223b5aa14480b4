//! What is checked, what the answers change, and what the network sees of it.

use std::time::Duration;

use rstest::rstest;

use super::{REGION, Site};
use crate::aws::elbv2::{Health, HealthCheck, fabric, health_checks, record_health_check};
use crate::clock::Latencies;

/// A load balancer with a listener and both instances as targets; gives their ARNs.
fn balanced(site: &Site) -> (String, String) {
    let (balancer, group) = (site.balancer("dns"), site.target_group("group"));
    site.listener(&balancer, &group);
    let [one, two] = [site.instances[0].as_str(), site.instances[1].as_str()];
    let both = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", one), ("Targets.member.2.Id", two)];
    site.call("RegisterTargets", &both).unwrap();
    (balancer, group)
}

fn checks(site: &Site) -> Vec<HealthCheck> {
    let mut checks = site.aws.read(REGION, |state, context| health_checks(state, context.now, &context.latencies));
    checks.sort_by_key(|check| check.address);
    checks
}

fn cross_zone(site: &Site, arn: &str) {
    let parameters = [
        ("LoadBalancerArn", arn),
        ("Attributes.member.1.Key", "load_balancing.cross_zone.enabled"),
        ("Attributes.member.1.Value", "true"),
    ];
    site.call("ModifyLoadBalancerAttributes", &parameters).unwrap();
}

#[test]
fn only_active_load_balancers_check_from_where_they_send() {
    let site = Site::with(Latencies::REALISTIC);
    let (balancer, group) = balanced(&site);
    assert!(checks(&site).is_empty(), "still provisioning");
    site.aws.clock().advance(Latencies::REALISTIC.load_balancer_provision);
    let found = checks(&site);
    assert_eq!(found.len(), 2);
    let zones = site.aws.read(REGION, |state, _| {
        let zones = state.elbv2.load_balancers[&balancer].zones.iter();
        zones.map(|zone| state.ec2.interfaces[&zone.interface].addresses[0]).collect::<Vec<_>>()
    });
    for (check, zone) in found.iter().zip(&zones) {
        assert_eq!((check.target_group.as_str(), check.vpc.as_str()), (group.as_str(), site.vpc.as_str()));
        assert_eq!(check.from, [*zone], "its own zone's address");
        assert_eq!((check.port, check.interval), (30053, Duration::from_secs(30)));
    }
    assert_eq!(found[0].instance, site.instances[0]);
    cross_zone(&site, &balancer);
    assert!(checks(&site).iter().all(|check| check.from == zones));
    site.aws.with(REGION, |state, context| state.ec2.terminate_instance(context, &site.instances[0]).unwrap());
    assert_eq!(checks(&site).len(), 1, "a terminated instance is not checked");
}

#[rstest]
#[case::new_and_good("+", Health::Healthy)]
#[case::new_and_bad_once("-", Health::Initial)]
#[case::new_and_bad("--", Health::Unhealthy)]
#[case::bad_then_good("-+", Health::Healthy)]
#[case::one_failure("+-", Health::Healthy)]
#[case::not_in_a_row("+-+-", Health::Healthy)]
#[case::two_in_a_row("+--", Health::Unhealthy)]
#[case::four_are_not_enough("--++++", Health::Unhealthy)]
#[case::five_are("--+++++", Health::Healthy)]
#[case::again_from_none("--++++-++++", Health::Unhealthy)]
fn as_many_in_a_row_as_the_threshold_change_the_health(#[case] answers: &str, #[case] expected: Health) {
    let site = Site::new();
    let (_, group) = balanced(&site);
    let health = site.aws.with(REGION, |state, _| {
        for answer in answers.chars() {
            record_health_check(state, &group, &site.instances[0], answer == '+');
        }
        record_health_check(state, &group, "i-gone", true);
        record_health_check(state, "arn:gone", &site.instances[0], true);
        state.elbv2.target_groups[&group].targets[&site.instances[0]].health
    });
    assert_eq!(health, expected);
}

#[test]
fn the_network_sees_addresses_zones_and_health() {
    let site = Site::with(Latencies::REALISTIC);
    let (arn, group) = balanced(&site);
    let seen = || site.aws.read(REGION, |state, context| fabric(state, context.now, &context.latencies)[&arn].clone());
    assert!(!seen().active && !seen().cross_zone);
    site.aws.clock().advance(Latencies::REALISTIC.load_balancer_provision);
    cross_zone(&site, &arn);
    site.aws.with(REGION, |state, _| record_health_check(state, &group, &site.instances[1], true));
    let seen = seen();
    assert!(seen.active && seen.cross_zone && seen.interfaces.len() == 2);
    assert_eq!((seen.name.as_str(), seen.vpc.as_str()), ("dns", site.vpc.as_str()));
    let listener = &seen.listeners[0];
    assert!(listener.port == 53 && listener.preserve_client_ip);
    let mut targets: Vec<_> =
        listener.targets.iter().map(|it| (it.availability_zone.as_str(), it.port, it.healthy)).collect();
    targets.sort_unstable();
    assert_eq!(targets, [("us-west-2a", 30053, false), ("us-west-2b", 30053, true)]);
}
