//! What EKS installs on a cluster: the add-ons vpc-cni, kube-proxy and coredns, as eksctl's own manifests have them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::LabError;
use crate::eksctl::Addon;
use crate::workloads::{COREDNS_IMAGE, Container, ExecIo, Images, Program};

/// The Deployment and the ConfigMap of CoreDNS.
pub(super) const COREDNS: &str = "coredns";
/// The Service of CoreDNS.
pub(super) const KUBE_DNS: &str = "kube-dns";

const CNI_IMAGE: &str = "eks/amazon-k8s-cni";
const PROXY_IMAGE: &str = "eks/kube-proxy";
const EBS_CSI_IMAGE: &str = "eks/aws-ebs-csi-driver";

/// The Corefile that EKS installs, byte for byte.
///
/// Source: eksctl, `pkg/addons/default/assets/coredns-*.json`, the same for all versions.
pub const COREFILE: &str = include_str!("../../../fixtures/corefiles/eks-default");

/// Adds the programs of `aws-node`, `kube-proxy` and `ebs-csi-node` where they are missing. What the first two do is done by
/// the node agents and the controllers, and there are no volumes: their pods only run.
pub(super) fn add_images(images: &mut Images) {
    for image in [CNI_IMAGE, PROXY_IMAGE, EBS_CSI_IMAGE] {
        if images.resolve(image).is_none() {
            images.insert(image, Arc::new(Idle));
        }
    }
}

/// A program that is ready and does nothing.
struct Idle;

#[async_trait]
impl Program for Idle {
    async fn run(&self, container: Container) -> i32 {
        container.ready.send_replace(true);
        container.stop.cancelled().await;
        0
    }

    async fn exec(&self, _: Container, command: Vec<String>, io: ExecIo) -> i32 {
        let name = command.first().map(String::as_str).unwrap_or_default();
        // The one who asked may be gone.
        let _ = io.stderr.send(format!("exec: \"{name}\": executable file not found in $PATH\n").into()).await;
        127
    }
}

/// Installs the add-ons, the EBS CSI driver where it is asked for, and the StorageClass of EKS.
pub(super) async fn apply(client: &Client, cluster_dns: Ipv4Addr, asked: &[Addon]) -> Result<(), LabError> {
    let storage = async {
        if asked.iter().any(|addon| addon.name == "aws-ebs-csi-driver") {
            create::<DaemonSet>(client, ebs_csi_node()).await?;
        }
        create_in::<StorageClass>(&Api::all(client.clone()), gp2()).await
    };
    tokio::try_join!(
        storage,
        create::<ConfigMap>(client, config_map()),
        create::<Service>(client, service(cluster_dns)),
        create::<DaemonSet>(client, cni()),
        create::<DaemonSet>(client, proxy()),
        create::<ServiceAccount>(client, account("aws-node")),
        create::<ServiceAccount>(client, account("kube-proxy")),
        create::<ServiceAccount>(client, account(COREDNS)),
    )?;
    create::<Deployment>(client, deployment()).await
}

async fn create<K>(client: &Client, manifest: Value) -> Result<(), LabError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    create_in::<K>(&Api::namespaced(client.clone(), "kube-system"), manifest).await
}

async fn create_in<K>(api: &Api<K>, manifest: Value) -> Result<(), LabError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let failed = |source| LabError::Kubernetes { what: format!("{} {name} cannot be created", K::kind(&())), source };
    let object: K = serde_json::from_value(manifest.clone()).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    api.create(&PostParams::default(), &object).await.map(drop).map_err(failed)
}

fn account(name: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "kube-system" } })
}

fn dns_labels() -> Value {
    json!({ "eks.amazonaws.com/component": COREDNS, "k8s-app": KUBE_DNS })
}

fn config_map() -> Value {
    json!({
        "metadata": { "name": COREDNS, "namespace": "kube-system", "labels": dns_labels() },
        "data": { "Corefile": COREFILE },
    })
}

fn service(cluster_dns: Ipv4Addr) -> Value {
    let port = |name: &str, port: u16, protocol: &str| json!({ "name": name, "port": port, "targetPort": port, "protocol": protocol });
    let mut labels = dns_labels();
    labels["kubernetes.io/cluster-service"] = "true".into();
    labels["kubernetes.io/name"] = "CoreDNS".into();
    json!({
        "metadata": {
            "name": KUBE_DNS,
            "namespace": "kube-system",
            "labels": labels,
            "annotations": { "prometheus.io/port": "9153", "prometheus.io/scrape": "true" },
        },
        "spec": {
            "clusterIP": cluster_dns.to_string(),
            "selector": { "k8s-app": KUBE_DNS },
            "ports": [port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP"), port("metrics", 9153, "TCP")],
        },
    })
}

fn deployment() -> Value {
    let port =
        |name: &str, port: u16, protocol: &str| json!({ "name": name, "containerPort": port, "protocol": protocol });
    json!({
        "metadata": { "name": COREDNS, "namespace": "kube-system", "labels": dns_labels() },
        "spec": {
            "replicas": 2,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "selector": { "matchLabels": dns_labels() },
            "template": {
                "metadata": { "labels": dns_labels() },
                "spec": {
                    "serviceAccountName": COREDNS,
                    "priorityClassName": "system-cluster-critical",
                    "dnsPolicy": "Default",
                    "tolerations": [
                        { "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" },
                        { "key": "CriticalAddonsOnly", "operator": "Exists" },
                    ],
                    "containers": [{
                        "name": COREDNS,
                        "image": format!("{COREDNS_IMAGE}:v{}", crate::workloads::coredns::VERSION),
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP"), port("metrics", 9153, "TCP")],
                        "volumeMounts": [{ "name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true }],
                    }],
                    "volumes": [{
                        "name": "config-volume",
                        "configMap": { "name": COREDNS, "items": [{ "key": "Corefile", "path": "Corefile" }] },
                    }],
                },
            },
        },
    })
}

fn daemon_set(name: &str, image: &str, env: &Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "kube-system", "labels": { "k8s-app": name } },
        "spec": {
            "selector": { "matchLabels": { "k8s-app": name } },
            "template": {
                "metadata": { "labels": { "k8s-app": name } },
                "spec": {
                    "hostNetwork": true,
                    "serviceAccountName": name,
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [{ "name": name, "image": image, "env": env }],
                },
            },
        },
    })
}

fn cni() -> Value {
    daemon_set(
        "aws-node",
        &format!("{CNI_IMAGE}:v1.20.4"),
        &json!([
            { "name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "false" },
            { "name": "AWS_VPC_K8S_CNI_RANDOMIZESNAT", "value": "prng" },
            { "name": "AWS_VPC_ENI_MTU", "value": "9001" },
        ]),
    )
}

fn proxy() -> Value {
    daemon_set("kube-proxy", &format!("{PROXY_IMAGE}:v1.34.0"), &json!([]))
}

fn ebs_csi_node() -> Value {
    daemon_set("ebs-csi-node", &format!("{EBS_CSI_IMAGE}:v1.50.1"), &json!([]))
}

/// The class that every EKS cluster begins with. It has not been the default since Kubernetes 1.30.
///
/// Source: EKS user guide, "Release notes for Kubernetes versions on standard support", 1.30.
fn gp2() -> Value {
    json!({
        "metadata": { "name": "gp2" },
        "provisioner": "kubernetes.io/aws-ebs",
        "volumeBindingMode": "WaitForFirstConsumer",
        "parameters": { "fsType": "ext4", "type": "gp2" },
    })
}
