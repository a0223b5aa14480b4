//! `eksctl delete cluster --wait`: the stacks of the node groups, and then the cluster's.
//!
//! A stack's resources are known by their tags, so that a deletion can be taken up where an earlier one failed.

use std::collections::BTreeSet;

use acrossk8s_vpc::RulePeer;

use super::security_groups::{CONTROL_PLANE_RULES, FROM_CLUSTER_GROUP, FROM_SHARED_GROUP};
use super::stack::{CLUSTER_NAME, LOGICAL_ID, NODEGROUP_NAME, STACK_NAME, cluster_stack_name, nodegroup_stack_name};
use crate::aws::ec2::resource::Resource;
use crate::aws::ec2::{Association, SecurityGroup, SecurityGroupRule};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State, eks, elbv2};

/// Deletes what [`super::create_cluster`] has made for a cluster, whatever of it is left, or a cluster of EKS's that it has
/// not made. It is gone when this returns; that nothing is left to delete is no error. Load balancers of Services have to
/// be deleted before: on AWS eksctl asks the cluster for that.
///
/// # Errors
/// As CloudFormation tells it, with the code of the first resource that cannot be deleted, `DependencyViolation` above all:
/// an interface in a subnet, an active peering, or a security group that somebody else uses. What does not depend on it is
/// deleted, and the next call goes on.
pub fn delete_cluster(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    elbv2::reap(state, context.now);
    if eks::find(state, context, name).is_ok() && !is_ours(state, context, name) {
        eks::remove_cluster(state, context, name);
    }
    delete_stacks(state, context, name)
}

/// Whether a cluster is in the VPC of the stack that would be its own.
fn is_ours(state: &State, context: &Context, name: &str) -> bool {
    let stack = cluster_stack_name(name);
    let vpc = eks::find(state, context, name).ok().and_then(|cluster| state.ec2.vpcs.get(&cluster.vpc));
    vpc.is_some_and(|vpc| vpc.tags.get(STACK_NAME) == Some(&stack))
}

/// Whether anything of a cluster's stack is left.
pub(super) fn stack_exists(state: &State, context: &Context, stack: &str) -> bool {
    let ec2 = &state.ec2;
    !members(&ec2.vpcs, context, stack).is_empty()
        || !members(&ec2.addresses, context, stack).is_empty()
        || !members(&ec2.internet_gateways, context, stack).is_empty()
}

/// Deletes the stacks of a cluster, those of its node groups first: when one of them fails the cluster's is not tried.
pub(super) fn delete_stacks(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    for nodegroup in nodegroups(state, context, name) {
        let mut deletion = Deletion::of(nodegroup_stack_name(name, &nodegroup));
        deletion.nodegroup(state, context, name, &nodegroup);
        deletion.result()?;
    }
    let mut deletion = Deletion::of(cluster_stack_name(name));
    deletion.cluster(state, context, name);
    deletion.result()
}

/// Names of the node groups that have a stack.
fn nodegroups(state: &State, context: &Context, cluster: &str) -> BTreeSet<String> {
    let of = |tags: &Tags| {
        let name = tags.get(NODEGROUP_NAME)?;
        let stack = tags.get(STACK_NAME)? == &nodegroup_stack_name(cluster, name);
        (stack && tags.get(CLUSTER_NAME).is_some_and(|it| it == cluster)).then(|| name.clone())
    };
    let ec2 = &state.ec2;
    let groups = ec2.security_groups.values().filter(|it| it.region == context.region).filter_map(|it| of(&it.tags));
    let live = ec2.instances.values().filter(|it| it.region == context.region && it.state == "running");
    let managed = eks::find(state, context, cluster).ok();
    let managed = managed.into_iter().flat_map(|it| it.nodegroups.values()).filter_map(|it| of(&it.tags));
    groups.chain(live.filter_map(|it| of(&it.tags))).chain(managed).collect()
}

/// Ids and logical ids of a stack's resources of one kind.
fn members<R: Resource>(
    records: &std::collections::BTreeMap<String, R>,
    context: &Context,
    stack: &str,
) -> Vec<(String, String)> {
    let ours = |record: &R| {
        record.region() == context.region && record.tags().get(STACK_NAME).is_some_and(|name| name == stack)
    };
    let logical = |record: &R| record.tags().get(LOGICAL_ID).cloned().unwrap_or_default();
    records.iter().filter(|(_, it)| ours(it)).map(|(id, it)| (id.clone(), logical(it))).collect()
}

/// The deletion of a stack.
struct Deletion {
    stack: String,
    /// Logical ids of the resources that cannot be deleted, and why.
    failures: Vec<(String, AwsError)>,
}

impl Deletion {
    fn of(stack: String) -> Self {
        Self { stack, failures: Vec::new() }
    }

    fn attempt(&mut self, logical_id: &str, result: Result<(), AwsError>) {
        if let Err(error) = result {
            self.failures.push((logical_id.to_owned(), error));
        }
    }

    fn result(self) -> Result<(), AwsError> {
        let Some((_, first)) = self.failures.first() else { return Ok(()) };
        let names: Vec<_> = self.failures.iter().map(|(id, _)| id.as_str()).collect();
        let reasons: Vec<_> = self.failures.iter().map(|(id, error)| format!("{id}: {}", error.message)).collect();
        let message = format!(
            "stack \"{}\" is DELETE_FAILED: The following resource(s) failed to delete: [{}]. {}",
            self.stack,
            names.join(", "),
            reasons.join(" ")
        );
        Err(AwsError::with_status(first.status, first.code.clone(), message))
    }

