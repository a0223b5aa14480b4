//! What TiDB Operator never validates (`pingcap/tidb-operator pkg/apis/pingcap/v1alpha1/validation/validation.go`) and
//! yet breaks a TiDB cluster made of several `TidbCluster`s. Pure: manifests in, findings out.
//!
//! Unknown fields are looked for in what [`tidb_cluster_schema`] knows: `spec`, `spec.cluster`, `spec.pd`, `spec.tikv` and
//! `spec.tidb` of release 1.6; what is below a field of these is not looked at.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use acrossk8s_operator::manifest::tidb_cluster_schema;
use serde_json::Value;

/// The manifest of one Kubernetes cluster, with what the cluster expects of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Name of the Kubernetes cluster, for messages.
    pub cluster: String,
    /// The namespace that the other clusters forward to this one.
    pub namespace: String,
    /// The domain of the Kubernetes cluster.
    pub domain: String,
    /// The manifest.
    pub manifest: Value,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Its names are not forwarded (C5.1).
    #[error("metadata.namespace is `{found}`, and the other clusters forward `{expected}`")]
    Namespace {
        /// In the manifest.
        found: String,
        /// Forwarded.
        expected: String,
    },
    /// Another domain than the Kubernetes cluster's, or none (C5.2).
    #[error("spec.clusterDomain is `{found}`, and the cluster's is `{expected}`")]
    Domain {
        /// In the manifest.
        found: String,
        /// The cluster's.
        expected: String,
    },
    /// The joined cluster's domain is given wrongly, or not at all (C5.2).
    #[error("spec.cluster.clusterDomain is `{found}`, and the domain of the joined cluster is `{expected}`")]
    JoinedDomain {
        /// In the manifest.
        found: String,
        /// The joined cluster's.
        expected: String,
    },
    /// `acrossK8s` is not `true` (C5.3).
    #[error("spec.acrossK8s is not true")]
    NotAcross,
    /// Not `pingcap.com/v1alpha1` `TidbCluster` (C5.3).
    #[error("`{0}` is not `pingcap.com/v1alpha1 TidbCluster`")]
    Kind(String),
    /// Every cluster joins another: none makes the PD cluster (C5.4).
    #[error("no cluster initialises: each has spec.cluster")]
    NoInitial,
    /// Several clusters make a PD cluster each (C5.4).
    #[error("it initialises a PD cluster of its own, as do others: {0:?}")]
    SeveralInitial(Vec<String>),
    /// The joined cluster is not among the manifests (C5.4).
    #[error("spec.cluster names `{0}`, which does not exist")]
    Dangling(String),
    /// It joins, by way of others perhaps, itself (C5.4).
    #[error("spec.cluster leads back to itself: {0:?}")]
    Cycle(Vec<String>),
    /// A field that the schema does not know: dropped without a word.
    #[error("unknown field `{0}`")]
    UnknownField(String),
}

impl Problem {
    /// The clause that it breaks.
    pub const fn clause(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => "C5.1",
            Self::Domain { .. } | Self::JoinedDomain { .. } => "C5.2",
            Self::NotAcross | Self::Kind(_) | Self::UnknownField(_) => "C5.3",
            Self::NoInitial | Self::SeveralInitial(_) | Self::Dangling(_) | Self::Cycle(_) => "C5.4",
        }
    }

    /// What comes of it.
    pub const fn consequence(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => "the other clusters do not find the names of its components",
            Self::Domain { .. } => "its components are known by names that other clusters cannot look up",
            Self::JoinedDomain { .. } => "it looks for the PD that it joins under another name",
            Self::NotAcross => "the operator looks for members in this Kubernetes cluster alone",
            Self::Kind(_) => {
                "the operator of release 1.6 manages nothing else as a TiDB cluster across Kubernetes clusters"
            }
            Self::UnknownField(_) => "the API server drops it without a word",
            Self::NoInitial | Self::Cycle(_) => "every PD waits for another, and none starts",
            Self::SeveralInitial(_) => "each is ready by itself, and they never become one TiDB cluster",
            Self::Dangling(_) => "its PD waits for a discovery that there is not",
        }
    }

    /// What mends it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Namespace { expected, .. } => {
                format!("set metadata.namespace to {expected}, or forward the other one")
            }
            Self::Domain { expected, .. } => format!("set spec.clusterDomain to {expected}"),
            Self::JoinedDomain { expected, .. } => format!("set spec.cluster.clusterDomain to {expected}"),
            Self::NotAcross => "set spec.acrossK8s to true".to_owned(),
            Self::Kind(_) => "set apiVersion to pingcap.com/v1alpha1 and kind to TidbCluster".to_owned(),
            Self::UnknownField(_) => "look for a misspelling, or for a field that is in another place".to_owned(),
            Self::NoInitial | Self::Cycle(_) => "leave spec.cluster out of exactly one".to_owned(),
            Self::SeveralInitial(_) => "name the first in spec.cluster of all others".to_owned(),
            Self::Dangling(_) => "name and namespace in spec.cluster are those of another of the manifests".to_owned(),
        }
    }
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The Kubernetes cluster; none where it concerns all.
    pub cluster: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// Judges the manifests of a set of clusters together.
