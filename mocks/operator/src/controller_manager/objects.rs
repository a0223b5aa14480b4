//! The objects of a `TidbCluster` (`pingcap/tidb-operator pkg/manager/member`): pure functions from it to manifests.
//!
//! Simplified: ConfigMaps have no hash in their name and are updated in place; the start script is a short one of our
//! own with the documented protocol; no slow log sidecar, no probes but TiDB's, no volumes but data and configuration.

use serde_json::{Value, json};

use crate::cluster::{Component, PD_CLIENT_PORT, PD_PEER_PORT, TIDB_STATUS_PORT, TIKV_PORT, TidbCluster};
use crate::discovery::server::PORT as DISCOVERY_PORT;

/// A component with pods of its own StatefulSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PD.
    Pd,
    /// TiKV.
    Tikv,
    /// TiDB.
    Tidb,
}

impl Kind {
    /// `pd`, `tikv`, `tidb`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pd => "pd",
            Kind::Tikv => "tikv",
            Kind::Tidb => "tidb",
        }
    }

    /// What is wanted of it.
    pub fn of(self, tc: &TidbCluster) -> Option<&Component> {
        match self {
            Kind::Pd => tc.spec.pd.as_ref(),
            Kind::Tikv => tc.spec.tikv.as_ref(),
            Kind::Tidb => tc.spec.tidb.as_ref(),
        }
    }

    /// Ports of the headless Service.
    fn peer_ports(self) -> Value {
        match self {
            Kind::Pd => json!([port("tcp-peer-2380", PD_PEER_PORT), port("tcp-peer-2379", PD_CLIENT_PORT)]),
            Kind::Tikv => json!([port("peer", TIKV_PORT)]),
            Kind::Tidb => json!([port("status", TIDB_STATUS_PORT)]),
        }
    }
}

fn port(name: &str, port: u16) -> Value {
    json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"})
}

/// The image of a component.
pub fn image(tc: &TidbCluster, component: &Component) -> String {
    format!("{}:{}", component.base_image, component.version.as_ref().unwrap_or(&tc.spec.version))
}

fn labels(tc: &TidbCluster, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "tidb-cluster",
        "app.kubernetes.io/managed-by": "tidb-operator",
        "app.kubernetes.io/instance": tc.name(),
        "app.kubernetes.io/component": component,
    })
}

fn object(tc: &TidbCluster, api: &str, kind: &str, name: &str, component: &str) -> Value {
    json!({
        "apiVersion": api, "kind": kind,
        "metadata": {
            "name": name, "namespace": tc.namespace(), "labels": labels(tc, component),
            "ownerReferences": [{
                "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster", "name": tc.name(),
                "uid": tc.metadata.uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
    })
}

fn with(mut object: Value, fields: Value) -> Value {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}

/// RBAC, Deployment and Service of discovery, whose image is the operator's.
pub fn discovery(tc: &TidbCluster, image: &str) -> Vec<Value> {
    let name = format!("{}-discovery", tc.name());
    let make = |api: &str, kind: &str| object(tc, api, kind, &name, "discovery");
    let rbac = "rbac.authorization.k8s.io/v1";
    let labels = labels(tc, "discovery");
    let container = json!({
        "name": "discovery", "image": image, "command": ["/usr/local/bin/tidb-discovery"],
        "env": [
            {"name": "MY_POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "TZ", "value": "UTC"},
            {"name": "TC_NAME", "value": tc.name()},
        ],
        "ports": [{"name": "discovery", "containerPort": DISCOVERY_PORT}, {"name": "proxy", "containerPort": 10262}],
    });
    vec![
        with(
            make(rbac, "Role"),
            json!({"rules": [
                {"apiGroups": ["pingcap.com"], "resources": ["tidbclusters"], "resourceNames": [tc.name()],
                 "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
            ]}),
        ),
        make("v1", "ServiceAccount"),
        with(
            make(rbac, "RoleBinding"),
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                   "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": tc.namespace()}]}),
        ),
        with(
            make("apps/v1", "Deployment"),
            json!({"spec": {
                "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels},
                             "spec": {"serviceAccountName": name, "containers": [container]}},
            }}),
        ),
        with(
            make("v1", "Service"),
            json!({"spec": {"type": "ClusterIP", "selector": labels,
                            "ports": [port("discovery", DISCOVERY_PORT), port("proxy", 10262)]}}),
        ),
    ]
}

