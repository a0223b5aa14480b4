//! Security groups and network ACLs as people get them wrong ("Update the security groups for the instances").

use std::collections::BTreeSet;

use acrossk8s_aws::ec2::types::{IpPermission, IpRange, PortRange, RuleAction};

use super::{Fault, ONE, TWO};
use crate::diagnosis::Diagnosed;
use crate::engine::{Done, Failure, TaskContext};
use crate::procedure::{World, aws_failure, documented_group, filter};
use crate::topology::{ClusterIndex, Topology};

const RULE: &str = "allow-traffic/1-to-2";

pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    vec![
        Fault::new(
            "rule-for-tcp-only",
            "the security group of cluster 2 lets only TCP in from cluster 1",
            Diagnosed::NoProbeFails,
        )
        .instead(RULE, |context, _| async move {
            let block = context.world().cluster(ONE).cidr_block.to_string();
            allow(&context, &documented_group(&context.world().cluster(TWO).name), ("tcp", 0, 65535), &block).await
        })
        .caught_by(&["security-group-rules"]),
        Fault::new(
            "rule-for-http-only",
            "the security group of cluster 2 lets only port 80 in from cluster 1",
            Diagnosed::at("ENI_SG_RULES_MISMATCH", "security-group", TWO),
        )
        .instead(RULE, |context, _| async move {
            let block = context.world().cluster(ONE).cidr_block.to_string();
            allow(&context, &documented_group(&context.world().cluster(TWO).name), ("tcp", 80, 80), &block).await
        })
        .caught_by(&["security-group-rules"]),
        Fault::new(
            "rule-for-the-own-block",
            "the rule of cluster 2 for cluster 1 has the block of cluster 2 itself",
            Diagnosed::at("ENI_SG_RULES_MISMATCH", "security-group", TWO),
        )
        .instead(RULE, |context, _| async move {
            let own = context.world().cluster(TWO);
            allow(&context, &documented_group(&own.name), ("-1", -1, -1), &own.cidr_block.to_string()).await
        })
        .caught_by(&["security-group-rules"]),
        Fault::new(
            "rule-on-the-control-plane",
            "the rule for cluster 1 is on the control plane's group of cluster 2",
            Diagnosed::at("ENI_SG_RULES_MISMATCH", "security-group", TWO),
        )
        .instead(RULE, |context, _| async move {
            let name = format!("eksctl-{}-cluster/ControlPlaneSecurityGroup", context.world().cluster(TWO).name);
            let block = context.world().cluster(ONE).cidr_block.to_string();
            allow(&context, &name, ("-1", -1, -1), &block).await
        })
        .caught_by(&["security-group-rules"]),
        Fault::new(
            "rules-on-unattached-group",
            "managed node groups: the rules are on a group that no node carries",
            Diagnosed::each("ENI_SG_RULES_MISMATCH", "security-group", topology.indices()),
        )
        .wants(|topology| {
            for group in topology.clusters.iter_mut().flat_map(|cluster| &mut cluster.node_groups) {
                group.managed = true;
            }
        })
        .caught_by(&["interface-security-groups"]),
        Fault::new(
            "egress-within-the-vpc-only",
            "the security groups of cluster 1 let nothing out of its VPC",
            Diagnosed::at("ENI_SG_RULES_MISMATCH", "security-group", ONE),
        )
        .after("allow-traffic/2-to-1", |context| async move { confine(&context, ONE).await })
        .caught_by(&["security-group-egress"]),
        Fault::new(
            "network-acl-denies-requests",
            "a network ACL of cluster 2 denies what comes from cluster 1",
            Diagnosed::at("SUBNET_ACL_RESTRICTION", "network-acl", TWO),
        )
        .after(RULE, |context| async move { deny(&context, false).await })
        .caught_by(&["network-acl-allows"]),
        Fault::new(
            "network-acl-denies-answers",
            "a network ACL of cluster 2 denies what goes to cluster 1",
            Diagnosed::at("SUBNET_ACL_RESTRICTION", "network-acl", TWO),
        )
        .after(RULE, |context| async move { deny(&context, true).await })
        .caught_by(&["network-acl-allows"]),
    ]
}

