//! What a cluster leaves.

use proptest::prelude::*;
use rstest::rstest;

use super::shown::{counts, network, security};
use super::{CONFIG, REGION, Site, account, make};
use crate::aws::eks;
use crate::aws::elbv2::{ServiceLoadBalancer, ensure_service_load_balancer};
use crate::eksctl::network::split;

#[test]
fn the_network_is_eksctls() {
    let site = Site::new(CONFIG);
    insta::assert_snapshot!(site.aws.read(REGION, |state, _| network(state)));
}

#[test]
fn the_security_groups_are_eksctls() {
    let site = Site::new(CONFIG);
    insta::assert_snapshot!(site.aws.read(REGION, |state, _| security(state)));
}

#[test]
fn nodes_are_told_with_all_that_a_kubelet_needs() {
    let site = Site::new(CONFIG);
    let nodes = &site.created.nodes;
    let shown: Vec<_> = nodes.iter().map(|it| (it.nodegroup.as_str(), it.zone.as_str(), it.managed)).collect();
    assert_eq!(
        shown,
        [
            ("admin", "us-west-2a", false),
            ("admin", "us-west-2b", false),
            ("tidb-1b", "us-west-2b", false),
            ("managed", "us-west-2a", true)
        ]
    );
    for node in nodes {
        let host = node.address.to_string().replace('.', "-");
        assert_eq!(node.name, format!("ip-{host}.us-west-2.compute.internal"));
        assert_eq!(node.labels["alpha.eksctl.io/nodegroup-name"], node.nodegroup);
        assert_eq!(node.labels.contains_key("eks.amazonaws.com/nodegroup"), node.managed);
        site.aws.read(REGION, |state, _| {
            let instance = &state.ec2.instances[&node.instance];
            assert_eq!((&instance.interface, &instance.subnet), (&node.interface, &node.subnet));
            assert_eq!(instance.tags["kubernetes.io/cluster/tidb-1"], "owned");
            assert_eq!(state.ec2.interfaces[&node.interface].tags["Name"], format!("tidb-1-{}-Node", node.nodegroup));
        });
    }
    let tidb = &nodes[2];
    assert_eq!((tidb.instance_type.as_str(), tidb.labels["dedicated"].as_str()), ("c5.2xlarge", "tidb"));
    assert_eq!((tidb.taints[0].value.as_str(), tidb.taints[0].effect.as_str()), ("tidb", "NoSchedule"));
}

#[test]
fn everything_is_tagged_for_the_run_and_the_cluster() {
    let site = Site::new(CONFIG);
    site.aws.read(REGION, |state, context| {
        let left = state.ec2.all_tags(context);
        let of_aws = |tags: &crate::aws::tags::Tags| tags.is_empty() || tags.contains_key("aws:eks:cluster-name");
        for (id, _, tags) in left.iter().filter(|(_, _, tags)| !of_aws(tags)) {
            assert_eq!(tags["acrossk8s/run"], "r1", "{id}");
            assert_eq!(tags["alpha.eksctl.io/cluster-name"], "tidb-1", "{id}");
        }
        let stacks: std::collections::BTreeSet<_> =
            left.iter().filter_map(|(_, _, tags)| tags.get("aws:cloudformation:stack-name")).collect();
        assert_eq!(
            stacks.into_iter().collect::<Vec<_>>(),
            ["eksctl-tidb-1-cluster", "eksctl-tidb-1-nodegroup-admin", "eksctl-tidb-1-nodegroup-tidb-1b"]
        );
    });
}

#[test]
fn the_group_name_is_not_the_name_people_see() {
    let site = Site::new(CONFIG);
    site.aws.read(REGION, |state, _| {
        let name = "eksctl-tidb-1-cluster/ClusterSharedNodeSecurityGroup";
        let group = state.ec2.security_groups.values().find(|it| it.tags.get("Name").is_some_and(|it| it == name));
        let group_name = &group.unwrap().name;
        let random = group_name.strip_prefix("eksctl-tidb-1-cluster-ClusterSharedNodeSecurityGroup-").unwrap();
        assert_eq!(random.len(), 12);
    });
}

