//! The load balancers of Services.

use ipnet::Ipv4Net;
use rstest::rstest;

use super::{REGION, Site};
use crate::aws::AwsError;
use crate::aws::elbv2::{Ensured, ServiceLoadBalancer, delete_service_load_balancer, ensure_service_load_balancer};
use crate::aws::tags::Tags;

const NAME: &str = "a0b15ed35c02a45288e1f0123456789a";

fn wanted(site: &Site) -> ServiceLoadBalancer {
    ServiceLoadBalancer {
        cluster: "one".to_owned(),
        vpc: site.vpc.clone(),
        namespace: "kube-system".to_owned(),
        service: "across-cluster-dns-tcp".to_owned(),
        uid: "0b15ed35-c02a-4528-8e1f-0123456789ab".to_owned(),
        internal: true,
        cross_zone: true,
        ports: vec![(53, 30053)],
        instances: site.instances.clone(),
        source_ranges: Vec::new(),
        extra_tags: Tags::from([("run".to_owned(), "r1".to_owned())]),
    }
}

fn ensure(site: &Site, wanted: &ServiceLoadBalancer) -> Result<Ensured, AwsError> {
    site.aws.with(REGION, |state, context| ensure_service_load_balancer(state, context, wanted))
}

fn delete(site: &Site, service: &str) {
    let result = site
        .aws
        .with(REGION, |state, context| delete_service_load_balancer(state, context, "one", "kube-system", service));
    result.unwrap();
}

/// The inbound rules of a security group, one a line.
fn rules(site: &Site, group: &str) -> Vec<String> {
    site.aws.read(REGION, |state, _| {
        let mut all: Vec<_> = state.ec2.security_groups[group]
            .rules
            .values()
            .filter(|rule| !rule.egress)
            .map(|rule| {
                let acrossk8s_vpc::RulePeer::Cidr(block) = &rule.peer else { return "group".to_owned() };
                let description = rule.description.as_deref().unwrap_or_default();
                format!("{} {}-{} {block} {description}", rule.protocol, rule.from_port, rule.to_port)
            })
            .collect();
        all.sort_unstable();
        all
    })
}

