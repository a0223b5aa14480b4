//! `acrossk8s lint` as a person uses it: files that are sound, that are not, and that are no manifests.

use std::fs;
use std::path::Path;

use rstest::rstest;

use crate::common::{run, text};

/// The documented TidbCluster of cluster `number` in the documented scenario.
fn documented(number: usize) -> String {
    let joined = "  cluster: {name: tc1, namespace: tidb-ns-1, clusterDomain: cluster.local}\n";
    let joined = if number == 1 { "" } else { joined };
    format!(
        "apiVersion: pingcap.com/v1alpha1\nkind: TidbCluster\nmetadata: {{name: tc{number}, namespace: tidb-ns-{number}}}\n\
         spec:\n  version: v8.5.0\n  timezone: UTC\n  pvReclaimPolicy: Delete\n  enableDynamicConfiguration: true\n  \
         configUpdateStrategy: RollingUpdate\n  clusterDomain: cluster.local\n  acrossK8s: true\n{joined}  discovery: {{}}\n  \
         pd: {{baseImage: pingcap/pd, maxFailoverCount: 0, replicas: 1, requests: {{storage: 10Gi}}, config: {{}}}}\n  \
         tikv: {{baseImage: pingcap/tikv, maxFailoverCount: 0, replicas: 1, requests: {{storage: 10Gi}}, config: {{}}}}\n  \
         tidb: {{baseImage: pingcap/tidb, maxFailoverCount: 0, replicas: 1, service: {{type: ClusterIP}}, config: {{}}}}\n"
    )
}

/// Lints the documented three, one of them otherwise.
fn lint(directory: &Path, changed: usize, change: impl Fn(String) -> String) -> (Option<i32>, String) {
    let mut arguments = vec!["lint".to_owned()];
    for number in 1..=3 {
        let path = directory.join(format!("tc{number}.yaml"));
        let manifest = documented(number);
        fs::write(&path, if number == changed { change(manifest) } else { manifest }).unwrap();
        arguments.push(format!("tidb-{number}={}", path.display()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&directory.join("runs"), &arguments);
    (output.status.code(), text(&output))
}

#[rstest]
#[case::documented("", "", 0, "3 TidbClusters, nothing wrong with them")]
#[case::another_document("apiVersion", "apiVersion: v1\nkind: Secret\n---\napiVersion", 0, "nothing wrong")]
#[case::namespace(
    "tidb-ns-3}",
    "default}",
    10,
    "✗ tidb-3: metadata.namespace is `default`, and the other clusters forward `tidb-ns-3` (C5.1)"
)]
#[case::misspelt("acrossK8s", "acrossk8s", 10, "✗ tidb-3: unknown field `spec.acrossk8s` (C5.3)")]
#[case::two_initial(
    "  cluster: {name: tc1, namespace: tidb-ns-1, clusterDomain: cluster.local}\n",
    "",
    10,
    "to mend it: name the first in spec.cluster of all others"
)]
#[case::no_yaml("spec:", "spec: [", 2, "is not YAML")]
#[case::two_in_a_file("kind: TidbCluster", "kind: TidbCluster\n---\nkind: TidbCluster", 2, "has 2 TidbClusters")]
fn manifests_are_judged(#[case] from: &str, #[case] to: &str, #[case] code: i32, #[case] expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (exit, shown) = lint(directory.path(), 3, |it| it.replacen(from, to, 1));
    assert_eq!(exit, Some(code), "{shown}");
    assert!(shown.contains(expected), "{shown}");
}

#[rstest]
#[case(&["tidb-1"], "tidb-1 is not CLUSTER=FILE")]
#[case(&["tidb-9=x.yaml"], "has no cluster tidb-9")]
#[case(&["tidb-1=/nowhere/x.yaml"], "/nowhere/x.yaml cannot be read")]
#[case(&[], "CLUSTER=FILE")]
fn what_is_no_manifest_is_told(#[case] arguments: &[&str], #[case] expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &[&["lint"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains(expected), "{}", text(&output));
}