pub fn lint(inputs: &[Input]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let by_key: BTreeMap<String, &Input> = inputs.iter().map(|input| (key(&input.manifest), input)).collect();
    let initial: Vec<&Input> = inputs.iter().filter(|input| reference(&input.manifest).is_none()).collect();
    if initial.is_empty() && !inputs.is_empty() {
        findings.push(Finding { cluster: None, problem: Problem::NoInitial });
    }
    for input in inputs {
        let mut problems = alone(input);
        if initial.len() > 1 && reference(&input.manifest).is_none() {
            let names = initial.iter().map(|other| other.cluster.clone());
            problems.push(Problem::SeveralInitial(names.filter(|name| *name != input.cluster).collect()));
        }
        problems.extend(joined(input, &by_key));
        let found = |problem| Finding { cluster: Some(input.cluster.clone()), problem };
        findings.extend(problems.into_iter().map(found));
    }
    findings
}

/// What can be said of one manifest.
fn alone(input: &Input) -> Vec<Problem> {
    let manifest = &input.manifest;
    let mut problems = Vec::new();
    let kind = format!("{} {}", text(manifest, "/apiVersion"), text(manifest, "/kind"));
    if kind != "pingcap.com/v1alpha1 TidbCluster" {
        problems.push(Problem::Kind(kind));
    }
    let namespace = text(manifest, "/metadata/namespace");
    if namespace != input.namespace {
        problems.push(Problem::Namespace { found: namespace.to_owned(), expected: input.namespace.clone() });
    }
    let domain = text(manifest, "/spec/clusterDomain");
    if domain != input.domain {
        problems.push(Problem::Domain { found: domain.to_owned(), expected: input.domain.clone() });
    }
    if manifest.pointer("/spec/acrossK8s") != Some(&Value::Bool(true)) {
        problems.push(Problem::NotAcross);
    }
    unknown(&tidb_cluster_schema(), manifest, "", &mut problems);
    problems
}

/// What can be said of the cluster that is joined.
fn joined(input: &Input, by_key: &BTreeMap<String, &Input>) -> Vec<Problem> {
    let Some(target) = reference(&input.manifest) else { return Vec::new() };
    let Some(other) = by_key.get(&target) else { return vec![Problem::Dangling(target)] };
    let mut problems = Vec::new();
    let domain = text(&input.manifest, "/spec/cluster/clusterDomain");
    if domain != other.domain {
        problems.push(Problem::JoinedDomain { found: domain.to_owned(), expected: other.domain.clone() });
    }
    let start = key(&input.manifest);
    let mut path = vec![start.clone()];
    let mut seen = BTreeSet::new();
    let mut next = Some(target);
    while let Some(at) = next.filter(|at| seen.insert(at.clone())) {
        path.push(at.clone());
        if at == start {
            problems.push(Problem::Cycle(path));
            break;
        }
        next = by_key.get(&at).and_then(|input| reference(&input.manifest));
    }
    problems
}

fn key(manifest: &Value) -> String {
    format!("{}/{}", text(manifest, "/metadata/namespace"), text(manifest, "/metadata/name"))
}

/// `namespace/name` of the joined cluster, its own namespace where none is given.
fn reference(manifest: &Value) -> Option<String> {
    let cluster = manifest.pointer("/spec/cluster").filter(|cluster| !cluster.is_null())?;
    let namespace = match text(cluster, "/namespace") {
        "" => text(manifest, "/metadata/namespace"),
        namespace => namespace,
    };
    Some(format!("{namespace}/{}", text(cluster, "/name")))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn unknown(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        return;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match properties.get(name) {
            Some(schema) => unknown(schema, value, &path, problems),
            None => problems.push(Problem::UnknownField(path)),
        }
    }
}
