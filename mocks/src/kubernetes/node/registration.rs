//! The Node object.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{NodeSpec, Site};
use crate::kubernetes::controllers::control_loop::is_conflict;

/// Creates the Node, or updates what a previous agent left.
pub(super) async fn register(site: &Site, spec: &NodeSpec) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(site.client.clone());
    let object = node(site, spec);
    let status = json!({ "status": object["status"] });
    let node: Node = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let written = match api.create(&PostParams::default(), &node).await {
        Err(error) if is_conflict(&error) => None,
        answer => Some(answer?),
    };
    // A Node may be created with its status; only a server that dropped it is told again.
    let kept = written.as_ref().is_some_and(|node| {
        node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|list| !list.is_empty())
    });
    let written = match written {
        Some(node) if kept => node,
        _ => api.patch_status(&node.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?,
    };
    site.informers.nodes.observe(written);
    Ok(())
}

fn node(site: &Site, spec: &NodeSpec) -> Value {
    let now = jiff::Timestamp::now().to_string();
    let (cpu, memory, pods) = capacity(&spec.instance_type);
    let resources = json!({ "cpu": cpu.to_string(), "memory": format!("{memory}Gi"), "pods": pods.to_string() });
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": spec.name,
        "node.kubernetes.io/instance-type": spec.instance_type,
        "topology.kubernetes.io/region": site.region,
        "topology.kubernetes.io/zone": spec.zone,
    });
    for (key, value) in &spec.labels {
        labels[key] = Value::from(value.as_str());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": spec.name, "labels": labels },
        "spec": {
            "providerID": format!("aws:///{}/{}", spec.zone, spec.instance),
            "taints": spec.taints,
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                { "type": "InternalIP", "address": spec.address.to_string() },
                { "type": "InternalDNS", "address": spec.name },
                { "type": "Hostname", "address": spec.name },
            ],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "acrossk8s emulation",
                "kernelVersion": "emulated",
                "containerRuntimeVersion": "acrossk8s://0.1",
                "kubeletVersion": spec.kubelet_version,
                "kubeProxyVersion": "",
                "machineID": spec.instance,
                "systemUUID": spec.instance,
                "bootID": spec.instance,
            },
        },
    })
}

/// CPUs, memory in GiB and pods of an instance type. The pods follow from its interfaces (VPC CNI, "max-pods"); types not
/// listed pass for an `m5.large`, as nothing here uses resources up.
fn capacity(instance_type: &str) -> (u32, u32, u32) {
    match instance_type {
        "t3.medium" => (2, 4, 17),
        "m5.xlarge" => (4, 16, 58),
        "c5.2xlarge" => (8, 16, 58),
        "m7g.4xlarge" => (16, 64, 234),
        _ => (2, 8, 29),
    }
}
