//! Reading `ClusterConfig`.

use rstest::rstest;

use super::CONFIG;
use crate::eksctl::{ClusterConfig, NatMode, Taint};

fn error(yaml: &str) -> String {
    ClusterConfig::parse(yaml).unwrap_err().to_string()
}

#[test]
fn what_is_left_out_has_eksctls_defaults() {
    let yaml = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: a, region: us-west-2}\n\
                nodeGroups: [{name: b}]\nmanagedNodeGroups:\nvpc:\n";
    let config = ClusterConfig::parse(yaml).unwrap();
    assert_eq!(config.cidr_block(), "192.168.0.0/16".parse().unwrap());
    assert_eq!(config.service_cidr(), "10.100.0.0/16".parse().unwrap());
    assert_eq!(config.metadata.version, "1.34");
    assert_eq!(config.nat_mode(), NatMode::Single);
    let group = &config.node_groups[0];
    assert_eq!(group.size(), (2, 2, 2));
    assert_eq!(group.instance_types(), ["m5.large"]);
    assert!(!group.private_networking && group.taints().is_empty());
}

#[rstest]
#[case::desired("desiredCapacity: 3", (3, 3, 3))]
#[case::none("desiredCapacity: 0", (0, 0, 1))]
#[case::min("minSize: 4", (4, 4, 4))]
#[case::between("desiredCapacity: 3\n    minSize: 1\n    maxSize: 5", (1, 3, 5))]
fn sizes_follow_from_each_other(#[case] sizes: &str, #[case] expected: (u32, u32, u32)) {
    let yaml = CONFIG.replacen("desiredCapacity: 2", sizes, 1);
    assert_eq!(ClusterConfig::parse(&yaml).unwrap().node_groups[0].size(), expected);
}

#[rstest]
#[case::map("dedicated: tidb:NoSchedule", "tidb", "NoSchedule")]
#[case::map_without_value("dedicated: NoExecute", "", "NoExecute")]
#[case::map_with_empty_value("dedicated: :NoSchedule", "", "NoSchedule")]
#[case::list("- {key: dedicated, value: tidb, effect: PreferNoSchedule}", "tidb", "PreferNoSchedule")]
fn taints_come_in_both_forms(#[case] form: &str, #[case] value: &str, #[case] effect: &str) {
    let yaml = CONFIG.replacen("dedicated: tidb:NoSchedule", form, 1);
    let config = ClusterConfig::parse(&yaml).unwrap();
    let expected = Taint { key: "dedicated".to_owned(), value: value.to_owned(), effect: effect.to_owned() };
    assert_eq!(config.node_groups[1].taints(), [expected]);
}

