//! What TiDB Operator never validates (`pingcap/tidb-operator pkg/apis/pingcap/v1alpha1/validation/validation.go`) and
//! yet breaks a TiDB cluster made of several `TidbCluster`s. Pure: manifests in, findings out.
//!
//! Simplified: unknown fields are looked for as deep as [`crate::manifest::tidb_cluster_schema`] goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::manifest::tidb_cluster_schema;

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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn three() -> Vec<Input> {
        let input = |number: usize| {
            let mut manifest = json!({
                "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
                "metadata": {"name": format!("tc{number}"), "namespace": format!("ns{number}"), "labels": {"a": "b"}},
                "spec": {
                    "version": "v8.5.5", "acrossK8s": true, "clusterDomain": "cluster.local", "discovery": {},
                    "pd": {"baseImage": "pingcap/pd", "replicas": 1, "requests": {"storage": "10Gi"},
                           "config": {"any": {"thing": 1}}},
                },
            });
            if number > 1 {
                manifest["spec"]["cluster"] =
                    json!({"name": "tc1", "namespace": "ns1", "clusterDomain": "cluster.local"});
            }
            Input {
                cluster: format!("k{number}"),
                namespace: format!("ns{number}"),
                domain: "cluster.local".to_owned(),
                manifest,
            }
        };
        (1..=3).map(input).collect()
    }

    /// The findings after one place of one manifest is set, `null` for removed.
    fn after(changes: &[(usize, &str, Value)]) -> Vec<(Option<String>, Problem)> {
        let mut inputs = three();
        for (index, pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            let parent = inputs[*index].manifest.pointer_mut(parent).and_then(Value::as_object_mut).expect("a place");
            if value.is_null() {
                parent.remove(name);
            } else {
                parent.insert(name.to_owned(), value.clone());
            }
        }
        lint(&inputs).into_iter().map(|finding| (finding.cluster, finding.problem)).collect()
    }

    #[test]
    fn the_documented_three_have_nothing_wrong() {
        assert_eq!(after(&[]), vec![]);
    }

    #[rstest]
    #[case("/kind", json!("TidbCulster"), Problem::Kind("pingcap.com/v1alpha1 TidbCulster".into()))]
    #[case("/metadata/namespace", json!("x"), Problem::Namespace { found: "x".into(), expected: "ns3".into() })]
    #[case("/spec/clusterDomain", json!("a.b"), Problem::Domain { found: "a.b".into(), expected: "cluster.local".into() })]
    #[case("/spec/clusterDomain", Value::Null, Problem::Domain { found: "".into(), expected: "cluster.local".into() })]
    #[case("/spec/cluster/clusterDomain", Value::Null,
           Problem::JoinedDomain { found: "".into(), expected: "cluster.local".into() })]
    #[case("/spec/acrossK8s", Value::Null, Problem::NotAcross)]
    #[case("/spec/acrossK8s", json!(false), Problem::NotAcross)]
    #[case("/spec/cluster/name", json!("tc9"), Problem::Dangling("ns1/tc9".into()))]
    #[case("/spec/cluster/namespace", Value::Null, Problem::Dangling("ns3/tc1".into()))]
    #[case("/spec/crossK8s", json!(true), Problem::UnknownField("spec.crossK8s".into()))]
    #[case("/spec/pd/replica", json!(1), Problem::UnknownField("spec.pd.replica".into()))]
    fn one_deviation_is_one_finding(#[case] pointer: &str, #[case] value: Value, #[case] expected: Problem) {
        assert_eq!(after(&[(2, pointer, value)]), vec![(Some("k3".to_owned()), expected)]);
    }

    #[test]
    fn two_initial_clusters_are_both_named() {
        let expected = vec![
            (Some("k1".to_owned()), Problem::SeveralInitial(vec!["k3".into()])),
            (Some("k3".to_owned()), Problem::SeveralInitial(vec!["k1".into()])),
        ];
        assert_eq!(after(&[(2, "/spec/cluster", Value::Null)]), expected);
    }

    #[test]
    fn a_cycle_has_no_initial_cluster() {
        let joined = json!({"name": "tc2", "namespace": "ns2", "clusterDomain": "cluster.local"});
        let found = after(&[(0, "/spec/cluster", joined)]);
        let cycle = |path: &[&str]| Problem::Cycle(path.iter().map(|&at| at.to_owned()).collect());
        let expected = vec![
            (None, Problem::NoInitial),
            (Some("k1".to_owned()), cycle(&["ns1/tc1", "ns2/tc2", "ns1/tc1"])),
            (Some("k2".to_owned()), cycle(&["ns2/tc2", "ns1/tc1", "ns2/tc2"])),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_chain_is_no_cycle() {
        assert_eq!(
            after(&[(2, "/spec/cluster/name", json!("tc2")), (2, "/spec/cluster/namespace", json!("ns2"))]),
            vec![]
        );
    }
}