#[test]
fn eks_knows_the_cluster_its_add_ons_and_the_managed_group_only() {
    let site = Site::new(CONFIG);
    site.aws.read(REGION, |state, context| {
        let cluster = eks::find(state, context, "tidb-1").unwrap();
        assert_eq!((&cluster.vpc, &cluster.subnets), (&site.created.vpc, &site.created.subnets));
        assert_eq!(cluster.service_cidr, "172.20.0.0/16".parse().unwrap());
        assert_eq!(cluster.service_cidr, site.created.service_cidr);
        assert_eq!(cluster.tags["acrossk8s/run"], "r1");
        assert_eq!(cluster.nodegroups.keys().collect::<Vec<_>>(), ["managed"]);
        assert_eq!(cluster.nodegroups["managed"].instances.len(), 1);
        let addons: Vec<_> = cluster.addons.iter().map(|(name, it)| format!("{name} {}", it.version)).collect();
        assert_eq!(
            addons,
            [
                "coredns v1.13.2-eksbuild.1",
                "kube-proxy v1.34.0-eksbuild.2",
                "metrics-server v0.8.0-eksbuild.2",
                "vpc-cni v1.23.1-eksbuild.1"
            ]
        );
        let plane = &state.ec2.security_groups[&cluster.security_groups[0]];
        assert!(plane.tags["Name"].ends_with("/ControlPlaneSecurityGroup"));
    });
}

#[rstest]
#[case::region("us-west-2", 3)]
#[case::two_by_choice("us-east-1", 2)]
#[case::two_there_are("us-west-1", 2)]
fn zones_are_as_many_as_eksctl_takes(#[case] region: &str, #[case] zones: usize) {
    let aws = account();
    let yaml =
        format!("apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {{name: a, region: {region}}}\n");
    assert_eq!(make(&aws, &yaml).unwrap().subnets.len(), zones * 2);
}

#[rstest]
#[case::single("Single", 1, 1)]
#[case::each("HighlyAvailable", 3, 3)]
#[case::none("Disable", 0, 0)]
fn nat_gateways(#[case] mode: &str, #[case] gateways: usize, #[case] targets: usize) {
    let site = Site::new(&CONFIG.replacen("cidr:", &format!("nat: {{gateway: {mode}}}\n  cidr:"), 1));
    site.aws.read(REGION, |state, _| {
        assert_eq!((state.ec2.nat_gateways.len(), state.ec2.addresses.len()), (gateways, gateways));
        let routes = state.ec2.route_tables.values().flat_map(|table| table.routes.values());
        let nat: std::collections::BTreeSet<_> =
            routes.map(|route| &route.target).filter(|target| target.starts_with("nat-")).collect();
        assert_eq!(nat.len(), targets);
    });
    site.delete().unwrap();
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), [0; 14]);
}

#[test]
fn asked_for_zones_and_add_ons_are_taken() {
    let more = "availabilityZones: [us-west-2d, us-west-2b]\naddons:\n  - name: coredns\n    version: 1.13.2\n    \
                configurationValues: '{}'\n  - name: aws-ebs-csi-driver\nvpc:";
    let yaml = CONFIG.replacen("vpc:", more, 1);
    let site = Site::new(&yaml);
    site.aws.read(REGION, |state, context| {
        let first = &state.ec2.subnets[&site.created.subnets[0]];
        assert_eq!(
            (first.availability_zone.as_str(), first.cidr_block),
            ("us-west-2d", "10.1.0.0/19".parse().unwrap())
        );
        let addons = &eks::find(state, context, "tidb-1").unwrap().addons;
        assert_eq!(addons["coredns"].configuration.as_deref(), Some("{}"));
        assert_eq!(addons["coredns"].version, "v1.13.2-eksbuild.1");
        assert_eq!(addons.len(), 5);
    });
    let only = "addonsConfig: {disableDefaultAddons: true}\nvpc:";
    let site = Site::new(&CONFIG.replacen("vpc:", only, 1));
    site.aws.read(REGION, |state, context| assert!(eks::find(state, context, "tidb-1").unwrap().addons.is_empty()));
}

