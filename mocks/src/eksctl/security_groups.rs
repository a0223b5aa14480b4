//! The security groups of a cluster and the rules between them.

use acrossk8s_vpc::RulePeer;

use super::stack::Stack;
use crate::aws::ec2::SecurityGroupRule;
use crate::aws::{AwsError, Context, State};

/// The groups of a cluster.
pub(super) struct Groups {
    /// ControlPlaneSecurityGroup: on the control plane's interfaces.
    pub control_plane: String,
    /// ClusterSharedNodeSecurityGroup: on unmanaged nodes only.
    pub shared: String,
    /// The group that EKS makes: on the control plane's interfaces and on managed nodes.
    pub cluster: String,
}

const FROM_NODES: &str = "Allow nodes to communicate with each other (all ports)";
/// Rule `IngressDefaultClusterToNodeSG` of the cluster's stack.
pub(super) const FROM_CLUSTER_GROUP: &str =
    "Allow managed and unmanaged nodes to communicate with each other (all ports)";
/// Rule `IngressNodeToDefaultClusterSG` of the cluster's stack.
pub(super) const FROM_SHARED_GROUP: &str = "Allow unmanaged nodes to communicate with control plane (all ports)";
/// How the descriptions of a node group's rules on ControlPlaneSecurityGroup begin.
pub(super) const CONTROL_PLANE_RULES: [&str; 2] =
    ["Allow control plane to communicate with ", "Allow control plane to receive API requests from "];

const HTTPS: (i32, i32) = (443, 443);
const UNPRIVILEGED: (i32, i32) = (1025, 65535);

/// Creates the two groups of the cluster's stack: for the control plane, and shared by nodes.
pub(super) fn create(
    state: &mut State,
    context: &Context,
    stack: &Stack,
    vpc: &str,
) -> Result<(String, String), AwsError> {
    let mut group = |logical_id: &str, description: &str| {
        let name = stack.physical_name(state, logical_id);
        let tags = stack.tags(logical_id);
        state.ec2.create_security_group(&mut state.ids, context, vpc, &name, description, tags)
    };
    Ok((
        group("ControlPlaneSecurityGroup", "Communication between the control plane and worker nodegroups")?,
        group("ClusterSharedNodeSecurityGroup", "Communication between all nodes in the cluster")?,
    ))
}

/// Lets nodes that carry the shared group and those that carry the cluster's group talk to each other.
pub(super) fn connect(state: &mut State, context: &Context, groups: &Groups) -> Result<(), AwsError> {
    let all_from = |group: &str, why: &str| SecurityGroupRule::all(RulePeer::Group(group.to_owned())).described(why);
    let State { ids, ec2, .. } = state;
    let rules = vec![all_from(&groups.shared, FROM_NODES), all_from(&groups.cluster, FROM_CLUSTER_GROUP)];
    ec2.authorize(ids, context, &groups.shared, rules)?;
    ec2.authorize(ids, context, &groups.cluster, vec![all_from(&groups.shared, FROM_SHARED_GROUP)])?;
    Ok(())
}

/// Creates the own group of an unmanaged node group, with the rules between it and the control plane.
pub(super) fn create_local(
    state: &mut State,
    context: &Context,
    stack: &Stack,
    vpc: &str,
    groups: &Groups,
    cluster: &str,
    nodegroup: &str,
) -> Result<String, AwsError> {
    let nodes = format!("worker nodes in group {nodegroup}");
    let mut tags = stack.tags("SG");
    tags.insert(format!("kubernetes.io/cluster/{cluster}"), "owned".to_owned());
    let name = stack.physical_name(state, "SG");
    let description = format!("Communication between the control plane and {nodes}");
    let State { ids, ec2, .. } = state;
    let local = ec2.create_security_group(ids, context, vpc, &name, &description, tags)?;
    let tcp = |egress: bool, ports: (i32, i32), peer: &str, why: String| SecurityGroupRule {
        egress,
        protocol: "tcp".to_owned(),
        from_port: ports.0,
        to_port: ports.1,
        ..SecurityGroupRule::all(RulePeer::Group(peer.to_owned())).described(why)
    };
    let kubelet = "(kubelet and workload TCP ports)";
    let extensions = "(workloads using HTTPS port, commonly used with extension API servers)";
    let [to_nodes, from_nodes] = CONTROL_PLANE_RULES;
    let control_plane = groups.control_plane.as_str();
    let with = format!("Allow {nodes} to communicate with control plane");
    let inbound = vec![
        tcp(false, UNPRIVILEGED, control_plane, format!("[IngressInterCluster] {with} {kubelet}")),
        tcp(false, HTTPS, control_plane, format!("[IngressInterClusterAPI] {with} {extensions}")),
    ];
    ec2.authorize(ids, context, &local, inbound)?;
    let of_control_plane = vec![
        tcp(true, UNPRIVILEGED, &local, format!("{to_nodes}{nodes} {kubelet}")),
        tcp(true, HTTPS, &local, format!("{to_nodes}{nodes} {extensions}")),
        tcp(false, HTTPS, &local, format!("{from_nodes}{nodes}")),
    ];
    ec2.authorize(ids, context, control_plane, of_control_plane)?;
    Ok(local)
}
