//! The documented manifests, and each deviation from them.

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
            manifest["spec"]["cluster"] = json!({"name": "tc1", "namespace": "ns1", "clusterDomain": "cluster.local"});
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
    assert_eq!(after(&[(2, "/spec/cluster/name", json!("tc2")), (2, "/spec/cluster/namespace", json!("ns2"))]), vec![]);
}
