//! The `ClusterConfig` file.
//!
//! It is read as eksctl reads it: a field that eksctl does not know is an error, and so is one that it knows and that would
//! change what is made in a way that is not emulated. Fields without effect on what is emulated (`iam`, `cloudWatch`,
//! volumes, AMIs…) are accepted, and what is below them is not looked at.

mod fields;
mod node_group;
mod validate;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;

use crate::aws::eks;
use crate::aws::tags::Tags;

pub use node_group::{NodeGroup, SecurityGroups, Taint};

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConfig {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    /// Name, region, version and tags.
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    kubernetes_network_config: NetworkConfig,
    #[serde(default)]
    vpc: Vpc,
    /// Availability zones; chosen when left out.
    #[serde(default)]
    pub availability_zones: Vec<String>,
    /// Node groups that EKS does not manage.
    #[serde(default)]
    pub node_groups: Vec<NodeGroup>,
    /// Node groups that EKS manages.
    #[serde(default)]
    pub managed_node_groups: Vec<NodeGroup>,
    /// Add-ons beside the default ones, or instead of one of them.
    #[serde(default)]
    pub addons: Vec<Addon>,
    #[serde(default)]
    addons_config: AddonsConfig,
    #[serde(default)]
    auto_mode_config: AutoMode,
}

/// Name, region, version and tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Name of the cluster.
    #[serde(default)]
    pub name: String,
    /// Region.
    #[serde(default)]
    pub region: String,
    /// Kubernetes version.
    #[serde(default = "default_version")]
    pub version: String,
    /// Tags of everything that is made.
    #[serde(default)]
    pub tags: Tags,
}

fn default_version() -> String {
    eks::versions::DEFAULT.to_owned()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct NetworkConfig {
    #[serde(rename = "serviceIPv4CIDR")]
    service_cidr: Option<Ipv4Net>,
    #[serde(rename = "ipFamily")]
    ip_family: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vpc {
    cidr: Option<Ipv4Net>,
    #[serde(default)]
    nat: Nat,
    manage_shared_node_security_group_rules: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Nat {
    #[serde(default)]
    gateway: NatMode,
}

/// How many NAT gateways there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum NatMode {
    /// One, in the first availability zone.
    #[default]
    Single,
    /// One in each availability zone.
    HighlyAvailable,
    /// None.
    Disable,
}

/// An add-on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addon {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Version; `latest` and `default` count as none.
    #[serde(default)]
    pub version: String,
    /// Configuration, as JSON or YAML text.
    pub configuration_values: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddonsConfig {
    #[serde(default)]
    disable_default_addons: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct AutoMode {
    #[serde(default)]
    enabled: bool,
}

/// A file that eksctl would refuse, or that asks for what is not emulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid ClusterConfig: {0}")]
pub struct ConfigError(pub String);

impl ClusterConfig {
    /// Reads a file and checks what eksctl checks.
    ///
    /// # Errors
    /// With the first thing that eksctl would refuse, named by its path.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let document: Value = serde_saphyr::from_str(yaml).map_err(|error| ConfigError(error.to_string()))?;
        if !document.is_object() {
            return Err(ConfigError("the file must hold a mapping".to_owned()));
        }
        fields::check(&document)?;
        let config: Self = serde_path_to_error::deserialize(without_nulls(document)).map_err(|error| {
            let path = error.path().to_string();
            ConfigError(format!("{path}: {}", error.into_inner()))
        })?;
        validate::check(&config)?;
        Ok(config)
    }

    /// Every node group, and whether EKS manages it.
    pub fn groups(&self) -> impl Iterator<Item = (&NodeGroup, bool)> {
        let unmanaged = self.node_groups.iter().map(|group| (group, false));
        unmanaged.chain(self.managed_node_groups.iter().map(|group| (group, true)))
    }

    /// Where each node group stands in the file, with the group: `nodeGroups[0]`.
    fn groups_by_path(&self) -> impl Iterator<Item = (String, &NodeGroup, bool)> {
        let unmanaged = self.node_groups.iter().enumerate().map(|(n, it)| (format!("nodeGroups[{n}]"), it, false));
        let managed = self.managed_node_groups.iter().enumerate();
        unmanaged.chain(managed.map(|(n, it)| (format!("managedNodeGroups[{n}]"), it, true)))
    }

    /// CIDR block of the VPC; 192.168.0.0/16 when left out.
    pub fn cidr_block(&self) -> Ipv4Net {
        let default = Ipv4Net::new_assert([192, 168, 0, 0].into(), 16);
        self.vpc.cidr.unwrap_or(default).trunc()
    }

    /// Service CIDR block: the one asked for, else the one that EKS picks for the VPC.
    pub fn service_cidr(&self) -> Ipv4Net {
        let asked = self.kubernetes_network_config.service_cidr;
        asked.unwrap_or_else(|| eks::default_service_cidr(self.cidr_block())).trunc()
    }

    /// How many NAT gateways there are.
    pub fn nat_mode(&self) -> NatMode {
        self.vpc.nat.gateway
    }

    /// Whether the default add-ons are left out.
    pub fn without_default_addons(&self) -> bool {
        self.addons_config.disable_default_addons
    }
}

/// For eksctl a field that is null is one that is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
