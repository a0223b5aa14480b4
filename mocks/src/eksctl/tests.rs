#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use rstest::rstest;

use super::*;
use crate::aws::{Aws, State};
use crate::clock::{Clock, Latencies};

const CONFIG: &str = "
apiVersion: eksctl.io/v1alpha5
kind: ClusterConfig
metadata:
  name: tidb-1
  region: us-west-2
  tags:
    run: r1
vpc:
  cidr: 10.1.0.0/16
nodeGroups:
  - name: admin
    desiredCapacity: 2
    privateNetworking: true
    iam:
      withAddonPolicies:
        ebs: true
  - name: pd
    desiredCapacity: 1
    privateNetworking: true
    availabilityZones: [us-west-2b]
    labels:
      dedicated: pd
    taints:
      dedicated: pd:NoSchedule
managedNodeGroups:
  - name: managed
    desiredCapacity: 1
";

fn made(yaml: &str) -> (std::sync::Arc<Aws>, ClusterConfig, Created) {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let config = ClusterConfig::parse(yaml).unwrap();
    let created = aws.with("us-west-2", |state, context| create_cluster(state, context, &config)).unwrap();
    (aws, config, created)
}

fn shown(state: &State, created: &Created) -> String {
    let mut out = String::new();
    let name = |id: &str| state.ec2.security_groups[id].tags["Name"].clone();
    for subnet in state.ec2.subnets.values() {
        writeln!(out, "{} {} {}", subnet.tags["Name"], subnet.cidr_block, subnet.availability_zone).unwrap();
    }
    for table in state.ec2.route_tables.values().filter(|it| !it.is_main()) {
        let targets: Vec<_> = table.routes.values().map(|it| it.target.split('-').next().unwrap()).collect();
        writeln!(out, "{} {} subnets, {}", table.tags["Name"], table.associations.len(), targets.join(" ")).unwrap();
    }
    for node in &created.nodes {
        let interface = &state.ec2.interfaces[&node.interface];
        let groups: Vec<_> = interface.groups.iter().map(|it| name(it)).collect();
        writeln!(out, "{} in {}: {}", node.nodegroup, node.zone, groups.join(", ")).unwrap();
    }
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_cluster_leaves_what_eksctl_leaves() {
    let (aws, _, created) = made(CONFIG);
    let shown = aws.read("us-west-2", |state, _| shown(state, &created));
    let stable = shown.replace(&cluster_group_id(&aws), "ID");
    insta::assert_snapshot!(stable);
}

fn cluster_group_id(aws: &Aws) -> String {
    aws.read("us-west-2", |state, context| {
        let group = &crate::aws::eks::find(state, context, "tidb-1").unwrap().cluster_security_group;
        state.ec2.security_groups[group].name.rsplit('-').next().unwrap().to_owned()
    })
}

#[test]
fn deletion_leaves_nothing_and_can_be_repeated() {
    let (aws, config, _) = made(CONFIG);
    for _ in 0..2 {
        aws.with("us-west-2", |state, context| delete_cluster(state, context, &config.metadata.name)).unwrap();
        aws.read("us-west-2", |state, _| {
            let ec2 = &state.ec2;
            assert!(ec2.vpcs.is_empty() && ec2.subnets.is_empty() && ec2.route_tables.is_empty());
            assert!(ec2.security_groups.is_empty() && ec2.interfaces.is_empty() && ec2.addresses.is_empty());
            assert!(ec2.internet_gateways.is_empty() && state.eks.clusters.is_empty());
            assert!(ec2.nat_gateways.values().all(|it| it.deleted));
            assert!(ec2.instances.values().all(|it| it.state == "terminated"));
        });
    }
}

#[test]
fn a_foreign_interface_keeps_the_vpc_until_it_is_gone() {
    let (aws, config, created) = made(CONFIG);
    let name = &config.metadata.name;
    let subnet = created.subnets[0].clone();
    let foreign = aws.with("us-west-2", |state, context| {
        let new =
            crate::aws::ec2::NewInterface::managed(&subnet, &[], "ELB net/a/b", "network_load_balancer", "amazon-elb");
        state.ec2.create_interface(&mut state.ids, context, new).unwrap().0
    });
    let refused = aws.with("us-west-2", |state, context| delete_cluster(state, context, name)).unwrap_err();
    assert_eq!(refused.code, "DependencyViolation");
    aws.with("us-west-2", |state, _| state.ec2.release_interface(&foreign));
    aws.with("us-west-2", |state, context| delete_cluster(state, context, name)).unwrap();
}

#[test]
fn what_cannot_be_made_whole_leaves_nothing() {
    let yaml = CONFIG.replace("[us-west-2b]", "[us-west-2z]");
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let config = ClusterConfig::parse(&yaml).unwrap();
    let failed = aws.with("us-west-2", |state, context| create_cluster(state, context, &config));
    assert!(failed.is_err());
    aws.read("us-west-2", |state, _| assert!(state.ec2.vpcs.is_empty() && state.eks.clusters.is_empty()));
}

#[test]
fn a_name_is_taken_once() {
    let (aws, config, _) = made(CONFIG);
    let taken = aws.with("us-west-2", |state, context| create_cluster(state, context, &config)).unwrap_err();
    assert_eq!(taken.code, "AlreadyExistsException");
}

#[rstest]
#[case::unknown_field("vpc:", "vpn:\n  x: 1\nvpc:", "unknown field")]
#[case::kind("kind: ClusterConfig", "kind: Cluster", "no kind \"Cluster\" is registered")]
#[case::too_small("10.1.0.0/16", "10.1.0.0/25", "must be between /16 and /24")]
#[case::auto_mode("vpc:", "autoModeConfig:\n  enabled: true\nvpc:", "Auto Mode runs no CoreDNS pods")]
#[case::twice("name: pd", "name: admin", "is not unique")]
fn what_eksctl_refuses_is_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let error = ClusterConfig::parse(&CONFIG.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[rstest]
#[case("us-west-2", 3)]
#[case("us-east-1", 2)]
#[case("us-west-1", 2)]
fn zones_are_chosen_as_eksctl_does(#[case] region: &str, #[case] zones: usize) {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let yaml =
        format!("apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {{name: a, region: {region}}}\n");
    let config = ClusterConfig::parse(&yaml).unwrap();
    let created = aws.with(region, |state, context| create_cluster(state, context, &config)).unwrap();
    assert_eq!(created.subnets.len(), zones * 2);
}
