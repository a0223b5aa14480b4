//! The configuration file that eksctl gets (C1.1).

use serde::Serialize;

use super::RUN_TAG;
use crate::topology::{Cluster, NodeGroup};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterConfig<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    kubernetes_network_config: NetworkConfig,
    vpc: Vpc,
    // eksctl announces that Auto Mode will become its default, and the procedure does not work on it.
    auto_mode_config: AutoMode,
    addons: [Addon; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    availability_zones: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_groups: Vec<Group<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    managed_node_groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    region: &'a str,
    version: &'a str,
    tags: std::collections::BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct NetworkConfig {
    #[serde(rename = "serviceIPv4CIDR")]
    service_cidr: String,
}

#[derive(Serialize)]
struct Vpc {
    cidr: String,
}

#[derive(Serialize)]
struct AutoMode {
    enabled: bool,
}

#[derive(Serialize)]
struct Addon {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Iam {
    with_addon_policies: AddonPolicies,
}

#[derive(Serialize)]
struct AddonPolicies {
    ebs: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    name: &'a str,
    desired_capacity: u32,
    instance_type: &'a str,
    private_networking: bool,
    iam: Iam,
}

/// The `ClusterConfig` of a cluster, as YAML, tagged with the run.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn cluster_config(cluster: &Cluster, run_id: &str) -> Result<String, serde_saphyr::ser::Error> {
    let groups = |managed| cluster.node_groups.iter().filter(|it| it.managed == managed).map(to_group).collect();
    serde_saphyr::to_string(&ClusterConfig {
        api_version: "eksctl.io/v1alpha5",
        kind: "ClusterConfig",
        metadata: Metadata {
            name: &cluster.name,
            region: &cluster.region,
            version: &cluster.kubernetes_version,
            tags: [(RUN_TAG, run_id)].into(),
        },
        kubernetes_network_config: NetworkConfig { service_cidr: cluster.service_cidr.to_string() },
        vpc: Vpc { cidr: cluster.cidr_block.to_string() },
        auto_mode_config: AutoMode { enabled: false },
        // As the page about deploying to EKS has it: TiDB's volumes are EBS volumes (C1.6).
        addons: [Addon { name: "aws-ebs-csi-driver" }],
        availability_zones: cluster.availability_zones.iter().map(String::as_str).collect(),
        node_groups: groups(false),
        managed_node_groups: groups(true),
    })
}

fn to_group(group: &NodeGroup) -> Group<'_> {
    Group {
        name: &group.name,
        desired_capacity: group.desired_capacity,
        instance_type: &group.instance_type,
        private_networking: group.private_networking,
        iam: Iam { with_addon_policies: AddonPolicies { ebs: true } },
    }
}
