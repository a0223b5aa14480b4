//! The `ClusterConfig` file, as far as it matters to the procedure. Fields that are not known are refused, as eksctl does.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::aws::tags::Tags;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfig {
    api_version: String,
    kind: String,
    /// Name, region, version and tags.
    pub metadata: Metadata,
    /// Service CIDR block.
    #[serde(default)]
    pub kubernetes_network_config: Option<NetworkConfig>,
    /// VPC.
    #[serde(default)]
    pub vpc: Option<Vpc>,
    /// Availability zones; chosen when left out.
    #[serde(default)]
    pub availability_zones: Vec<String>,
    /// Node groups that EKS does not manage.
    #[serde(default)]
    pub node_groups: Vec<NodeGroup>,
    /// Node groups that EKS manages.
    #[serde(default)]
    pub managed_node_groups: Vec<NodeGroup>,
    #[serde(default)]
    auto_mode_config: Option<AutoMode>,
}

/// Name, region, version and tags.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Name of the cluster.
    pub name: String,
    /// Region.
    pub region: String,
    /// Kubernetes version; 1.34 when left out.
    #[serde(default = "default_version")]
    pub version: String,
    /// Tags of everything that is made.
    #[serde(default)]
    pub tags: Tags,
}

fn default_version() -> String {
    "1.34".to_owned()
}

/// Service CIDR block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Service CIDR block.
    #[serde(rename = "serviceIPv4CIDR", default)]
    pub service_cidr: Option<Ipv4Net>,
}

/// VPC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// CIDR block; 192.168.0.0/16 when left out.
    #[serde(default)]
    pub cidr: Option<Ipv4Net>,
    /// NAT gateways.
    #[serde(default)]
    pub nat: Option<Nat>,
}

/// NAT gateways.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// `Single` or `Disable`; `HighlyAvailable` is not emulated.
    pub gateway: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoMode {
    enabled: bool,
}

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// Name.
    pub name: String,
    /// Number of nodes.
    #[serde(default = "two")]
    pub desired_capacity: u32,
    /// Instance type.
    #[serde(default = "default_instance_type")]
    pub instance_type: String,
    /// Whether the nodes are in the private subnets.
    #[serde(default)]
    pub private_networking: bool,
    /// Availability zones; all of the cluster's when left out.
    #[serde(default)]
    pub availability_zones: Vec<String>,
    /// Labels of the nodes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    taints: Option<Taints>,
    /// Security groups.
    #[serde(default)]
    pub security_groups: Option<SecurityGroups>,
    /// Accepted and without effect: there is no IAM here.
    #[serde(default)]
    iam: Option<serde_json::Value>,
}

fn two() -> u32 {
    2
}

fn default_instance_type() -> String {
    "m5.large".to_owned()
}

/// Security groups of a node group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityGroups {
    /// Further groups.
    #[serde(default, rename = "attachIDs")]
    pub attach_ids: Vec<String>,
    /// Whether unmanaged nodes carry ClusterSharedNodeSecurityGroup; `true` when left out.
    #[serde(default)]
    pub with_shared: Option<bool>,
    /// Whether unmanaged nodes carry their node group's own; `true` when left out.
    #[serde(default)]
    pub with_local: Option<bool>,
}

/// eksctl takes taints as a list or, of old, as a map from key to `value:effect`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Taints {
    List(Vec<Taint>),
    Map(BTreeMap<String, String>),
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
    /// Effect.
    pub effect: String,
}

impl NodeGroup {
    /// The taints of the nodes.
    pub fn taints(&self) -> Vec<Taint> {
        match &self.taints {
            None => Vec::new(),
            Some(Taints::List(list)) => list.clone(),
            Some(Taints::Map(map)) => map
                .iter()
                .map(|(key, value)| {
                    let (value, effect) = value.rsplit_once(':').unwrap_or(("", value));
                    Taint { key: key.clone(), value: value.to_owned(), effect: effect.to_owned() }
                })
                .collect(),
        }
    }
}

/// A file that eksctl would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid ClusterConfig: {0}")]
pub struct ConfigError(pub String);

impl ClusterConfig {
    /// Reads a file and checks what eksctl checks.
    ///
    /// # Errors
    /// With the first thing that eksctl would refuse.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(yaml).map_err(|error| ConfigError(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |message: String| Err(ConfigError(message));
        if self.api_version != "eksctl.io/v1alpha5" || self.kind != "ClusterConfig" {
            return refuse(format!("no kind \"{}\" is registered for version \"{}\"", self.kind, self.api_version));
        }
        if self.auto_mode_config.as_ref().is_some_and(|it| it.enabled) {
            let why = "autoModeConfig.enabled: Auto Mode runs no CoreDNS pods, and the procedure does not work on it";
            return refuse(why.to_owned());
        }
        if !(16..=24).contains(&self.cidr_block().prefix_len()) {
            return refuse(format!("vpc.cidr: {} must be between /16 and /24", self.cidr_block()));
        }
        if let Some(nat) = self.vpc.as_ref().and_then(|vpc| vpc.nat.as_ref())
            && !matches!(nat.gateway.as_str(), "Single" | "Disable")
        {
            return refuse(format!("vpc.nat.gateway: \"{}\" is not emulated; Single and Disable are", nat.gateway));
        }
        let foreign = |zone: &&String| !zone.starts_with(&self.metadata.region);
        if let Some(zone) = self.availability_zones.iter().find(foreign) {
            return refuse(format!("availabilityZones: {zone} is not in {}", self.metadata.region));
        }
        if self.availability_zones.len() == 1 {
            return refuse("availabilityZones: only 1 zone specified; at least 2 are required".to_owned());
        }
        let mut names = BTreeSet::new();
        for group in self.groups().map(|(group, _)| group) {
            let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if !group.name.starts_with(|c: char| c.is_ascii_alphabetic()) || !group.name.chars().all(letters) {
                return refuse(format!("nodeGroups: name \"{}\" must match [a-zA-Z][-a-zA-Z0-9]*", group.name));
            }
            if !names.insert(&group.name) {
                return refuse(format!("nodeGroups: name \"{}\" is not unique", group.name));
            }
        }
        Ok(())
    }

    /// Every node group, and whether EKS manages it.
    pub fn groups(&self) -> impl Iterator<Item = (&NodeGroup, bool)> {
        let unmanaged = self.node_groups.iter().map(|group| (group, false));
        unmanaged.chain(self.managed_node_groups.iter().map(|group| (group, true)))
    }

    /// CIDR block of the VPC.
    pub fn cidr_block(&self) -> Ipv4Net {
        let default = Ipv4Net::new_assert([192, 168, 0, 0].into(), 16);
        self.vpc.as_ref().and_then(|vpc| vpc.cidr).unwrap_or(default)
    }

    /// Service CIDR block: the one asked for, else 172.20.0.0/16 for a VPC in 10.0.0.0/8, else 10.100.0.0/16.
    pub fn service_cidr(&self) -> Ipv4Net {
        let ten = Ipv4Net::new_assert([10, 0, 0, 0].into(), 8);
        let default = if ten.contains(&self.cidr_block()) { [172, 20, 0, 0] } else { [10, 100, 0, 0] };
        let asked = self.kubernetes_network_config.as_ref().and_then(|network| network.service_cidr);
        asked.unwrap_or(Ipv4Net::new_assert(default.into(), 16))
    }

    /// Whether there is a NAT gateway.
    pub fn has_nat(&self) -> bool {
        self.vpc.as_ref().and_then(|vpc| vpc.nat.as_ref()).is_none_or(|nat| nat.gateway != "Disable")
    }
}
