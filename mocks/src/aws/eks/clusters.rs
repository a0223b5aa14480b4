//! Clusters, node groups and add-ons, and how they change.

use std::collections::BTreeMap;

use acrossk8s_vpc::RulePeer;
use ipnet::Ipv4Net;

use crate::aws::ec2::{NewInterface, SecurityGroupRule};
use crate::aws::eks::state::*;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

/// Description of the control plane's interfaces in the cluster's subnets.
const CONTROL_PLANE: &str = "Amazon EKS";

/// What a new cluster is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// Name.
    pub name: String,
    /// Kubernetes version.
    pub version: String,
    /// Subnets, in two availability zones at least.
    pub subnets: Vec<String>,
    /// Security groups for the control plane's interfaces.
    pub security_groups: Vec<String>,
    /// Service CIDR block.
    pub service_cidr: Ipv4Net,
    /// Tags.
    pub tags: Tags,
}

impl Cluster {
    /// Status at a time.
    pub fn status(&self, now: SimTime, latencies: &Latencies) -> &'static str {
        match self.deleting {
            Some(_) => "DELETING",
            None if now >= self.created + latencies.cluster_create => "ACTIVE",
            None => "CREATING",
        }
    }
}

impl Nodegroup {
    /// Status at a time.
    pub fn status(&self, now: SimTime, latencies: &Latencies) -> &'static str {
        if now >= self.created + latencies.nodegroup_create { "ACTIVE" } else { "CREATING" }
    }
}

fn not_found(what: &str, name: &str) -> AwsError {
    AwsError::with_status(404, "ResourceNotFoundException", format!("No {what} found for name: {name}."))
}

fn key(context: &Context, name: &str) -> (String, String) {
    (context.region.clone(), name.to_owned())
}

/// A cluster of the region.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find<'a>(state: &'a State, context: &Context, name: &str) -> Result<&'a Cluster, AwsError> {
    state.eks.clusters.get(&key(context, name)).ok_or_else(|| not_found("cluster", name))
}

fn find_mut<'a>(state: &'a mut State, context: &Context, name: &str) -> Result<&'a mut Cluster, AwsError> {
    state.eks.clusters.get_mut(&key(context, name)).ok_or_else(|| not_found("cluster", name))
}

/// Creates a cluster with the security group that EKS makes for it and two interfaces of its control plane. Gives the id
/// of that group.
///
/// # Errors
/// `ResourceInUseException` when the name is taken; `InvalidParameterException` for subnets that do not do; what EC2 says.
pub fn create_cluster(state: &mut State, context: &Context, new: NewCluster) -> Result<String, AwsError> {
    if find(state, context, &new.name).is_ok() {
        let message = format!("Cluster already exists with name: {}", new.name);
        return Err(AwsError::with_status(409, "ResourceInUseException", message));
    }
    let mut zones: BTreeMap<String, String> = BTreeMap::new();
    let mut vpc = None;
    for id in &new.subnets {
        let invalid = || AwsError::client("InvalidParameterException", format!("The subnet ID '{id}' does not exist"));
        let subnet = state.ec2.subnets.get(id).filter(|subnet| subnet.region == context.region).ok_or_else(invalid)?;
        zones.entry(subnet.availability_zone.clone()).or_insert_with(|| id.clone());
        vpc = Some(subnet.vpc.clone());
    }
    let Some(vpc) = vpc.filter(|_| zones.len() >= 2) else {
        let message = "Subnets specified must be in at least two different AZs";
        return Err(AwsError::client("InvalidParameterException", message));
    };
    let id = state.ids.hex(9);
    let name = format!("eks-cluster-sg-{}-{id}", new.name);
    let tags = Tags::from([
        ("Name".to_owned(), name.clone()),
        (format!("kubernetes.io/cluster/{}", new.name), "owned".to_owned()),
        ("aws:eks:cluster-name".to_owned(), new.name.clone()),
    ]);
    let description = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as \
                       well as any managed workloads.";
    let group = state.ec2.create_security_group(&mut state.ids, context, &vpc, &name, description, tags)?;
    let within = SecurityGroupRule::all(RulePeer::Group(group.clone()));
    state.ec2.authorize(&mut state.ids, context, &group, vec![within])?;
    let groups: Vec<_> = std::iter::once(group.clone()).chain(new.security_groups.iter().cloned()).collect();
    for subnet in zones.values().take(2) {
        let description = format!("{CONTROL_PLANE} {}", new.name);
        let interface = NewInterface::managed(subnet, &groups, &description, "interface", "amazon-eks");
        state.ec2.create_interface(&mut state.ids, context, interface)?;
    }
    let record = Cluster {
        version: new.version,
        endpoint: String::new(),
        vpc,
        subnets: new.subnets,
        security_groups: new.security_groups,
        cluster_security_group: group.clone(),
        service_cidr: new.service_cidr,
        created: context.now,
        deleting: None,
        nodegroups: BTreeMap::new(),
        addons: BTreeMap::new(),
        tags: new.tags,
    };
    state.eks.clusters.insert(key(context, &new.name), record);
    Ok(group)
}

