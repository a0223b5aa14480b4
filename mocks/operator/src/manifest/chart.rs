//! The objects that the chart `tidb-operator` makes (`pingcap/tidb-operator charts/tidb-operator`).
//!
//! Simplified: RBAC rules are given by group with all verbs, as the emulated API does not authorise; the admission
//! webhook and the advanced StatefulSet are left out; of the scheduler only its Deployment is made.

use serde_json::{Value, json};

/// What the chart is installed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartValues {
    /// Release of Helm.
    pub release: String,
    /// Namespace of the operator.
    pub namespace: String,
    /// Image of the operator and of discovery.
    pub image: String,
    /// Whether `TidbCluster`s of all namespaces are reconciled, or those of its own only.
    pub cluster_scoped: bool,
    /// Whether `tidb-scheduler` is made.
    pub scheduler: bool,
}

impl ChartValues {
    /// The chart's defaults for a version such as `v1.6.5`, in the documented namespace `tidb-admin`.
    pub fn of_version(version: &str) -> Self {
        ChartValues {
            release: "tidb-operator".to_owned(),
            namespace: "tidb-admin".to_owned(),
            image: format!("pingcap/tidb-operator:{version}"),
            cluster_scoped: true,
            scheduler: false,
        }
    }
}

/// The objects, in the order in which they have to be created. The namespace comes first.
pub fn chart(values: &ChartValues) -> Vec<Value> {
    let ChartValues { namespace, cluster_scoped, .. } = values;
    let account = "tidb-controller-manager";
    let (role, binding) = if *cluster_scoped { ("ClusterRole", "ClusterRoleBinding") } else { ("Role", "RoleBinding") };
    let name = if *cluster_scoped { format!("{}:{account}", values.release) } else { account.to_owned() };
    let metadata = |name: &str, scoped: bool| {
        let mut metadata = json!({"name": name, "labels": labels(values, "controller-manager")});
        if scoped {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    };
    let all = |groups: &[&str]| json!({"apiGroups": groups, "resources": ["*"], "verbs": ["*"]});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(account, true)}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": role, "metadata": metadata(&name, !cluster_scoped),
            "rules": [all(&["", "apps", "batch", "coordination.k8s.io", "pingcap.com", "rbac.authorization.k8s.io",
                            "storage.k8s.io"])],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": binding, "metadata": metadata(&name, !cluster_scoped),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }),
        deployment(values, "controller-manager"),
    ];
    if values.scheduler {
        objects.push(deployment(values, "scheduler"));
    }
    objects
}

fn labels(values: &ChartValues, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "tidb-operator",
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/instance": values.release,
        "app.kubernetes.io/component": component,
    })
}

fn deployment(values: &ChartValues, component: &str) -> Value {
    let name = format!("tidb-{component}");
    let labels = labels(values, component);
    let scoped = values.cluster_scoped;
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": values.namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "tidb-controller-manager",
                    "containers": [{
                        "name": "tidb-operator", "image": values.image,
                        "command": [format!("/usr/local/bin/{name}"), format!("-cluster-scoped={scoped}"),
                                    format!("-tidb-discovery-image={}", values.image)],
                        "env": [{"name": "NAMESPACE",
                                 "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
                        "livenessProbe": {"tcpSocket": {"port": 6060}, "failureThreshold": 10, "periodSeconds": 10},
                        "resources": {"requests": {"cpu": "80m", "memory": "50Mi"}},
                    }],
                },
            },
        },
    })
}
