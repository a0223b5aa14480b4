//! Node groups in the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::aws::tags::Tags;

/// Instance type when none is asked for, and number of nodes.
const DEFAULT_INSTANCE_TYPE: &str = "m5.large";
const DEFAULT_NODES: u32 = 2;

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeGroup {
    /// Name.
    #[serde(default)]
    pub name: String,
    desired_capacity: Option<u32>,
    min_size: Option<u32>,
    max_size: Option<u32>,
    pub(super) instance_type: Option<String>,
    #[serde(default)]
    pub(super) instance_types: Vec<String>,
    /// Whether the nodes are in the private subnets.
    #[serde(default)]
    pub private_networking: bool,
    /// Availability zones; all of the cluster's when left out.
    #[serde(default)]
    pub availability_zones: Vec<String>,
    /// Labels of the nodes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "taints")]
    pub(super) taints: Vec<Taint>,
    /// Tags of the node group and its nodes, over those of the cluster.
    #[serde(default)]
    pub tags: Tags,
    /// Security groups.
    #[serde(default)]
    pub security_groups: SecurityGroups,
    #[serde(default)]
    pub(super) ssh: Ssh,
}

/// Security groups of a node group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroups {
    /// Further groups.
    #[serde(default, rename = "attachIDs")]
    pub attach_ids: Vec<String>,
    /// Whether unmanaged nodes carry ClusterSharedNodeSecurityGroup; `true` when left out.
    pub with_shared: Option<bool>,
    /// Whether unmanaged nodes carry their node group's own; `true` when left out.
    pub with_local: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Ssh {
    #[serde(default)]
    pub allow: bool,
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Key.
    #[serde(default)]
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
    /// Effect.
    #[serde(default)]
    pub effect: String,
}

/// eksctl takes the taints of unmanaged node groups as a list or, of old, as a map from key to `value:effect`.
fn taints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Taint>, D::Error> {
    use serde::de::Error as _;
    let shape = || D::Error::custom("taints must be a {string: string} or a [{key, value, effect}]");
    match Value::deserialize(deserializer)? {
        Value::Object(map) => map
            .iter()
            .map(|(key, text)| {
                let text = text.as_str().ok_or_else(shape)?;
                let (value, effect) = text.split_once(':').unwrap_or(("", text));
                Ok(Taint { key: key.clone(), value: value.to_owned(), effect: effect.to_owned() })
            })
            .collect(),
        list @ Value::Array(_) => serde_json::from_value(list).map_err(D::Error::custom),
        _ => Err(shape()),
    }
}

impl NodeGroup {
    /// Minimum, desired and maximum number of nodes.
    pub fn size(&self) -> (u32, u32, u32) {
        let min = self.min_size.or(self.desired_capacity).unwrap_or(DEFAULT_NODES);
        let desired = self.desired_capacity.unwrap_or(min);
        let max = self.max_size.unwrap_or(self.desired_capacity.unwrap_or(min).max(1));
        (min, desired, max)
    }

    /// Instance types; nodes are of the first one.
    pub fn instance_types(&self) -> Vec<String> {
        match &self.instance_type {
            Some(one) => vec![one.clone()],
            None if self.instance_types.is_empty() => vec![DEFAULT_INSTANCE_TYPE.to_owned()],
            None => self.instance_types.clone(),
        }
    }

    /// The taints of the nodes.
    pub fn taints(&self) -> &[Taint] {
        &self.taints
    }
}
