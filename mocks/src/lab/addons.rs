//! What EKS and eksctl put into kube-system.
//!
//! Source: eksctl's default add-on manifests, the same for all Kubernetes versions in what is shown here.

use ipnet::Ipv4Net;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kubernetes::cluster::cluster_dns;
use crate::workloads::COREDNS_IMAGE;
use crate::workloads::coredns::VERSION;

const NAMESPACE: &str = "kube-system";

/// The Corefile of EKS's add-on. It has no `ttl` in `kubernetes`, so records live five seconds.
const COREFILE: &str = ".:53 {
    errors
    health {
        lameduck 5s
      }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
";

/// Installs the add-ons.
pub(super) async fn install(client: &Client, service_cidr: Ipv4Net) -> kube::Result<()> {
    create::<DaemonSet>(
        client,
        daemon_set(
            "aws-node",
            "eks/amazon-k8s-cni",
            json!([
                { "name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "false" },
            ]),
        ),
    )
    .await?;
    create::<DaemonSet>(client, daemon_set("kube-proxy", "eks/kube-proxy", json!([]))).await?;
    create::<ConfigMap>(client, json!({
        "metadata": { "name": "coredns", "labels": { "eks.amazonaws.com/component": "coredns", "k8s-app": "kube-dns" } },
        "data": { "Corefile": COREFILE },
    }))
    .await?;
    create::<Service>(
        client,
        json!({
            "metadata": {
                "name": "kube-dns",
                "labels": {
                    "eks.amazonaws.com/component": "kube-dns",
                    "k8s-app": "kube-dns",
                    "kubernetes.io/cluster-service": "true",
                    "kubernetes.io/name": "CoreDNS",
                },
            },
            "spec": {
                "selector": { "k8s-app": "kube-dns" },
                "clusterIP": cluster_dns(service_cidr).to_string(),
                "ports": [
                    { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
                    { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
                    { "name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153 },
                ],
            },
        }),
    )
    .await?;
    create::<Deployment>(client, coredns()).await
}

async fn create<K>(client: &Client, mut manifest: Value) -> kube::Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    manifest["metadata"]["namespace"] = json!(NAMESPACE);
    let object: K = serde_json::from_value(manifest).map_err(kube::Error::SerdeError)?;
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &object).await.map(drop)
}

/// A DaemonSet that stands for what runs on each node outside of pods here: its environment is read, its pods do not run.
fn daemon_set(name: &str, image: &str, env: Value) -> Value {
    let labels = json!({ "k8s-app": name });
    json!({
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "hostNetwork": true,
                    // No node has this label: the agent of each node does the work itself.
                    "nodeSelector": { "acrossk8s/runs-agents-as-pods": "true" },
                    "containers": [{ "name": name, "image": image, "env": env }],
                },
            },
        },
    })
}

fn coredns() -> Value {
    let labels = json!({ "eks.amazonaws.com/component": "coredns", "k8s-app": "kube-dns" });
    json!({
        "metadata": { "name": "coredns", "labels": labels },
        "spec": {
            "replicas": 2,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "dnsPolicy": "Default",
                    "tolerations": [{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }],
                    "containers": [{
                        "name": "coredns",
                        "image": format!("{COREDNS_IMAGE}:v{VERSION}"),
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [
                            { "name": "dns", "containerPort": 53, "protocol": "UDP" },
                            { "name": "dns-tcp", "containerPort": 53, "protocol": "TCP" },
                            { "name": "metrics", "containerPort": 9153, "protocol": "TCP" },
                        ],
                        "volumeMounts": [{ "name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true }],
                    }],
                    "volumes": [{
                        "name": "config-volume",
                        "configMap": { "name": "coredns", "items": [{ "key": "Corefile", "path": "Corefile" }] },
                    }],
                },
            },
        },
    })
}
