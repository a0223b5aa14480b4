//! The inbound rules that let clients and health checks of a Service's load balancer reach the node ports.
//!
//! They go on the one security group of each node that is tagged for the cluster. The description says whose a rule is, and
//! only rules with such a description are ever removed.

use std::collections::{BTreeMap, BTreeSet};

use acrossk8s_vpc::RulePeer;
use ipnet::Ipv4Net;

use super::{ServiceLoadBalancer, cluster_tag, failed};
use crate::aws::ec2::{SecurityGroup, SecurityGroupRule};
use crate::aws::elbv2::load_balancers;
use crate::aws::{AwsError, Context, State};

const CLIENT: &str = "kubernetes.io/rule/nlb/client";
const HEALTH: &str = "kubernetes.io/rule/nlb/health";
/// Of all load balancers together: who may connect may also answer "fragmentation needed".
const MTU: &str = "kubernetes.io/rule/nlb/mtu";

/// Brings the rules in line with a Service: on the groups of its nodes there are its rules, on the cluster's other groups
/// there are none.
pub(super) fn sync(
    state: &mut State,
    context: &Context,
    wanted: &ServiceLoadBalancer,
    arn: &str,
) -> Result<(), AwsError> {
    let tagged = tagged_groups(state, context, &wanted.cluster);
    let mut desired = BTreeSet::new();
    for instance in &wanted.instances {
        desired.extend(group_of(state, instance, &tagged)?);
    }
    let everybody = vec![Ipv4Net::default()];
    let clients = if wanted.source_ranges.is_empty() { everybody.clone() } else { wanted.source_ranges.clone() };
    // Where everybody may connect, health checks may, too.
    let checkers = if clients == everybody { Vec::new() } else { subnet_blocks(state, context, arn)? };
    let name = wanted.name();
    for group in tagged.union(&desired) {
        let rules = |blocks: &[Ipv4Net], description: &str| match desired.contains(group) {
            true => node_port_rules(wanted, blocks, description),
            false => Vec::new(),
        };
        let (client, health) = (format!("{CLIENT}={name}"), format!("{HEALTH}={name}"));
        let changed = replace(state, context, group, &health, rules(&checkers, &health))?
            | replace(state, context, group, &client, rules(&clients, &client))?;
        if changed {
            sync_mtu(state, context, group)?;
        }
    }
    Ok(())
}

/// Removes the rules of a load balancer from the cluster's groups.
pub(super) fn remove(state: &mut State, context: &Context, cluster: &str, name: &str) -> Result<(), AwsError> {
    for group in tagged_groups(state, context, cluster) {
        let changed = replace(state, context, &group, &format!("{HEALTH}={name}"), Vec::new())?
            | replace(state, context, &group, &format!("{CLIENT}={name}"), Vec::new())?;
        if changed {
            sync_mtu(state, context, &group)?;
        }
    }
    Ok(())
}

fn tagged_groups(state: &State, context: &Context, cluster: &str) -> BTreeSet<String> {
    let tag = cluster_tag(cluster);
    let ours = |group: &SecurityGroup| group.region == context.region && group.tags.contains_key(&tag);
    state.ec2.security_groups.iter().filter(|(_, group)| ours(group)).map(|(id, _)| id.clone()).collect()
}

/// The one security group of an instance that is tagged for the cluster, or else its only one.
fn group_of(state: &State, instance: &str, tagged: &BTreeSet<String>) -> Result<Option<String>, AwsError> {
    let interface = state.ec2.instances.get(instance).and_then(|it| state.ec2.interfaces.get(&it.interface));
    let groups = interface.map(|it| it.groups.as_slice()).unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) = groups.iter().partition(|id| tagged.contains(*id));
    match (ours.as_slice(), others.as_slice()) {
        ([one], _) | ([], [one]) => Ok(Some((*one).clone())),
        ([], []) => Ok(None),
        ([], _) => Err(failed(format!(
            "Multiple untagged security groups found for instance {instance}; ensure the k8s security group is tagged"
        ))),
        (several, _) => {
            let name =
                |id: &&&String| state.ec2.security_groups.get(**id).map(|it| it.name.as_str()).unwrap_or_default();
            let list: Vec<_> = several.iter().map(|id| format!("{id}({})", name(&id))).collect();
            Err(failed(format!(
                "Multiple tagged security groups found for instance {instance}; ensure only the k8s security group is \
                 tagged; the tagged groups were {}",
                list.join(" ")
            )))
        }
    }
}

/// CIDR blocks of the load balancer's subnets.
fn subnet_blocks(state: &State, context: &Context, arn: &str) -> Result<Vec<Ipv4Net>, AwsError> {
    let zones = &load_balancers::find(state, context, arn)?.zones;
    Ok(zones.iter().filter_map(|zone| Some(state.ec2.subnets.get(&zone.subnet)?.cidr_block)).collect())
}

fn node_port_rules(wanted: &ServiceLoadBalancer, blocks: &[Ipv4Net], description: &str) -> Vec<SecurityGroupRule> {
    let ports: BTreeSet<i32> = wanted.ports.iter().map(|(_, node_port)| i32::from(*node_port)).collect();
    let rule = |port: i32, block: Ipv4Net| {
        SecurityGroupRule::cidr(false, "tcp", (port, port), block.trunc()).described(description)
    };
    let rules = ports.into_iter().flat_map(|port| blocks.iter().map(move |block| (port, *block)));
    rules.map(|(port, block)| rule(port, block)).collect()
}

/// Makes the rules with a description these and no others, and tells whether anything changed. A rule of somebody else's
/// that allows the same serves as well.
fn replace(
    state: &mut State,
    context: &Context,
    group: &str,
    description: &str,
    wanted: Vec<SecurityGroupRule>,
) -> Result<bool, AwsError> {
    let empty = BTreeMap::new();
    let own = state.ec2.security_groups.get(group).map_or(&empty, |it| &it.rules);
    let stale: Vec<String> = own
        .iter()
        .filter(|(_, rule)| !rule.egress && rule.description.as_deref() == Some(description))
        .filter(|(_, rule)| !wanted.iter().any(|it| it.allows_same(rule)))
        .map(|(id, _)| id.clone())
        .collect();
    let missing: Vec<_> = wanted.into_iter().filter(|it| !own.values().any(|rule| rule.allows_same(it))).collect();
    let changed = !stale.is_empty() || !missing.is_empty();
    if !stale.is_empty() {
        state.ec2.revoke_by_id(context, group, false, &stale)?;
    }
    if !missing.is_empty() {
        state.ec2.authorize(&mut state.ids, context, group, missing)?;
    }
    Ok(changed)
}

/// Every block that may connect to any load balancer may send ICMP about the path MTU.
fn sync_mtu(state: &mut State, context: &Context, group: &str) -> Result<(), AwsError> {
    let rules = state.ec2.security_groups.get(group).into_iter().flat_map(|it| it.rules.values());
    let clients = rules.filter(|rule| rule.description.as_deref().is_some_and(|it| it.starts_with(CLIENT)));
    let blocks: BTreeSet<Ipv4Net> = clients
        .filter_map(|rule| match &rule.peer {
            RulePeer::Cidr(block) => Some(*block),
            RulePeer::Group(_) => None,
        })
        .collect();
    let wanted = blocks.into_iter().map(|block| SecurityGroupRule::cidr(false, "icmp", (3, 4), block).described(MTU));
    replace(state, context, group, MTU, wanted.collect()).map(drop)
}
