//! The records of EKS.

use std::collections::BTreeMap;

use crate::aws::tags::Tags;
use crate::clock::SimTime;

/// Everything of EKS's.
#[derive(Debug, Clone, Default)]
pub struct Eks {
    /// Clusters by region and name.
    pub clusters: BTreeMap<(String, String), Cluster>,
    /// Whether somebody carries the updates of add-ons out. Where nobody does they are successful at once.
    pub addon_manager: bool,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Kubernetes version, for example `1.34`.
    pub version: String,
    /// ARN of the role that the control plane acts in.
    pub role_arn: String,
    /// URL of its Kubernetes API; empty until it is known.
    pub endpoint: String,
    /// The id in its OpenID Connect issuer: 32 hexadecimal digits.
    pub oidc_id: String,
    /// VPC.
    pub vpc: String,
    /// Subnets handed to EKS: all public and private ones.
    pub subnets: Vec<String>,
    /// `resourcesVpcConfig.securityGroupIds`: eksctl's ControlPlaneSecurityGroup.
    pub security_groups: Vec<String>,
    /// The security group that EKS makes (`eks-cluster-sg-…`).
    pub cluster_security_group: String,
    /// The control plane's interfaces in the cluster's subnets.
    pub interfaces: Vec<String>,
    /// Service CIDR block.
    pub service_cidr: ipnet::Ipv4Net,
    /// When it was created.
    pub created: SimTime,
    /// When its deletion began.
    pub deleting: Option<SimTime>,
    /// Managed node groups by name.
    pub nodegroups: BTreeMap<String, Nodegroup>,
    /// Add-ons by name.
    pub addons: BTreeMap<String, Addon>,
    /// Updates by id.
    pub updates: BTreeMap<String, Update>,
    /// Tags.
    pub tags: Tags,
}

/// A managed node group. (Unmanaged ones are Auto Scaling groups that EKS does not know.)
#[derive(Debug, Clone)]
pub struct Nodegroup {
    /// The last part of its ARN.
    pub id: String,
    /// Instance types.
    pub instance_types: Vec<String>,
    /// Minimum, desired and maximum number of nodes. Nothing scales: there are as many as desired at the beginning.
    pub size: (u32, u32, u32),
    /// Subnets.
    pub subnets: Vec<String>,
    /// ARN of the role of its nodes.
    pub role_arn: String,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes.
    pub taints: Vec<Taint>,
    /// Its instances.
    pub instances: Vec<String>,
    /// When it was created.
    pub created: SimTime,
    /// When its deletion began.
    pub deleting: Option<SimTime>,
    /// Tags.
    pub tags: Tags,
}

/// A taint of the nodes of a node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
    /// Effect as Kubernetes spells it: `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

/// An add-on.
#[derive(Debug, Clone)]
pub struct Addon {
    /// The last part of its ARN.
    pub id: String,
    /// Version, for example `v1.13.2-eksbuild.1`.
    pub version: String,
    /// What its owner configured, as JSON or YAML text.
    pub configuration: Option<String>,
    /// When it was created.
    pub created: SimTime,
    /// When it was changed last.
    pub modified: SimTime,
    /// When its deletion began.
    pub deleting: Option<SimTime>,
    /// Tags.
    pub tags: Tags,
}

/// An update of a cluster's add-on: `InProgress` in the answer that starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// `AddonUpdate`.
    pub kind: &'static str,
    /// Add-on.
    pub addon: String,
    /// What it changes: type of a parameter and value.
    pub params: Vec<(&'static str, String)>,
    /// When it was started.
    pub created: SimTime,
    /// How it stands.
    pub status: UpdateStatus,
}

/// How an update stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateStatus {
    /// It is to be carried out.
    InProgress,
    /// It was.
    Successful,
    /// It was not, and why.
    Failed(String),
}