#[test]
fn a_service_gets_what_the_cloud_provider_makes() {
    let site = Site::new();
    let ensured = ensure(&site, &wanted(&site)).unwrap();
    site.aws.read(REGION, |state, _| {
        let balancer = &state.elbv2.load_balancers[&ensured.arn];
        assert_eq!(balancer.name, NAME);
        assert_eq!(ensured.hostname, format!("{NAME}-{}.elb.us-west-2.amazonaws.com", balancer.id));
        let first = ensured.hostname.split('-').next().unwrap();
        assert_eq!(first, NAME, "as the document cuts it");
        assert_eq!(balancer.scheme, "internal");
        assert!(balancer.cross_zone());
        assert_eq!(balancer.zones.iter().map(|zone| zone.subnet.clone()).collect::<Vec<_>>(), site.private);
        let (_, listener) = state.elbv2.listeners.iter().next().unwrap();
        assert_eq!((listener.port, listener.load_balancer.as_str()), (53, ensured.arn.as_str()));
        let group = &state.elbv2.target_groups[&listener.target_group];
        let hash = group.name.strip_prefix("k8s-kubesyst-acrosscl-").unwrap();
        assert!(hash.len() == 10 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
        assert_eq!(
            (group.port, group.health_check.healthy_threshold, group.health_check.unhealthy_threshold),
            (30053, 3, 3)
        );
        assert_eq!(
            group.targets.keys().cloned().collect::<std::collections::BTreeSet<_>>(),
            site.instances.iter().cloned().collect()
        );
        for tags in [&balancer.tags, &group.tags, &listener.tags] {
            assert_eq!(tags["kubernetes.io/service-name"], "kube-system/across-cluster-dns-tcp");
            assert_eq!(tags["kubernetes.io/cluster/one"], "owned");
            assert_eq!(tags["run"], "r1");
        }
    });
    assert_eq!(
        rules(&site, &site.group),
        [
            "icmp 3-4 0.0.0.0/0 kubernetes.io/rule/nlb/mtu".to_owned(),
            format!("tcp 30053-30053 0.0.0.0/0 kubernetes.io/rule/nlb/client={NAME}"),
        ]
    );
}

#[test]
fn again_changes_nothing() {
    let site = Site::new();
    let first = ensure(&site, &wanted(&site)).unwrap();
    let shown = || site.aws.read(REGION, |state, _| format!("{:?} {:?}", state.elbv2, state.ec2));
    let before = shown();
    assert_eq!(ensure(&site, &wanted(&site)).unwrap(), first);
    assert_eq!(shown(), before);
}

#[test]
fn targets_follow_the_nodes() {
    let site = Site::new();
    let targets = || {
        site.aws.read(REGION, |state, _| {
            state.elbv2.target_groups.values().next().unwrap().targets.keys().cloned().collect::<Vec<_>>()
        })
    };
    ensure(&site, &ServiceLoadBalancer { instances: vec![site.instances[0].clone()], ..wanted(&site) }).unwrap();
    assert_eq!(targets(), [site.instances[0].clone()]);
    ensure(&site, &ServiceLoadBalancer { instances: vec![site.instances[1].clone()], ..wanted(&site) }).unwrap();
    assert_eq!(targets(), [site.instances[1].clone()]);
    site.aws.with(REGION, |state, context| state.ec2.terminate_instance(context, &site.instances[1]).unwrap());
    ensure(&site, &wanted(&site)).unwrap();
    assert_eq!(targets(), [site.instances[0].clone()]);
}

#[test]
fn ports_follow_the_service() {
    let site = Site::new();
    let two = ServiceLoadBalancer { ports: vec![(53, 30053), (9153, 31000)], ..wanted(&site) };
    let first = ensure(&site, &two).unwrap();
    let moved = ServiceLoadBalancer { ports: vec![(53, 32000)], ..wanted(&site) };
    assert_eq!(ensure(&site, &moved).unwrap(), first, "the load balancer stays");
    site.aws.read(REGION, |state, _| {
        assert_eq!(state.elbv2.listeners.len(), 1);
        let groups: Vec<_> = state.elbv2.target_groups.values().map(|group| group.port).collect();
        assert_eq!(groups, [32000]);
    });
    assert_eq!(
        rules(&site, &site.group),
        [
            "icmp 3-4 0.0.0.0/0 kubernetes.io/rule/nlb/mtu".to_owned(),
            format!("tcp 32000-32000 0.0.0.0/0 kubernetes.io/rule/nlb/client={NAME}"),
        ]
    );
}

#[test]
fn source_ranges_close_the_node_ports_and_let_health_checks_in() {
    let site = Site::new();
    ensure(&site, &wanted(&site)).unwrap();
    let range: Ipv4Net = "10.2.0.0/16".parse().unwrap();
    ensure(&site, &ServiceLoadBalancer { source_ranges: vec![range], ..wanted(&site) }).unwrap();
    assert_eq!(
        rules(&site, &site.group),
        [
            "icmp 3-4 10.2.0.0/16 kubernetes.io/rule/nlb/mtu".to_owned(),
            format!("tcp 30053-30053 10.1.10.0/24 kubernetes.io/rule/nlb/health={NAME}"),
            format!("tcp 30053-30053 10.1.11.0/24 kubernetes.io/rule/nlb/health={NAME}"),
            format!("tcp 30053-30053 10.2.0.0/16 kubernetes.io/rule/nlb/client={NAME}"),
        ]
    );
}

#[test]
fn facing_the_internet_it_takes_public_subnets() {
    let site = Site::new();
    // A zone with a private subnet only.
    site.aws.with(REGION, |state, context| {
        let block = "10.1.99.0/24".parse().unwrap();
        state.ec2.create_subnet(&mut state.ids, context, &site.vpc, block, "us-west-2c", Tags::new()).unwrap();
    });
    let ensured = ensure(&site, &ServiceLoadBalancer { internal: false, ..wanted(&site) }).unwrap();
    site.aws.read(REGION, |state, _| {
        let zones = &state.elbv2.load_balancers[&ensured.arn].zones;
        assert_eq!(zones.iter().map(|zone| zone.subnet.clone()).collect::<Vec<_>>(), site.public);
    });
}

#[test]
fn subnets_of_another_cluster_are_not_taken() {
    let site = Site::new();
    let tag = Tags::from([("kubernetes.io/cluster/two".to_owned(), "shared".to_owned())]);
    site.aws.with(REGION, |state, context| state.ec2.create_tags(context, &site.private[..1], &tag).unwrap());
    let ensured = ensure(&site, &wanted(&site)).unwrap();
    site.aws.read(REGION, |state, _| {
        let zones = &state.elbv2.load_balancers[&ensured.arn].zones;
        assert_eq!(zones[0].subnet, site.public[0], "the other one of the zone");
        assert_eq!(zones[1].subnet, site.private[1]);
    });
}

#[rstest]
#[case::two_tagged(&["kubernetes.io/cluster/one"], "Multiple tagged security groups found for instance")]
#[case::none_tagged(&[], "Multiple untagged security groups found for instance")]
fn it_must_be_clear_which_security_group_is_meant(#[case] tags: &[&str], #[case] expected: &str) {
    let site = Site::new();
    site.aws.with(REGION, |state, context| {
        let tags = tags.iter().map(|key| ((*key).to_owned(), "owned".to_owned())).collect();
        let second =
            state.ec2.create_security_group(&mut state.ids, context, &site.vpc, "second", "second", tags).unwrap();
        if expected.contains("untagged") {
            state.ec2.security_groups.get_mut(&site.group).unwrap().tags.clear();
        }
        let interface = state.ec2.instances[&site.instances[0]].interface.clone();
        state.ec2.set_interface_groups(context, &interface, vec![site.group.clone(), second]).unwrap();
    });
    let error = ensure(&site, &wanted(&site)).unwrap_err();
    assert_eq!(error.code, "SyncLoadBalancerFailed");
    assert!(error.message.starts_with(expected), "{error}");
}

#[test]
fn a_rule_of_somebody_elses_serves_and_stays() {
    let site = Site::new();
    site.aws.with(REGION, |state, context| {
        let rule = crate::aws::ec2::SecurityGroupRule::cidr(false, "tcp", (30053, 30053), Ipv4Net::default());
        state.ec2.authorize(&mut state.ids, context, &site.group, vec![rule.described("mine")]).unwrap();
    });
    ensure(&site, &wanted(&site)).unwrap();
    assert_eq!(rules(&site, &site.group), ["tcp 30053-30053 0.0.0.0/0 mine"]);
    delete(&site, "across-cluster-dns-tcp");
    assert_eq!(rules(&site, &site.group), ["tcp 30053-30053 0.0.0.0/0 mine"]);
}

#[test]
fn deletion_takes_everything_of_this_service_and_nothing_else() {
    let site = Site::new();
    ensure(&site, &wanted(&site)).unwrap();
    let other = ServiceLoadBalancer {
        service: "other".to_owned(),
        uid: "ffff".to_owned(),
        ports: vec![(80, 31000)],
        ..wanted(&site)
    };
    ensure(&site, &other).unwrap();
    delete(&site, "across-cluster-dns-tcp");
    site.aws.read(REGION, |state, _| {
        assert_eq!(state.elbv2.load_balancers.len(), 1);
        assert_eq!(state.elbv2.target_groups.len(), 1);
        assert_eq!(state.elbv2.listeners.len(), 1);
    });
    let left = rules(&site, &site.group);
    assert_eq!(
        left,
        [
            "icmp 3-4 0.0.0.0/0 kubernetes.io/rule/nlb/mtu",
            "tcp 31000-31000 0.0.0.0/0 kubernetes.io/rule/nlb/client=affff"
        ]
    );
    delete(&site, "other");
    delete(&site, "other");
    assert!(rules(&site, &site.group).is_empty());
    assert!(site.interfaces().is_empty());
}

#[test]
fn without_ports_or_subnets_there_is_nothing_to_make() {
    let site = Site::new();
    let error = ensure(&site, &ServiceLoadBalancer { ports: Vec::new(), ..wanted(&site) }).unwrap_err();
    assert_eq!(error.message, "requested load balancer with no ports");
    let nowhere = ServiceLoadBalancer { vpc: "vpc-none".to_owned(), ..wanted(&site) };
    assert!(ensure(&site, &nowhere).unwrap_err().message.contains("could not find any suitable subnets"));
}
