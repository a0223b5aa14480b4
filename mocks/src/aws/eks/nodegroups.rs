//! Managed node groups and their instances.

use std::collections::BTreeMap;

use crate::aws::ec2::NewInterface;
use crate::aws::eks::clusters::{find, find_mut};
use crate::aws::eks::errors::{in_use, invalid_parameter, invalid_request, not_found};
use crate::aws::eks::state::*;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

/// What a new node group is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNodegroup {
    /// Name.
    pub name: String,
    /// Instance types; the first one is taken.
    pub instance_types: Vec<String>,
    /// Minimum, desired and maximum number of nodes.
    pub size: (u32, u32, u32),
    /// Subnets: instances are spread over them in this order.
    pub subnets: Vec<String>,
    /// ARN of the role of its nodes. There is no IAM here: it is only shown again.
    pub role_arn: String,
    /// Security groups that a launch template asks for. Without any, nodes carry the cluster's security group.
    pub security_groups: Vec<String>,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes.
    pub taints: Vec<Taint>,
    /// Tags of the node group, which its instances do not get.
    pub tags: Tags,
    /// Tags of instances and interfaces that a launch template asks for.
    pub instance_tags: Tags,
}

impl Nodegroup {
    /// Status at a time.
    pub fn status(&self, now: SimTime, latencies: &Latencies) -> &'static str {
        match self.deleting {
            Some(_) => "DELETING",
            None if now >= self.created + latencies.nodegroup_create => "ACTIVE",
            None => "CREATING",
        }
    }
}

/// A node group of a cluster.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(super) fn find_nodegroup<'a>(cluster: &'a Cluster, name: &str) -> Result<&'a Nodegroup, AwsError> {
    cluster.nodegroups.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> AwsError {
    not_found(format!("No node group found for name: {name}."))
}

/// Creates a managed node group and runs its instances; gives their ids. When it fails nothing of it remains.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` when the name is taken; `InvalidRequestException` while the
/// cluster is being deleted; `InvalidParameterException` for a name, a size or subnets that do not do; what EC2 says.
pub fn create_nodegroup(
    state: &mut State,
    context: &Context,
    cluster: &str,
    new: NewNodegroup,
) -> Result<Vec<String>, AwsError> {
    let record = find(state, context, cluster)?;
    check(state, record, cluster, &new)?;
    let groups = match new.security_groups.is_empty() {
        true => vec![record.cluster_security_group.clone()],
        false => new.security_groups.clone(),
    };
    let mut instance_tags = new.instance_tags.clone();
    for (key, value) in [
        ("eks:cluster-name", cluster),
        ("eks:nodegroup-name", &new.name),
        ("aws:eks:cluster-name", cluster),
        (&format!("kubernetes.io/cluster/{cluster}"), "owned"),
    ] {
        instance_tags.insert(key.to_owned(), value.to_owned());
    }
    let instances = run(state, context, &new, &groups, &instance_tags)?;
    let digits = state.ids.hex(32);
    let nodegroup = Nodegroup {
        id: uuid(&digits),
        instance_types: new.instance_types,
        size: new.size,
        subnets: new.subnets,
        role_arn: new.role_arn,
        labels: new.labels,
        taints: new.taints,
        instances: instances.clone(),
        created: context.now,
        deleting: None,
        tags: new.tags,
    };
    find_mut(state, context, cluster)?.nodegroups.insert(new.name, nodegroup);
    Ok(instances)
}

/// 32 hexadecimal digits in groups.
pub(super) fn uuid(digits: &str) -> String {
    let mut text = digits.to_owned();
    for at in [20, 16, 12, 8] {
        if text.is_char_boundary(at) {
            text.insert(at, '-');
        }
    }
    text
}

fn check(state: &State, record: &Cluster, cluster: &str, new: &NewNodegroup) -> Result<(), AwsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if new.name.len() > 63
        || !new.name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !new.name.chars().all(allowed)
    {
        return Err(invalid_parameter(format!("The node group name '{}' is not valid", new.name)));
    }
    if record.nodegroups.contains_key(&new.name) {
        return Err(in_use(format!("NodeGroup already exists with name {} and cluster name {cluster}", new.name)));
    }
    if record.deleting.is_some() {
        return Err(invalid_request(format!("Cluster '{cluster}' is being deleted")));
    }
    let (min, desired, max) = new.size;
    if min > desired || desired > max || max == 0 {
        return Err(invalid_parameter(format!(
            "The scaling configuration needs minSize {min} <= desiredSize {desired} <= maxSize {max}, and maxSize > 0"
        )));
    }
    if new.instance_types.is_empty() || new.subnets.is_empty() {
        return Err(invalid_parameter("A node group needs an instance type and a subnet"));
    }
    for id in &new.subnets {
        if state.ec2.subnets.get(id).is_none_or(|subnet| subnet.vpc != record.vpc) {
            return Err(invalid_parameter(format!("The subnet ID '{id}' does not exist in VPC '{}'", record.vpc)));
        }
    }
    Ok(())
}

fn run(
    state: &mut State,
    context: &Context,
    new: &NewNodegroup,
    groups: &[String],
    tags: &Tags,
) -> Result<Vec<String>, AwsError> {
    let mut instances: Vec<String> = Vec::new();
    let subnets = new.subnets.iter().cycle().take(new.size.1 as usize);
    for subnet in subnets {
        let interface = NewInterface { tags: tags.clone(), ..NewInterface::new(subnet, groups, "") };
        let kind = new.instance_types.first().map(String::as_str).unwrap_or_default();
        match state.ec2.run_instance_with(&mut state.ids, context, interface, kind, tags.clone()) {
            Ok(instance) => instances.push(instance),
            Err(error) => {
                for instance in instances {
                    // It was made a moment ago.
                    let _ = state.ec2.terminate_instance(context, &instance);
                }
                return Err(error);
            }
        }
    }
    Ok(instances)
}

/// Begins to delete a node group; it is gone, with its instances, after a while. Again has no effect.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn begin_nodegroup_deletion(
    state: &mut State,
    context: &Context,
    cluster: &str,
    name: &str,
) -> Result<(), AwsError> {
    let cluster = find_mut(state, context, cluster)?;
    let nodegroup = cluster.nodegroups.get_mut(name).ok_or_else(|| missing(name))?;
    nodegroup.deleting.get_or_insert(context.now);
    Ok(())
}