/// Sets the URL of a cluster's Kubernetes API.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn set_endpoint(state: &mut State, context: &Context, name: &str, endpoint: &str) -> Result<(), AwsError> {
    find_mut(state, context, name)?.endpoint = endpoint.to_owned();
    Ok(())
}

/// Records a managed node group. Its instances are somebody else's.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` when the name is taken.
pub fn create_nodegroup(
    state: &mut State,
    context: &Context,
    cluster: &str,
    name: &str,
    nodegroup: Nodegroup,
) -> Result<(), AwsError> {
    let cluster = find_mut(state, context, cluster)?;
    if cluster.nodegroups.contains_key(name) {
        let message = format!("NodeGroup already exists with name {name}");
        return Err(AwsError::with_status(409, "ResourceInUseException", message));
    }
    cluster.nodegroups.insert(name.to_owned(), nodegroup);
    Ok(())
}

/// Records an add-on.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` when it is there.
pub fn create_addon(
    state: &mut State,
    context: &Context,
    cluster: &str,
    name: &str,
    addon: Addon,
) -> Result<(), AwsError> {
    let cluster = find_mut(state, context, cluster)?;
    if cluster.addons.contains_key(name) {
        return Err(AwsError::with_status(409, "ResourceInUseException", "Addon already exists."));
    }
    cluster.addons.insert(name.to_owned(), addon);
    Ok(())
}

/// Begins to delete a cluster; it is gone, with its security group and its control plane's interfaces, after a while.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` while it has managed node groups.
pub fn begin_deletion(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    let cluster = find_mut(state, context, name)?;
    if let Some(nodegroup) = cluster.nodegroups.keys().next() {
        let message = format!("Cluster has nodegroups attached: {nodegroup}");
        return Err(AwsError::with_status(409, "ResourceInUseException", message));
    }
    cluster.deleting.get_or_insert(context.now);
    Ok(())
}

/// Removes clusters whose deletion has ended. Returns whether there were any.
pub fn reap(state: &mut State, context: &Context) -> bool {
    let ended: Vec<_> = state
        .eks
        .clusters
        .iter()
        .filter(|(_, it)| it.deleting.is_some_and(|since| context.now >= since + context.latencies.cluster_delete))
        .map(|(key, _)| key.clone())
        .collect();
    for key in &ended {
        let Some(cluster) = state.eks.clusters.remove(key) else { continue };
        let description = format!("{CONTROL_PLANE} {}", key.1);
        let interfaces: Vec<_> = state
            .ec2
            .interfaces
            .iter()
            .filter(|(_, it)| it.description == description && it.groups.contains(&cluster.cluster_security_group))
            .map(|(id, _)| id.clone())
            .collect();
        for interface in interfaces {
            state.ec2.release_interface(&interface);
        }
        // Rules of other groups that name this one would keep it; EKS then leaves it behind, as eksctl issue 5135 tells.
        let context = Context { region: key.0.clone(), ..context.clone() };
        let _ = state.ec2.delete_security_group(&context, &cluster.cluster_security_group);
    }
    !ended.is_empty()
}
