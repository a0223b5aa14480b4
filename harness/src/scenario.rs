//! Scenario files: TOML that says what topology is wanted, read once and validated at the edge.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::Deserialize;
use toml::Spanned;

use crate::topology::{Cluster, Field, NodeGroup, Place, Topology, default_service_cidr};

/// The documented three-cluster scenario, used when none is named.
pub const DOCUMENTED: &str = include_str!("../../scenarios/three-clusters.toml");

/// A scenario file that cannot be used: where, what, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1, where the file was readable.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What to change.
    pub fix: Option<String>,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(fix) = &self.fix {
            write!(f, "\n  to mend it: {fix}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: String,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    clusters: Vec<Spanned<RawCluster>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCluster {
    name: Spanned<String>,
    region: Spanned<String>,
    cidr_block: Spanned<Ipv4Net>,
    #[serde(default)]
    service_cidr: Option<Spanned<Ipv4Net>>,
    namespace: Spanned<String>,
    #[serde(default = "default_version")]
    kubernetes_version: String,
    #[serde(default)]
    availability_zones: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    node_groups: Vec<Spanned<RawNodeGroup>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNodeGroup {
    name: Spanned<String>,
    #[serde(default)]
    managed: bool,
    #[serde(default = "one")]
    desired_capacity: Spanned<u32>,
    #[serde(default = "default_instance_type")]
    instance_type: String,
    #[serde(default = "yes")]
    private_networking: bool,
}

fn default_version() -> String {
    "1.34".to_owned()
}

fn default_instance_type() -> String {
    "m5.large".to_owned()
}

fn one() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

fn yes() -> bool {
    true
}

/// Reads a scenario file.
///
/// # Errors
/// When the file cannot be read, is not TOML of the right form, or asks for a topology that cannot work.
pub fn read(path: &Path) -> Result<Topology, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
        file: path.to_owned(),
        position: None,
        what: format!("cannot be read: {error}"),
        fix: Some("name a readable scenario file, or none to use the documented three clusters".to_owned()),
    })?;
    parse(path, &text)
}

/// Reads a scenario from the text of a file; `file` is used in messages.
///
/// # Errors
/// See [`read`].
pub fn parse(file: &Path, text: &str) -> Result<Topology, ScenarioError> {
    let at = |span: Option<Range<usize>>, what: String, fix: Option<String>| ScenarioError {
        file: file.to_owned(),
        position: span.map(|span| position(text, span.start)),
        what,
        fix,
    };
    let raw: RawScenario = toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', "; ");
        at(error.span(), message, Some("see scenarios/three-clusters.toml for the form".to_owned()))
    })?;
    let topology = Topology {
        name: raw.name.clone(),
        clusters: raw.clusters.iter().map(|cluster| build(cluster.get_ref())).collect(),
    };
    topology.validate().map_err(|violation| at(span_of(&raw, violation.place), violation.what, Some(violation.fix)))?;
    Ok(topology)
}

fn build(raw: &RawCluster) -> Cluster {
    let cidr_block = *raw.cidr_block.get_ref();
    Cluster {
        name: raw.name.get_ref().clone(),
        region: raw.region.get_ref().clone(),
        cidr_block,
        service_cidr: raw
            .service_cidr
            .as_ref()
            .map_or_else(|| default_service_cidr(cidr_block), |cidr| *cidr.get_ref()),
        namespace: raw.namespace.get_ref().clone(),
        kubernetes_version: raw.kubernetes_version.clone(),
        availability_zones: raw.availability_zones.as_ref().map(|zones| zones.get_ref().clone()).unwrap_or_default(),
        node_groups: raw
            .node_groups
            .iter()
            .map(|group| {
                let group = group.get_ref();
                NodeGroup {
                    name: group.name.get_ref().clone(),
                    managed: group.managed,
                    desired_capacity: *group.desired_capacity.get_ref(),
                    instance_type: group.instance_type.clone(),
                    private_networking: group.private_networking,
                }
            })
            .collect(),
    }
}

/// Where in the file a violation stands: at the field, or at its table where the field was left out.
fn span_of(raw: &RawScenario, place: Place) -> Option<Range<usize>> {
    let cluster_at = |index: usize| raw.clusters.get(index);
    match place {
        Place::Clusters => raw.clusters.last().map(Spanned::span).or(Some(0..0)),
        Place::Cluster(index, field) => {
            let table = cluster_at(index)?;
            let cluster = table.get_ref();
            Some(match field {
                Field::Name => cluster.name.span(),
                Field::Region => cluster.region.span(),
                Field::CidrBlock => cluster.cidr_block.span(),
                Field::ServiceCidr => cluster.service_cidr.as_ref().map_or(table.span(), Spanned::span),
                Field::Namespace => cluster.namespace.span(),
                Field::AvailabilityZones => cluster.availability_zones.as_ref().map_or(table.span(), Spanned::span),
                Field::NodeGroups | Field::DesiredCapacity => table.span(),
            })
        }
        Place::NodeGroup(index, group_index, field) => {
            let table = cluster_at(index)?.get_ref().node_groups.get(group_index)?;
            Some(match field {
                Field::Name => table.get_ref().name.span(),
                Field::DesiredCapacity => table.get_ref().desired_capacity.span(),
                _ => table.span(),
            })
        }
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
