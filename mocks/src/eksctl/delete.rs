//! `eksctl delete cluster --wait`: node groups, the cluster, and then its stack.

use super::cluster_stack;
use crate::aws::eks;
use crate::aws::{AwsError, Context, State};

/// Deletes everything that [`super::create_cluster`] has made for a cluster, whatever of it is left. Can be called again
/// after an error.
///
/// # Errors
/// `DependencyViolation` when something that eksctl does not know holds a part of it: an active peering, a foreign
/// interface, a rule that names a security group.
pub fn delete_cluster(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    let ours = |tags: &crate::aws::tags::Tags| tags.get("alpha.eksctl.io/cluster-name").is_some_and(|it| it == name);
    let here = |region: &str| region == context.region;
    let instances: Vec<_> = state
        .ec2
        .instances
        .iter()
        .filter(|(_, it)| here(&it.region) && it.state != "terminated" && ours(&it.tags))
        .map(|(id, _)| id.clone())
        .collect();
    for instance in &instances {
        state.ec2.terminate_instance(context, instance)?;
    }
    if let Some(cluster) = state.eks.clusters.get_mut(&(context.region.clone(), name.to_owned())) {
        cluster.nodegroups.clear();
        cluster.addons.clear();
        release_rules(state, context, name);
        eks::begin_deletion(state, context, name)?;
        // `--wait`: the clock of the wait is the caller's; what is deleted is gone when this returns.
        let later = Context { now: context.now + context.latencies.cluster_delete, ..context.clone() };
        eks::reap(state, &later);
    }
    release_rules(state, context, name);
    delete_stack(state, context, name)
}

/// The cluster's security groups name each other; CloudFormation deletes the rules before the groups.
fn release_rules(state: &mut State, context: &Context, name: &str) {
    let names =
        [format!("eksctl-{name}-cluster-"), format!("eksctl-{name}-nodegroup-"), format!("eks-cluster-sg-{name}-")];
    for group in state.ec2.security_groups.values_mut().filter(|it| it.region == context.region) {
        if names.iter().any(|prefix| group.name.starts_with(prefix)) {
            group.rules.retain(|_, rule| !matches!(rule.peer, acrossk8s_vpc::RulePeer::Group(_)));
        }
    }
}

fn delete_stack(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    let stack = cluster_stack(name);
    let of_vpc = |tags: &crate::aws::tags::Tags| tags.get("aws:cloudformation:stack-name") == Some(&stack);
    let vpcs = state.ec2.vpcs.iter().filter(|(_, it)| it.region == context.region && of_vpc(&it.tags));
    let Some(vpc) = vpcs.map(|(id, _)| id.clone()).next() else { return Ok(()) };
    let ec2 = &mut state.ec2;
    let gateways: Vec<_> = ec2
        .nat_gateways
        .iter()
        .filter(|(_, it)| it.vpc == vpc && !it.deleted)
        .map(|(id, it)| (id.clone(), it.allocation.clone()))
        .collect();
    for (gateway, allocation) in gateways {
        ec2.delete_nat_gateway(context, &gateway)?;
        ec2.release_address(context, &allocation)?;
    }
    let groups: Vec<_> = ec2
        .security_groups
        .iter()
        .filter(|(_, it)| it.vpc == vpc && it.name != "default")
        .map(|(id, _)| id.clone())
        .collect();
    for group in groups {
        ec2.delete_security_group(context, &group)?;
    }
    let tables: Vec<_> =
        ec2.route_tables.iter().filter(|(_, it)| it.vpc == vpc && !it.is_main()).map(|(id, _)| id.clone()).collect();
    for table in tables {
        let associations: Vec<_> =
            ec2.route_tables.get(&table).into_iter().flat_map(|it| it.associations.keys().cloned()).collect();
        for association in associations {
            ec2.disassociate_route_table(context, &association)?;
        }
        ec2.delete_route_table(context, &table)?;
    }
    let subnets: Vec<_> = ec2.subnets.iter().filter(|(_, it)| it.vpc == vpc).map(|(id, _)| id.clone()).collect();
    for subnet in subnets {
        ec2.delete_subnet(context, &subnet)?;
    }
    let internet: Vec<_> = ec2
        .internet_gateways
        .iter()
        .filter(|(_, it)| it.vpc.as_ref() == Some(&vpc))
        .map(|(id, _)| id.clone())
        .collect();
    for gateway in internet {
        ec2.detach_internet_gateway(context, &gateway, &vpc)?;
        ec2.delete_internet_gateway(context, &gateway)?;
    }
    ec2.delete_vpc(context, &vpc)
}