#[rstest]
#[case::default("", &["ClusterSharedNodeSecurityGroup", "SG"])]
#[case::without_shared("withShared: false", &["SG"])]
#[case::without_local("withLocal: false", &["ClusterSharedNodeSecurityGroup"])]
fn unmanaged_nodes_carry_what_they_are_told_to(#[case] asked: &str, #[case] expected: &[&str]) {
    let site = Site::new(&CONFIG.replacen("iam:", &format!("securityGroups: {{{asked}}}\n    iam:"), 1));
    site.aws.read(REGION, |state, _| {
        let groups = &state.ec2.interfaces[&site.created.nodes[0].interface].groups;
        let names: Vec<_> = groups
            .iter()
            .map(|id| state.ec2.security_groups[id].tags["aws:cloudformation:logical-id"].as_str())
            .collect();
        assert_eq!(names, expected);
    });
}

#[test]
fn the_cloud_provider_finds_its_security_group_on_both_kinds_of_nodes() {
    let site = Site::new(CONFIG);
    let wanted = ServiceLoadBalancer {
        cluster: "tidb-1".to_owned(),
        vpc: site.created.vpc.clone(),
        namespace: "kube-system".to_owned(),
        service: "dns".to_owned(),
        uid: "1".to_owned(),
        internal: true,
        cross_zone: true,
        ports: vec![(53, 30053)],
        instances: site.created.nodes.iter().map(|it| it.instance.clone()).collect(),
        source_ranges: Vec::new(),
        extra_tags: Default::default(),
    };
    let arn =
        site.aws.with(REGION, |state, context| ensure_service_load_balancer(state, context, &wanted)).unwrap().arn;
    site.aws.read(REGION, |state, _| {
        let zones = &state.elbv2.load_balancers[&arn].zones;
        let names: Vec<_> = zones
            .iter()
            .map(|it| state.ec2.subnets[&it.subnet].tags["aws:cloudformation:logical-id"].as_str())
            .collect();
        assert_eq!(names, ["SubnetPrivateUSWEST2A", "SubnetPrivateUSWEST2B", "SubnetPrivateUSWEST2C"]);
        let client = |rule: &crate::aws::ec2::SecurityGroupRule| {
            rule.description.as_deref().is_some_and(|it| it.starts_with("kubernetes.io/rule/nlb/client="))
        };
        let mut opened: Vec<_> = state
            .ec2
            .security_groups
            .values()
            .filter(|group| group.rules.values().any(client))
            .map(|group| group.tags["Name"].as_str())
            .collect();
        opened.sort_unstable();
        assert!(opened[0].starts_with("eks-cluster-sg-tidb-1-"), "{opened:?}");
        assert_eq!(opened[1..], ["eksctl-tidb-1-nodegroup-admin/SG", "eksctl-tidb-1-nodegroup-tidb-1b/SG"]);
    });
}