/// Services and the ConfigMap of a component.
pub fn services(tc: &TidbCluster, kind: Kind, component: &Component) -> Vec<Value> {
    let name = format!("{}-{}", tc.name(), kind.name());
    let selector = labels(tc, kind.name());
    let client = match kind {
        Kind::Pd => Some(json!({"type": "ClusterIP", "selector": selector,
                                "ports": [port("client", PD_CLIENT_PORT)]})),
        Kind::Tidb => component.service.as_ref().map(|service| {
            let kind = service.get("type").and_then(Value::as_str).unwrap_or("ClusterIP");
            json!({"type": kind, "selector": selector,
                   "ports": [port("mysql-client", 4000), port("status", TIDB_STATUS_PORT)]})
        }),
        Kind::Tikv => None,
    };
    let service = |name: &str, used_by: &str, spec: Value| {
        let mut service = with(object(tc, "v1", "Service", name, kind.name()), json!({"spec": spec}));
        service["metadata"]["labels"]["app.kubernetes.io/used-by"] = json!(used_by);
        service
    };
    let peer = json!({"clusterIP": "None", "publishNotReadyAddresses": true, "selector": selector,
                      "ports": kind.peer_ports()});
    let mut objects: Vec<Value> = client.into_iter().map(|spec| service(&name, "end-user", spec)).collect();
    objects.push(service(&format!("{name}-peer"), "peer", peer));
    let config = match &component.config {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    objects.push(with(
        object(tc, "v1", "ConfigMap", &name, kind.name()),
        json!({"data": {"config-file": config, "startup-script": start_script(tc, kind)}}),
    ));
    objects
}

/// The StatefulSet of a component.
pub fn stateful_set(tc: &TidbCluster, kind: Kind, component: &Component, replicas: i32, image: &str) -> Value {
    let short = kind.name();
    let name = format!("{}-{short}", tc.name());
    let labels = labels(tc, short);
    let env = |name: &str, value: String| json!({"name": name, "value": value});
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut mounts = vec![
        json!({"name": "config", "mountPath": format!("/etc/{short}"), "readOnly": true}),
        json!({"name": "startup-script", "mountPath": "/usr/local/bin", "readOnly": true}),
    ];
    let mut container = json!({
        "name": short, "image": image, "command": ["/bin/sh", format!("/usr/local/bin/{short}_start_script.sh")],
        "env": [
            field("NAMESPACE", "metadata.namespace"), field("POD_NAME", "metadata.name"),
            env("CLUSTER_NAME", tc.name().to_owned()), env("PEER_SERVICE_NAME", format!("{name}-peer")),
            env("HEADLESS_SERVICE_NAME", format!("{name}-peer")), env("SERVICE_NAME", name.clone()),
            env("SET_NAME", name.clone()), env("CLUSTER_DOMAIN", tc.spec.cluster_domain.clone()),
            env("ACROSS_K8S", tc.spec.across_k8s.to_string()), env("TZ", "UTC".to_owned()),
        ],
    });
    let mut claims = Vec::new();
    if kind == Kind::Tidb {
        container["readinessProbe"] = json!({"tcpSocket": {"port": 4000}, "initialDelaySeconds": 10});
    } else {
        mounts.push(json!({"name": short, "mountPath": format!("/var/lib/{short}")}));
        let storage = component.requests.get("storage").cloned().unwrap_or_else(|| json!("1Gi"));
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}});
        if let Some(class) = &component.storage_class_name {
            spec["storageClassName"] = json!(class);
        }
        claims.push(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                           "metadata": {"name": short, "labels": labels}, "spec": spec}));
    }
    container["volumeMounts"] = json!(mounts);
    let volume = |volume: &str, key: &str, path: String| json!({"name": volume, "configMap": {"name": name, "items": [{"key": key, "path": path}]}});
    with(
        object(tc, "apps/v1", "StatefulSet", &name, short),
        json!({"spec": {
            "serviceName": format!("{name}-peer"), "replicas": replicas, "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"}, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [container],
                "volumes": [volume("config", "config-file", format!("{short}.toml")),
                            volume("startup-script", "startup-script", format!("{short}_start_script.sh"))],
            }},
            "volumeClaimTemplates": claims,
        }}),
    )
}

/// How a component starts, as text.
fn start_script(tc: &TidbCluster, kind: Kind) -> String {
    let discovery = format!("{}-discovery.{}.svc:{DISCOVERY_PORT}", tc.name(), tc.namespace());
    let host = tc.service_domain(&format!("{}-{}-peer", tc.name(), kind.name()));
    let head = format!("#!/bin/sh\nset -u\ndomain=$POD_NAME.{host}\n");
    let pd = format!("{}-pd:{PD_CLIENT_PORT}", tc.name());
    let ask = |path: &str, of: &str| {
        format!(
            "encoded=$(echo \"{of}\" | base64 | tr -d '\\n')\n\
             until result=$(wget -qO- -T 3 http://{discovery}/{path}/$encoded); do sleep 2; done\n"
        )
    };
    match kind {
        Kind::Pd => {
            let name = if tc.qualified() { "$domain" } else { "$POD_NAME" };
            format!(
                "{head}until nslookup $domain; do sleep 1; done\n\
                 result=\nif [ -f /var/lib/pd/join ]; then result=--join=$(cat /var/lib/pd/join)\n\
                 elif [ ! -d /var/lib/pd/member/wal ]; then\n{}fi\n\
                 exec /pd-server --data-dir=/var/lib/pd --name={name} --peer-urls=http://0.0.0.0:{PD_PEER_PORT} \
                 --advertise-peer-urls=http://$domain:{PD_PEER_PORT} --client-urls=http://0.0.0.0:{PD_CLIENT_PORT} \
                 --advertise-client-urls=http://$domain:{PD_CLIENT_PORT} --config=/etc/pd/pd.toml $result\n",
                ask("new", &format!("$domain:{PD_PEER_PORT}")),
            )
        }
        Kind::Tikv => format!(
            "{head}{}exec /tikv-server --pd=$result --addr=0.0.0.0:{TIKV_PORT} --advertise-addr=$domain:{TIKV_PORT} \
             --status-addr=0.0.0.0:20180 --data-dir=/var/lib/tikv --config=/etc/tikv/tikv.toml\n",
            ask("verify", &format!("http://{pd}")),
        ),
        Kind::Tidb => format!(
            "{head}{}exec /tidb-server --store=tikv --advertise-address=$domain --host=0.0.0.0 --path=$result \
             --config=/etc/tidb/tidb.toml\n",
            ask("verify", &pd),
        ),
    }
}
