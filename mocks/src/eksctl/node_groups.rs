//! Node groups: their security groups, instances and records.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::config::{ClusterConfig, NodeGroup, Taint};
use super::network::{Network, ZoneSubnet};
use super::security_groups::{Groups, create_local};
use super::stack::{CLUSTER_NAME, NODEGROUP_NAME, Stack};
use crate::aws::ec2::NewInterface;
use crate::aws::eks::{self, NewNodegroup};
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};
use crate::kubernetes::node::private_domain;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name: `ip-10-1-2-3.<region>.compute.internal`, in us-east-1 `ip-10-1-2-3.ec2.internal`.
    pub name: String,
    /// Instance.
    pub instance: String,
    /// Primary interface.
    pub interface: String,
    /// Primary address.
    pub address: Ipv4Addr,
    /// Subnet.
    pub subnet: String,
    /// Availability zone.
    pub zone: String,
    /// Instance type.
    pub instance_type: String,
    /// Node group.
    pub nodegroup: String,
    /// Whether EKS manages the node group.
    pub managed: bool,
    /// Labels: those that the node group asks for, and those of eksctl and EKS.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node group asks for.
    pub taints: Vec<Taint>,
}

/// What node groups are made in.
pub(super) struct Site<'a> {
    pub config: &'a ClusterConfig,
    pub network: &'a Network,
    pub groups: &'a Groups,
}

impl Site<'_> {
    fn cluster(&self) -> &str {
        &self.config.metadata.name
    }

    /// The subnets of a node group's zones, private or public.
    fn subnets(&self, group: &NodeGroup) -> Result<Vec<ZoneSubnet>, AwsError> {
        let all = if group.private_networking { &self.network.private } else { &self.network.public };
        if group.availability_zones.is_empty() {
            return Ok(all.clone());
        }
        let find = |zone: &String| {
            all.iter().find(|it| it.zone == *zone).cloned().ok_or_else(|| {
                let known: Vec<_> = all.iter().map(|it| it.zone.as_str()).collect();
                AwsError::client(
                    "InvalidParameterException",
                    format!(
                        "nodegroup \"{}\" has no subnet in {zone}: the cluster's availability zones are {}",
                        group.name,
                        known.join(", ")
                    ),
                )
            })
        };
        group.availability_zones.iter().map(find).collect()
    }
}

/// Makes a node group. What its nodes carry: unmanaged ones the groups attached by hand, the shared one and their own;
/// managed ones the cluster's and the groups attached by hand, and never the shared one.
pub(super) fn create(
    state: &mut State,
    context: &Context,
    site: &Site<'_>,
    group: &NodeGroup,
    managed: bool,
) -> Result<Vec<Node>, AwsError> {
    let stack = Stack::of_nodegroup(state, context, site.config, &group.name, managed, &group.tags);
    let subnets = site.subnets(group)?;
    let instances = match managed {
        true => create_managed(state, context, site, group, &stack, &subnets)?,
        false => create_unmanaged(state, context, site, group, &stack, &subnets)?,
    };
    instances.into_iter().map(|instance| node(state, context, site, group, managed, instance)).collect()
}

/// Tags of instances and interfaces that come from the launch template.
fn launch_tags(site: &Site<'_>, group: &NodeGroup) -> Tags {
    let mut tags = site.config.metadata.tags.clone();
    tags.extend(group.tags.clone());
    tags.extend([
        ("Name".to_owned(), format!("{}-{}-Node", site.cluster(), group.name)),
        (CLUSTER_NAME.to_owned(), site.cluster().to_owned()),
        (NODEGROUP_NAME.to_owned(), group.name.clone()),
    ]);
    tags
}

fn create_managed(
    state: &mut State,
    context: &Context,
    site: &Site<'_>,
    group: &NodeGroup,
    stack: &Stack,
    subnets: &[ZoneSubnet],
) -> Result<Vec<String>, AwsError> {
    let attached = &group.security_groups.attach_ids;
    let taint = |it: &Taint| eks::Taint { key: it.key.clone(), value: it.value.clone(), effect: it.effect.clone() };
    let new = NewNodegroup {
        name: group.name.clone(),
        instance_types: group.instance_types(),
        size: group.size(),
        subnets: subnets.iter().map(|it| it.subnet.clone()).collect(),
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{}-NodeInstanceRole", stack.name),
        security_groups: std::iter::once(&site.groups.cluster).chain(attached).cloned().collect(),
        labels: labels(site, group, true),
        taints: group.taints().iter().map(taint).collect(),
        tags: stack.tags("ManagedNodeGroup"),
        instance_tags: launch_tags(site, group),
    };
    eks::create_nodegroup(state, context, site.cluster(), new)
}

fn create_unmanaged(
    state: &mut State,
    context: &Context,
    site: &Site<'_>,
    group: &NodeGroup,
    stack: &Stack,
    subnets: &[ZoneSubnet],
) -> Result<Vec<String>, AwsError> {
    let asked = &group.security_groups;
    let mut carried = asked.attach_ids.clone();
    if asked.with_shared.unwrap_or(true) {
        carried.push(site.groups.shared.clone());
    }
    if asked.with_local.unwrap_or(true) {
        let (vpc, groups) = (&site.network.vpc, site.groups);
        carried.push(create_local(state, context, stack, vpc, groups, site.cluster(), &group.name)?);
    }
    // An Auto Scaling group passes its tags on to its instances, and the launch template tags interfaces, too.
    let launch = launch_tags(site, group);
    let mut tags = stack.tags("NodeGroup");
    tags.extend(launch.clone());
    tags.insert(format!("kubernetes.io/cluster/{}", site.cluster()), "owned".to_owned());
    let instance_type = group.instance_types().swap_remove(0);
    // It also spreads its instances over its zones.
    let (_, desired, _) = group.size();
    let mut instances = Vec::new();
    for at in subnets.iter().cycle().take(desired as usize) {
        let interface = NewInterface { tags: launch.clone(), ..NewInterface::new(&at.subnet, &carried, "") };
        let State { ids, ec2, .. } = state;
        instances.push(ec2.run_instance_with(ids, context, interface, &instance_type, tags.clone())?);
    }
    Ok(instances)
}

fn labels(site: &Site<'_>, group: &NodeGroup, managed: bool) -> BTreeMap<String, String> {
    let mut labels = group.labels.clone();
    labels.insert(CLUSTER_NAME.to_owned(), site.cluster().to_owned());
    labels.insert(NODEGROUP_NAME.to_owned(), group.name.clone());
    if managed {
        labels.insert("eks.amazonaws.com/nodegroup".to_owned(), group.name.clone());
    }
    labels
}

fn node(
    state: &State,
    context: &Context,
    site: &Site<'_>,
    group: &NodeGroup,
    managed: bool,
    instance: String,
) -> Result<Node, AwsError> {
    let address = state.ec2.instance_address(context, &instance)?;
    let record = crate::aws::ec2::resource::find(&state.ec2.instances, &context.region, &instance)?;
    let subnet = crate::aws::ec2::resource::find(&state.ec2.subnets, &context.region, &record.subnet)?;
    let host = address.to_string().replace('.', "-");
    Ok(Node {
        name: format!("ip-{host}.{}", private_domain(&context.region)),
        interface: record.interface.clone(),
        address,
        subnet: record.subnet.clone(),
        zone: subnet.availability_zone.clone(),
        instance_type: record.instance_type.clone(),
        instance,
        nodegroup: group.name.clone(),
        managed,
        labels: labels(site, group, managed),
        taints: group.taints().to_vec(),
    })
}
