//! Defaults of pods and pod templates.
//!
//! The service account admission of the real server, which mounts a token volume into each container, is left out.

use serde_json::{Map, Value, json};

use crate::kubernetes::api::object::{default_to, object_mut};

/// `podSpec` of a pod or a template.
pub(super) fn spec(spec: &mut Map<String, Value>) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "schedulerName", "default-scheduler");
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default_to(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        default_to(spec, "serviceAccountName", account);
    }
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for kind in ["containers", "initContainers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container_spec(container, host_network);
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                default_to(source, "defaultMode", 420);
            }
        }
        if let Some(source) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
            default_to(source, "type", "");
        }
    }
}

fn container_spec(container: &mut Map<String, Value>, host_network: bool) {
    let policy = match container.get("image").and_then(Value::as_str).unwrap_or_default().rsplit_once(':') {
        Some((_, tag)) if tag != "latest" && !tag.contains('/') => "IfNotPresent",
        _ => "Always",
    };
    default_to(container, "imagePullPolicy", policy);
    default_to(container, "resources", json!({}));
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    if let Some(resources) = container.get_mut("resources") {
        default_requests(resources);
    }
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            default_to(port, "protocol", "TCP");
            if host_network && let Some(number) = port.get("containerPort").cloned() {
                default_to(port, "hostPort", number);
            }
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef").and_then(Value::as_object_mut) {
            default_to(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        for (field, value) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            default_to(probe, field, value);
        }
        if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            default_to(get, "path", "/");
            default_to(get, "scheme", "HTTP");
        }
    }
}

/// Requests default to limits.
fn default_requests(resources: &mut Value) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = object_mut(resources, "requests");
    for (resource, limit) in limits {
        default_to(requests, &resource, limit);
    }
}

/// Sets `status.qosClass`, what a pod has and a template has not, and the fields that admission sets on pods only.
pub(super) fn quality_of_service(pod: &mut Value) {
    let mut guaranteed = true;
    let mut best_effort = true;
    for kind in ["containers", "initContainers"] {
        for container in pod["spec"].get(kind).and_then(Value::as_array).into_iter().flatten() {
            let resources = &container["resources"];
            for resource in ["cpu", "memory"] {
                let (limit, request) = (resources["limits"].get(resource), resources["requests"].get(resource));
                best_effort &= limit.is_none() && request.is_none();
                guaranteed &= limit.is_some() && limit == request;
            }
        }
    }
    let class = if best_effort {
        "BestEffort"
    } else if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    };
    default_to(object_mut(pod, "status"), "qosClass", class);
    let spec = object_mut(pod, "spec");
    default_to(spec, "serviceAccountName", "default");
    default_to(spec, "serviceAccount", "default");
    default_to(spec, "enableServiceLinks", true);
    default_to(spec, "priority", 0);
    default_to(spec, "preemptionPolicy", "PreemptLowerPriority");
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    if let Some(tolerations) = tolerations.as_array_mut() {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let covered = tolerations.iter().any(|toleration| {
                let (of, effect) = (toleration.get("key"), toleration.get("effect"));
                of.is_none_or(|of| of == key) && effect.is_none_or(|effect| effect == "NoExecute")
            });
            if !covered {
                tolerations
                    .push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
            }
        }
    }
}