fn permission((protocol, from, to): (&str, i32, i32), block: &str) -> IpPermission {
    let permission = IpPermission::builder().ip_protocol(protocol).ip_ranges(IpRange::builder().cidr_ip(block).build());
    if protocol == "-1" { permission.build() } else { permission.from_port(from).to_port(to).build() }
}

/// A rule on a group of cluster 2. The group goes with the cluster, and so does the rule.
async fn allow(
    context: &TaskContext<World>,
    group: &str,
    ports: (&str, i32, i32),
    block: &str,
) -> Result<Done, Failure> {
    let world = context.world();
    let clients = world.aws(TWO)?;
    let read = clients.ec2.describe_security_groups().filters(filter("vpc-id", &world.vpc(TWO)?));
    let found = read.filters(filter("tag:Name", group)).send().await;
    let found = found.map_err(|error| aws_failure("the security groups cannot be read", &error))?;
    let id = found.security_groups().first().and_then(|group| group.group_id());
    let id = id.ok_or_else(|| Failure::new(format!("there is no security group {group}")))?;
    let rule = clients.ec2.authorize_security_group_ingress().group_id(id).ip_permissions(permission(ports, block));
    rule.send().await.map_err(|error| aws_failure("the rule cannot be added", &error))?;
    Ok(Done::changed())
}

/// Lets the nodes of a cluster reach their own VPC and nothing else.
async fn confine(context: &TaskContext<World>, index: ClusterIndex) -> Result<(), Failure> {
    let world = context.world();
    let clients = world.aws(index)?;
    let read = clients.ec2.describe_instances().filters(filter("vpc-id", &world.vpc(index)?)).send().await;
    let read = read.map_err(|error| aws_failure("the instances cannot be read", &error))?;
    let instances = read.reservations().iter().flat_map(|reservation| reservation.instances());
    let interfaces = instances.flat_map(|instance| instance.network_interfaces());
    let groups: BTreeSet<&str> =
        interfaces.flat_map(|interface| interface.groups()).filter_map(|group| group.group_id()).collect();
    let own = world.cluster(index).cidr_block.to_string();
    for group in groups {
        let revoke = clients.ec2.revoke_security_group_egress().group_id(group);
        let revoked = revoke.ip_permissions(permission(("-1", -1, -1), "0.0.0.0/0")).send().await;
        revoked.map_err(|error| aws_failure(format!("the egress of {group} cannot be revoked"), &error))?;
        let authorize = clients.ec2.authorize_security_group_egress().group_id(group);
        let authorized = authorize.ip_permissions(permission(("-1", -1, -1), &own)).send().await;
        authorized.map_err(|error| aws_failure(format!("the egress of {group} cannot be authorized"), &error))?;
    }
    Ok(())
}

/// An entry of every network ACL of cluster 2 that denies traffic with cluster 1.
async fn deny(context: &TaskContext<World>, egress: bool) -> Result<(), Failure> {
    let world = context.world();
    let clients = world.aws(TWO)?;
    let read = clients.ec2.describe_network_acls().filters(filter("vpc-id", &world.vpc(TWO)?)).send().await;
    let read = read.map_err(|error| aws_failure("the network ACLs cannot be read", &error))?;
    for acl in read.network_acls().iter().filter_map(|acl| acl.network_acl_id()) {
        let entry = clients.ec2.create_network_acl_entry().network_acl_id(acl).egress(egress).rule_number(50);
        let entry = entry.rule_action(RuleAction::Deny).protocol("-1").port_range(PortRange::builder().build());
        let made = entry.cidr_block(world.cluster(ONE).cidr_block.to_string()).send().await;
        made.map_err(|error| aws_failure(format!("an entry of {acl} cannot be made"), &error))?;
    }
    Ok(())
}
