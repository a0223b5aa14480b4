//! `eksctl create cluster`: the cluster's stack, the stacks of its node groups, and the records of EKS.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use acrossk8s_vpc::RulePeer;
use ipnet::Ipv4Net;

use super::config::{ClusterConfig, NodeGroup, Taint};
use super::network::{self, Network};
use super::{cluster_stack, delete_cluster, nodegroup_stack, stack_tags};
use crate::aws::ec2::{NewInterface, SecurityGroupRule};
use crate::aws::eks::{self, Addon, NewCluster, Nodegroup};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};
use crate::kubernetes::node::private_domain;

/// A cluster that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// VPC.
    pub vpc: String,
    /// All subnets, the public ones first.
    pub subnets: Vec<String>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Service CIDR block.
    pub service_cidr: Ipv4Net,
}

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
    /// Availability zone.
    pub zone: String,
    /// Instance type.
    pub instance_type: String,
    /// Node group.
    pub nodegroup: String,
    /// Whether EKS manages the node group.
    pub managed: bool,
    /// Labels that the node group asks for.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node group asks for.
    pub taints: Vec<Taint>,
}

/// Makes a cluster. When a part of it cannot be made, nothing of it remains.
///
/// # Errors
/// `AlreadyExistsException` when the stack of that name exists; what EC2 and EKS say.
pub fn create_cluster(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<Created, AwsError> {
    let name = &config.metadata.name;
    let stack = cluster_stack(name);
    let taken = |tags: &Tags| tags.get("aws:cloudformation:stack-name") == Some(&stack);
    if state.ec2.vpcs.values().any(|vpc| vpc.region == context.region && taken(&vpc.tags)) {
        return Err(AwsError::client("AlreadyExistsException", format!("Stack [{stack}] already exists")));
    }
    let created = build(state, context, config);
    if created.is_err() {
        // CloudFormation rolls back. What cannot be taken back would be an error of its own, and hide the first.
        let _ = delete_cluster(state, context, name);
    }
    created
}

fn build(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<Created, AwsError> {
    let name = &config.metadata.name;
    let stack = cluster_stack(name);
    let network = network::create(state, context, config)?;
    let group = |state: &mut State, logical_id: &str, description: &str| {
        // CloudFormation makes up the name; what people call it is its `Name` tag.
        let group_name = format!("{stack}-{logical_id}-{}", state.ids.hex(12).to_ascii_uppercase());
        let tags = stack_tags(config, &stack, logical_id);
        state.ec2.create_security_group(&mut state.ids, context, &network.vpc, &group_name, description, tags)
    };
    let control_plane =
        group(state, "ControlPlaneSecurityGroup", "Communication between the control plane and worker nodegroups")?;
    let shared = group(state, "ClusterSharedNodeSecurityGroup", "Communication between all nodes in the cluster")?;
    let mut tags = config.metadata.tags.clone();
    tags.insert("alpha.eksctl.io/cluster-name".to_owned(), name.clone());
    tags.insert("alpha.eksctl.io/eksctl-version".to_owned(), super::VERSION.to_owned());
    let new = NewCluster {
        name: name.clone(),
        version: config.metadata.version.clone(),
        subnets: network.all(),
        security_groups: vec![control_plane.clone()],
        service_cidr: config.service_cidr(),
        tags,
    };
    let cluster_group = eks::create_cluster(state, context, new)?;
    let all_from = |peer: &str| SecurityGroupRule::all(RulePeer::Group(peer.to_owned()));
    let State { ids, ec2, .. } = state;
    ec2.authorize(
        ids,
        context,
        &shared,
        vec![all_from(&shared).described("Allow nodes to communicate with each other (all ports)")],
    )?;
    ec2.authorize(
        ids,
        context,
        &shared,
        vec![
            all_from(&cluster_group)
                .described("Allow managed and unmanaged nodes to communicate with each other (all ports)"),
        ],
    )?;
    ec2.authorize(
        ids,
        context,
        &cluster_group,
        vec![all_from(&shared).described("Allow unmanaged nodes to communicate with control plane (all ports)")],
    )?;
    for addon in ["coredns", "kube-proxy", "metrics-server", "vpc-cni"] {
        let addon_record = Addon { version: "v1.0.0-eksbuild.1".to_owned(), created: context.now, tags: Tags::new() };
        eks::create_addon(state, context, name, addon, addon_record)?;
    }
    let groups = Groups { control_plane, shared, cluster: cluster_group };
    let mut nodes = Vec::new();
    for (group, managed) in config.groups() {
        nodes.extend(node_group(state, context, config, &network, &groups, group, managed)?);
    }
    Ok(Created { subnets: network.all(), vpc: network.vpc, nodes, service_cidr: config.service_cidr() })
}

struct Groups {
    control_plane: String,
    shared: String,
    cluster: String,
}

/// The security groups that the nodes of a group really carry: unmanaged ones what is attached, the shared group and
/// their own; managed ones what is attached and the cluster's, and never the shared group.
fn node_group(
    state: &mut State,
    context: &Context,
    config: &ClusterConfig,
    network: &Network,
    groups: &Groups,
    group: &NodeGroup,
    managed: bool,
) -> Result<Vec<Node>, AwsError> {
    let name = &config.metadata.name;
    let stack = nodegroup_stack(name, &group.name);
    let with = |choose: fn(&super::config::SecurityGroups) -> Option<bool>| {
        group.security_groups.as_ref().and_then(choose).unwrap_or(true)
    };
    let mut carried = group.security_groups.as_ref().map(|it| it.attach_ids.clone()).unwrap_or_default();
    let subnets: Vec<_> = if group.private_networking { &network.private } else { &network.public }
        .iter()
        .filter(|it| group.availability_zones.is_empty() || group.availability_zones.contains(&it.zone))
        .cloned()
        .collect();
    if subnets.is_empty() {
        let zones = group.availability_zones.join(", ");
        let message = format!("node group {} is in no availability zone of the cluster: {zones}", group.name);
        return Err(AwsError::client("InvalidParameterException", message));
    }
    if managed {
        carried.push(groups.cluster.clone());
        let record = Nodegroup {
            instance_types: vec![group.instance_type.clone()],
            desired: group.desired_capacity,
            subnets: subnets.iter().map(|it| it.subnet.clone()).collect(),
            created: context.now,
            tags: config.metadata.tags.clone(),
        };
        eks::create_nodegroup(state, context, name, &group.name, record)?;
    } else {
        if with(|it| it.with_shared) {
            carried.push(groups.shared.clone());
        }
        if with(|it| it.with_local) {
            carried.push(local_group(state, context, config, network, groups, &stack, &group.name)?);
        }
    }
    let mut nodes = Vec::new();
    for index in 0..group.desired_capacity as usize {
        // An Auto Scaling group spreads its instances over its zones.
        let at = &subnets[index % subnets.len()];
        nodes.push(node(state, context, config, group, managed, at, &carried)?);
    }
    Ok(nodes)
}

/// The node group's own security group and its rules with the control plane's.
fn local_group(
    state: &mut State,
    context: &Context,
    config: &ClusterConfig,
    network: &Network,
    groups: &Groups,
    stack: &str,
    group: &str,
) -> Result<String, AwsError> {
    let name = &config.metadata.name;
    let mut tags = stack_tags(config, stack, "SG");
    tags.insert(format!("kubernetes.io/cluster/{name}"), "owned".to_owned());
    let group_name = format!("{stack}-SG-{}", state.ids.hex(12).to_ascii_uppercase());
    let description = format!("Communication between the control plane and worker nodes in group {group}");
    let State { ids, ec2, .. } = state;
    let local = ec2.create_security_group(ids, context, &network.vpc, &group_name, &description, tags)?;
    let rule = |egress: bool, ports: (i32, i32), peer: &str| SecurityGroupRule {
        egress,
        protocol: "tcp".to_owned(),
        from_port: ports.0,
        to_port: ports.1,
        ..SecurityGroupRule::all(RulePeer::Group(peer.to_owned()))
    };
    let (https, ephemeral) = ((443, 443), (1025, 65535));
    ec2.authorize(
        ids,
        context,
        &local,
        vec![rule(false, https, &groups.control_plane), rule(false, ephemeral, &groups.control_plane)],
    )?;
    ec2.authorize(ids, context, &groups.control_plane, vec![rule(false, https, &local)])?;
    ec2.authorize(ids, context, &groups.control_plane, vec![rule(true, https, &local), rule(true, ephemeral, &local)])?;
    Ok(local)
}

fn node(
    state: &mut State,
    context: &Context,
    config: &ClusterConfig,
    group: &NodeGroup,
    managed: bool,
    at: &network::ZoneSubnet,
    carried: &[String],
) -> Result<Node, AwsError> {
    let name = &config.metadata.name;
    let mut tags = config.metadata.tags.clone();
    tags.extend([
        ("Name".to_owned(), format!("{name}-{}-Node", group.name)),
        ("alpha.eksctl.io/cluster-name".to_owned(), name.clone()),
        ("alpha.eksctl.io/nodegroup-name".to_owned(), group.name.clone()),
        (format!("kubernetes.io/cluster/{name}"), "owned".to_owned()),
    ]);
    let interface = NewInterface { tags: config.metadata.tags.clone(), ..NewInterface::new(&at.subnet, carried, "") };
    let State { ids, ec2, .. } = state;
    let instance = ec2.run_instance_with(ids, context, interface, &group.instance_type, tags)?;
    let address = ec2.instance_address(context, &instance)?;
    let interface = ec2.instances.get(&instance).map(|it| it.interface.clone()).unwrap_or_default();
    Ok(Node {
        name: format!("ip-{}.{}", address.to_string().replace('.', "-"), private_domain(&context.region)),
        instance,
        interface,
        address,
        zone: at.zone.clone(),
        instance_type: group.instance_type.clone(),
        nodegroup: group.name.clone(),
        managed,
        labels: group.labels.clone(),
        taints: group.taints(),
    })
}
