//! The records of EKS.

use std::collections::BTreeMap;

use crate::aws::tags::Tags;
use crate::clock::SimTime;

/// Everything of EKS's.
#[derive(Debug, Default)]
pub struct Eks {
    /// Clusters by region and name.
    pub clusters: BTreeMap<(String, String), Cluster>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Kubernetes version, for example `1.34`.
    pub version: String,
    /// URL of its Kubernetes API.
    pub endpoint: String,
    /// VPC.
    pub vpc: String,
    /// Subnets handed to EKS: all public and private ones.
    pub subnets: Vec<String>,
    /// `resourcesVpcConfig.securityGroupIds`: eksctl's ControlPlaneSecurityGroup.
    pub security_groups: Vec<String>,
    /// The security group that EKS makes (`eks-cluster-sg-…`).
    pub cluster_security_group: String,
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
    /// Tags.
    pub tags: Tags,
}

/// A managed node group. (Unmanaged ones are Auto Scaling groups that EKS does not know.)
#[derive(Debug, Clone)]
pub struct Nodegroup {
    /// Instance types.
    pub instance_types: Vec<String>,
    /// Desired number of nodes.
    pub desired: u32,
    /// Subnets.
    pub subnets: Vec<String>,
    /// When it was created.
    pub created: SimTime,
    /// Tags.
    pub tags: Tags,
}

/// An add-on.
#[derive(Debug, Clone)]
pub struct Addon {
    /// Version, for example `v1.13.2-eksbuild.1`.
    pub version: String,
    /// When it was created.
    pub created: SimTime,
    /// Tags.
    pub tags: Tags,
}