#[rstest]
#[case::top("vpc:", "vpn: {}\nvpc:", "json: unknown field \"vpn\"")]
#[case::in_vpc("cidr:", "cidrs: []\n  cidr:", "json: unknown field \"vpc.cidrs\"")]
#[case::in_group(
    "privateNetworking:",
    "private: true\n    privateNetworking:",
    "json: unknown field \"nodeGroups[0].private\""
)]
#[case::only_managed(
    "privateNetworking:",
    "instanceTypes: [a]\n    privateNetworking:",
    "json: unknown field \"nodeGroups[0].instanceTypes\""
)]
#[case::of_a_taint("dedicated: tidb:NoSchedule", "- {key: a, effects: b}", "unknown field `effects`")]
#[case::known_but_not_here("cidr:", "id: vpc-1\n  cidr:", "vpc.id: eksctl knows this field, but it is not emulated")]
#[case::fargate("vpc:", "fargateProfiles: [{name: x}]\nvpc:", "fargateProfiles: eksctl knows this field")]
#[case::kind(
    "kind: ClusterConfig",
    "kind: Cluster",
    "no kind \"Cluster\" is registered for version \"eksctl.io/v1alpha5\""
)]
#[case::version_of_the_file("v1alpha5", "v1alpha6", "is registered for version \"eksctl.io/v1alpha6\"")]
#[case::no_name("  name: tidb-1\n", "", "metadata.name and metadata.region must be set")]
#[case::name("name: tidb-1", "name: 1-tidb", "must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")]
#[case::name_is_a_number("name: tidb-1", "name: 1", "metadata.name: invalid type: integer `1`, expected a string")]
#[case::version_is_a_number("region:", "version: 1.34\n  region:", "metadata.version: invalid type")]
#[case::version_is_old("region:", "version: '1.19'\n  region:", "invalid version 1.19, supported values: 1.30")]
#[case::cidr("10.1.0.0/16", "10.1.0.0", "vpc.cidr: ")]
#[case::too_small("10.1.0.0/16", "10.1.0.0/25", "VPC CIDR prefix must be between /16 and /24")]
#[case::too_big("10.1.0.0/16", "10.0.0.0/8", "VPC CIDR prefix must be between /16 and /24")]
#[case::nat("cidr:", "nat: {gateway: Some}\n  cidr:", "vpc.nat.gateway: unknown variant `Some`")]
#[case::shared_rules(
    "cidr:",
    "manageSharedNodeSecurityGroupRules: false\n  cidr:",
    "must be enabled when using eksctl-managed security groups"
)]
#[case::six("vpc:", "kubernetesNetworkConfig: {ipFamily: IPv6}\nvpc:", "IPv6 clusters are not emulated")]
#[case::auto_mode("vpc:", "autoModeConfig: {enabled: true}\nvpc:", "EKS Auto Mode runs no CoreDNS pods")]
#[case::one_zone("vpc:", "availabilityZones: [us-west-2a]\nvpc:", "at least 2 are required")]
#[case::other_zone(
    "vpc:",
    "availabilityZones: [us-west-2a, us-west-1b]\nvpc:",
    "us-west-1b is not an availability zone of us-west-2"
)]
#[case::same_zone("vpc:", "availabilityZones: [us-west-2a, us-west-2a]\nvpc:", "named twice")]
#[case::zone_of_group("[us-west-2b]", "[us-west-22]", "nodeGroups[1].availabilityZones: us-west-22 is not")]
#[case::same_name("name: managed", "name: admin", "managedNodeGroups[0].name \"admin\" is not unique")]
#[case::no_group_name("  - name: admin\n    desired", "  - desired", "nodeGroups[0].name must be set")]
#[case::group_name("name: admin", "name: ad_min", "nodeGroups[0].name: validation for ad_min failed")]
#[case::negative(
    "desiredCapacity: 2",
    "desiredCapacity: -2",
    "nodeGroups[0].desiredCapacity: invalid value: integer `-2`"
)]
#[case::less(
    "desiredCapacity: 2",
    "desiredCapacity: 2\n    minSize: 3",
    "nodeGroups[0]: desiredCapacity (2) cannot be lower than minSize (3)"
)]
#[case::more(
    "desiredCapacity: 2",
    "desiredCapacity: 2\n    maxSize: 1",
    "nodeGroups[0]: desiredCapacity (2) cannot be greater than maxSize (1)"
)]
#[case::label_type("dedicated: tidb\n", "dedicated: true\n", "nodeGroups[1].labels.dedicated: invalid type")]
#[case::label_value("dedicated: tidb\n", "dedicated: -tidb\n", "label \"dedicated\" has invalid value \"-tidb\"")]
#[case::reserved_label(
    "dedicated: tidb\n",
    "node-role.kubernetes.io/x: worker\n",
    "disallowed as they have reserved prefixes"
)]
#[case::effect("tidb:NoSchedule", "tidb:Never", "invalid taint effect: Never")]
#[case::taints("dedicated: tidb:NoSchedule", "tidb", "taints must be a {string: string}")]
#[case::ssh("privateNetworking: true", "ssh: {allow: true}", "nodeGroups[0].ssh.allow")]
#[case::managed_groups(
    "desiredCapacity: 1\n",
    "securityGroups: {withShared: true}\n",
    "are not supported for managed nodegroups"
)]
#[case::addon("vpc:", "addons: [{version: v1}]\nvpc:", "addons[0].name must be set")]
fn what_eksctl_refuses_is_refused_by_its_path(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let yaml = match expected.contains("managed nodegroups") {
        // The last one is the managed one's.
        true => CONFIG.rsplitn(2, from).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(to),
        false => CONFIG.replacen(from, to, 1),
    };
    assert_ne!(yaml, CONFIG);
    let error = error(&yaml);
    assert!(error.starts_with("invalid ClusterConfig: ") && error.contains(expected), "{error}");
}

#[test]
fn fields_without_effect_here_are_accepted() {
    let more = "iam: {withOIDC: true}\ncloudWatch: {clusterLogging: {enableTypes: ['*']}}\nvpc:\n  clusterEndpoints: {privateAccess: true}";
    let yaml = CONFIG.replacen("vpc:", more, 1).replacen(
        "privateNetworking: true",
        "privateNetworking: true\n    volumeSize: 100\n    amiFamily: AmazonLinux2023",
        1,
    );
    ClusterConfig::parse(&yaml).unwrap();
}

#[rstest]
#[case::nothing("")]
#[case::text("eksctl")]
#[case::list("[]")]
#[case::not_yaml("a: [")]
#[case::twice("apiVersion: eksctl.io/v1alpha5\napiVersion: eksctl.io/v1alpha5\n")]
fn what_is_no_mapping_is_told(#[case] yaml: &str) {
    assert!(error(yaml).starts_with("invalid ClusterConfig: "));
}
