//! What is gone after a while.

use crate::aws::eks::clusters::key;
use crate::aws::{Context, State};

/// Removes clusters, node groups and add-ons, of every region, whose deletion has ended. Returns whether there were any.
pub fn reap(state: &mut State, context: &Context) -> bool {
    let ended = |since: Option<_>| since.is_some_and(|since| context.now >= since + context.latencies.cluster_delete);
    let mut clusters = Vec::new();
    let mut nodegroups = Vec::new();
    let mut addons = false;
    for (id, cluster) in &mut state.eks.clusters {
        let before = cluster.addons.len();
        cluster.addons.retain(|_, addon| addon.deleting.is_none());
        addons |= cluster.addons.len() < before;
        let gone = cluster.nodegroups.iter().filter(|(_, nodegroup)| ended(nodegroup.deleting));
        nodegroups.extend(gone.map(|(name, _)| (id.clone(), name.clone())));
        if ended(cluster.deleting) {
            clusters.push(id.clone());
        }
    }
    for ((region, cluster), nodegroup) in &nodegroups {
        remove_nodegroup(state, &in_region(context, region), cluster, nodegroup);
    }
    for (region, cluster) in &clusters {
        remove_cluster(state, &in_region(context, region), cluster);
    }
    addons || !nodegroups.is_empty() || !clusters.is_empty()
}

fn in_region(context: &Context, region: &str) -> Context {
    Context { region: region.to_owned(), ..context.clone() }
}

/// Removes a node group with its instances, at once. One that does not exist is no error.
pub fn remove_nodegroup(state: &mut State, context: &Context, cluster: &str, name: &str) {
    let record = state.eks.clusters.get_mut(&key(context, cluster));
    let Some(nodegroup) = record.and_then(|record| record.nodegroups.remove(name)) else { return };
    for instance in nodegroup.instances {
        // One that somebody has terminated meanwhile is no matter.
        let _ = state.ec2.terminate_instance(context, &instance);
    }
}

/// Removes a cluster with its node groups, its security group and its control plane's interfaces, at once. One that does
/// not exist is no error. A security group that something else still uses stays behind, as it does on AWS.
pub fn remove_cluster(state: &mut State, context: &Context, name: &str) {
    let Some(cluster) = state.eks.clusters.get(&key(context, name)) else { return };
    let nodegroups: Vec<_> = cluster.nodegroups.keys().cloned().collect();
    for nodegroup in nodegroups {
        remove_nodegroup(state, context, name, &nodegroup);
    }
    let Some(cluster) = state.eks.clusters.remove(&key(context, name)) else { return };
    for interface in &cluster.interfaces {
        state.ec2.release_interface(interface);
    }
    let _ = state.ec2.delete_security_group(context, &cluster.cluster_security_group);
}