    fn nodegroup(&mut self, state: &mut State, context: &Context, cluster: &str, name: &str) {
        eks::remove_nodegroup(state, context, cluster, name);
        for (instance, logical_id) in members(&state.ec2.instances, context, &self.stack) {
            self.attempt(&logical_id, state.ec2.terminate_instance(context, &instance));
        }
        let groups = members(&state.ec2.security_groups, context, &self.stack);
        for (group, logical_id) in groups {
            let peer = RulePeer::Group(group.clone());
            let ours = |rule: &SecurityGroupRule| {
                let description = rule.description.as_deref().unwrap_or_default();
                rule.peer == peer && CONTROL_PLANE_RULES.iter().any(|prefix| description.starts_with(prefix))
            };
            remove_rules(state, context, &cluster_stack_name(cluster), ours);
            self.attempt(&logical_id, state.ec2.delete_security_group(context, &group));
        }
    }

    fn cluster(&mut self, state: &mut State, context: &Context, name: &str) {
        self.control_plane(state, context, name);
        let ec2 = &mut state.ec2;
        for (group, logical_id) in members(&ec2.security_groups, context, &self.stack) {
            self.attempt(&logical_id, ec2.delete_security_group(context, &group));
        }
        for (gateway, logical_id) in members(&ec2.nat_gateways, context, &self.stack) {
            self.attempt(&logical_id, ec2.delete_nat_gateway(context, &gateway));
        }
        for (address, logical_id) in members(&ec2.addresses, context, &self.stack) {
            self.attempt(&logical_id, ec2.release_address(context, &address));
        }
        self.route_tables(state, context);
        let ec2 = &mut state.ec2;
        for (subnet, logical_id) in members(&ec2.subnets, context, &self.stack) {
            self.attempt(&logical_id, ec2.delete_subnet(context, &subnet));
        }
        for (gateway, logical_id) in members(&ec2.internet_gateways, context, &self.stack) {
            let attached = ec2.internet_gateways.get(&gateway).and_then(|it| it.vpc.clone());
            match attached.map_or(Ok(()), |vpc| ec2.detach_internet_gateway(context, &gateway, &vpc)) {
                Ok(()) => self.attempt(&logical_id, ec2.delete_internet_gateway(context, &gateway)),
                Err(error) => self.attempt("VPCGatewayAttachment", Err(error)),
            }
        }
        // Everything else depends on it: it is not tried while anything else is left.
        if self.failures.is_empty() {
            for (vpc, logical_id) in members(&ec2.vpcs, context, &self.stack) {
                self.attempt(&logical_id, ec2.delete_vpc(context, &vpc));
            }
        }
    }

    /// The rules between the shared and the cluster's security group, and the cluster itself.
    fn control_plane(&mut self, state: &mut State, context: &Context, name: &str) {
        if !is_ours(state, context, name) {
            return;
        }
        let Ok(cluster) = eks::find(state, context, name) else { return };
        if let Some(nodegroup) = cluster.nodegroups.keys().next() {
            let message = format!("Cluster has nodegroups attached: {nodegroup}");
            self.attempt("ControlPlane", Err(AwsError::with_status(409, "ResourceInUseException", message)));
            return;
        }
        let own = cluster.cluster_security_group.clone();
        let ours = |rule: &SecurityGroupRule| rule.description.as_deref() == Some(FROM_CLUSTER_GROUP);
        remove_rules(state, context, &self.stack, ours);
        if let Some(group) = state.ec2.security_groups.get_mut(&own) {
            group.rules.retain(|_, rule| rule.description.as_deref() != Some(FROM_SHARED_GROUP));
        }
        eks::remove_cluster(state, context, name);
    }

    fn route_tables(&mut self, state: &mut State, context: &Context) {
        let ec2 = &mut state.ec2;
        let subnets: BTreeSet<String> =
            members(&ec2.subnets, context, &self.stack).into_iter().map(|(id, _)| id).collect();
        for (table, logical_id) in members(&ec2.route_tables, context, &self.stack) {
            let associations = ec2.route_tables.get(&table).into_iter().flat_map(|it| &it.associations);
            let own: Vec<String> = associations
                .filter(|(_, of)| matches!(of, Association::Subnet(subnet) if subnets.contains(subnet)))
                .map(|(id, _)| id.clone())
                .collect();
            for association in own {
                self.attempt(&logical_id, ec2.disassociate_route_table(context, &association));
            }
            self.attempt(&logical_id, ec2.delete_route_table(context, &table));
        }
    }
}

/// Removes rules of a stack from the security groups of a stack.
fn remove_rules(state: &mut State, context: &Context, stack: &str, ours: impl Fn(&SecurityGroupRule) -> bool) {
    let of_stack = |group: &SecurityGroup| {
        group.region == context.region && group.tags.get(STACK_NAME).is_some_and(|name| name == stack)
    };
    for group in state.ec2.security_groups.values_mut().filter(|group| of_stack(group)) {
        group.rules.retain(|_, rule| !ours(rule));
    }
}