#[rstest]
#[case::zone("[us-west-2b]", "[us-west-2d]", "has no subnet in us-west-2d")]
#[case::no_such_zone("vpc:", "availabilityZones: [us-west-2a, us-west-2z]\nvpc:", "us-west-2z")]
#[case::attached("iam:", "securityGroups: {attachIDs: [sg-00000000000000000]}\n    iam:", "does not exist")]
#[case::service_block(
    "vpc:",
    "kubernetesNetworkConfig: {serviceIPv4CIDR: 10.1.0.0/20}\nvpc:",
    "overlaps with the VPC's"
)]
#[case::addon("vpc:", "addons: [{name: istio}]\nvpc:", "istio")]
#[case::addresses(
    "10.1.0.0/16\nnodeGroups:\n  - name: admin\n    desiredCapacity: 2",
    "10.1.0.0/24\nnodeGroups:\n  - name: admin\n    desiredCapacity: 100",
    "does not have enough free addresses"
)]
#[case::nat("cidr: 10.1.0.0/16", "nat: {gateway: HighlyAvailable}\n  cidr: 10.1.0.0/24", "address quota")]
fn what_cannot_be_made_whole_leaves_nothing(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let aws = account();
    if expected == "address quota" {
        // Two addresses of the quota of five are left.
        aws.with(REGION, |state, context| {
            for _ in 0..3 {
                state.ec2.allocate_address(&mut state.ids, context, Default::default()).unwrap();
            }
        });
    }
    let before = aws.read(REGION, |state, _| counts(state));
    let yaml = CONFIG.replacen(from, to, 1);
    assert_ne!(yaml, CONFIG);
    let error = make(&aws, &yaml).map(drop).unwrap_err();
    let told = error.message.contains(expected) || error.code == "AddressLimitExceeded";
    assert!(told, "{error}");
    assert_eq!(aws.read(REGION, |state, _| counts(state)), before);
    if before == [0; 14] {
        make(&aws, CONFIG).unwrap();
    }
}

#[test]
fn a_name_is_taken_once_in_a_region() {
    let site = Site::new(CONFIG);
    let before = site.aws.read(REGION, |state, _| counts(state));
    assert_eq!(make(&site.aws, CONFIG).unwrap_err().code, "AlreadyExistsException");
    assert_eq!(site.aws.read(REGION, |state, _| counts(state)), before, "the first one is as it was");
    make(&site.aws, &CONFIG.replace("us-west-2", "us-east-2")).unwrap();
    // One that eksctl has not made is in the way, too, and is not touched.
    site.aws.with(REGION, |state, context| {
        let new = eks::NewCluster {
            name: "tidb-2".to_owned(),
            version: "1.34".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/x".to_owned(),
            subnets: site.created.subnets.clone(),
            security_groups: Vec::new(),
            service_cidr: None,
            tags: Default::default(),
        };
        eks::create_cluster(state, context, new).unwrap();
    });
    assert_eq!(make(&site.aws, &CONFIG.replace("tidb-1", "tidb-2")).unwrap_err().code, "ResourceInUseException");
    assert!(site.aws.read(REGION, |state, context| eks::find(state, context, "tidb-2").is_ok()));
}

proptest! {
    #[test]
    fn subnets_are_apart_and_within_the_vpc(length in 16_u8..=24, zones in 1_usize..=8, address: u32) {
        let vpc = ipnet::Ipv4Net::new(std::net::Ipv4Addr::from(address), length).unwrap().trunc();
        let blocks = split(vpc, zones).unwrap();
        prop_assert_eq!(blocks.len(), zones * 2);
        for (index, block) in blocks.iter().enumerate() {
            prop_assert!(vpc.contains(block) && block.prefix_len() <= 28);
            prop_assert!(blocks[..index].iter().all(|other| !other.contains(block)));
        }
    }
}

#[rstest]
#[case::two_zones(2, "10.1.0.0/19 10.1.32.0/19 10.1.64.0/19 10.1.96.0/19")]
#[case::four_zones(
    4,
    "10.1.0.0/19 10.1.32.0/19 10.1.64.0/19 10.1.96.0/19 10.1.128.0/19 10.1.160.0/19 10.1.192.0/19 10.1.224.0/19"
)]
fn blocks_are_eighths(#[case] zones: usize, #[case] expected: &str) {
    let blocks = split("10.1.0.0/16".parse().unwrap(), zones).unwrap();
    assert_eq!(blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn more_than_eight_zones_are_refused() {
    assert!(split("10.1.0.0/16".parse().unwrap(), 9).is_err());
}
