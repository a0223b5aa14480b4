//! What the API fills in on creation and change, as the real server's defaulting and strategies do.

mod pods;
mod services;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::object::{self, default_to, object_mut};
use super::resources::ResourceType;

pub(super) use services::{AllocationError, allocate, merge_previous};

/// Fills in defaults of a built-in type. Idempotent: applied on every write.
pub(super) fn apply(ty: &ResourceType, object: &mut Value) {
    match (&*ty.group, &*ty.kind) {
        ("", "Pod") => {
            pods::spec(object_mut(object, "spec"));
            pods::quality_of_service(object);
        }
        ("", "Service") => services::spec(object_mut(object, "spec")),
        ("", "Secret") => secret(object),
        ("", "PersistentVolume") => {
            let spec = object_mut(object, "spec");
            default_to(spec, "persistentVolumeReclaimPolicy", "Retain");
            default_to(spec, "volumeMode", "Filesystem");
        }
        ("", "PersistentVolumeClaim") => default_to(object_mut(object, "spec"), "volumeMode", "Filesystem"),
        ("apps", kind) => workload(kind, object),
        ("batch", "Job") => job(object),
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(port) = port.as_object_mut() {
                    default_to(port, "protocol", "TCP");
                    default_to(port, "name", "");
                }
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => role_binding(object),
        ("storage.k8s.io", "StorageClass") => {
            if let Some(class) = object.as_object_mut() {
                default_to(class, "reclaimPolicy", "Delete");
                default_to(class, "volumeBindingMode", "Immediate");
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            let spec = object_mut(object, "spec");
            let mut types = vec!["Ingress"];
            if spec.contains_key("egress") {
                types.push("Egress");
            }
            default_to(spec, "policyTypes", json!(types));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => {}
    }
}

/// What a new object starts with besides its defaults: the phase of its status, finalisers, labels of the server.
pub(super) fn on_create(ty: &ResourceType, object: &mut Value) {
    match (&*ty.group, &*ty.kind) {
        ("", "Namespace") => {
            let name = object::name(object).to_owned();
            object_mut(object, "spec").insert("finalizers".to_owned(), json!(["kubernetes"]));
            object_mut(object, "status").insert("phase".to_owned(), json!("Active"));
            if let Some(metadata) = object.get_mut("metadata") {
                object_mut(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), json!(name));
            }
        }
        ("", "Pod") => {
            let status = object_mut(object, "status");
            status.insert("phase".to_owned(), json!("Pending"));
            if !object.pointer("/spec/nodeName").is_some_and(Value::is_string) {
                return;
            }
            let condition = json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": object::now() });
            object_mut(object, "status").insert("conditions".to_owned(), json!([condition]));
        }
        ("", "Service") => {
            object_mut(object, "status").insert("loadBalancer".to_owned(), json!({}));
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            object_mut(object, "status").insert("phase".to_owned(), json!("Pending"));
        }
        ("batch", "Job") => job_selector(object),
        _ => {}
    }
}

fn secret(object: &mut Value) {
    let Some(secret) = object.as_object_mut() else { return };
    if secret.get("type") == Some(&json!("")) {
        secret.shift_remove("type");
    }
    default_to(secret, "type", "Opaque");
    let Some(Value::Object(plain)) = secret.shift_remove("stringData") else { return };
    let data = object_mut(object, "data");
    for (key, value) in plain {
        data.insert(key, json!(STANDARD.encode(value.as_str().unwrap_or_default())));
    }
}

fn workload(kind: &str, object: &mut Value) {
    if kind == "ControllerRevision" {
        return;
    }
    let spec = object_mut(object, "spec");
    if kind != "DaemonSet" {
        default_to(spec, "replicas", 1);
    }
    match kind {
        "Deployment" => {
            default_to(spec, "revisionHistoryLimit", 10);
            default_to(spec, "progressDeadlineSeconds", 600);
            rolling_update(spec, "strategy", &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))]);
        }
        "StatefulSet" => {
            default_to(spec, "podManagementPolicy", "OrderedReady");
            default_to(spec, "revisionHistoryLimit", 10);
            rolling_update(spec, "updateStrategy", &[("partition", json!(0))]);
            let retention = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
            default_to(spec, "persistentVolumeClaimRetentionPolicy", retention);
            for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
                default_to(object_mut(claim, "spec"), "volumeMode", "Filesystem");
            }
        }
        "DaemonSet" => {
            default_to(spec, "revisionHistoryLimit", 10);
            rolling_update(spec, "updateStrategy", &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))]);
        }
        _ => {}
    }
    template(spec);
}

fn template(spec: &mut Map<String, Value>) {
    if let Some(template) = spec.get_mut("template") {
        pods::spec(object_mut(template, "spec"));
    }
}

fn rolling_update(spec: &mut Map<String, Value>, field: &str, defaults: &[(&str, Value)]) {
    let strategy = spec.entry(field).or_insert_with(|| json!({}));
    let Some(map) = strategy.as_object_mut() else { return };
    default_to(map, "type", "RollingUpdate");
    if map.get("type") == Some(&json!("RollingUpdate")) {
        let rolling = object_mut(strategy, "rollingUpdate");
        for (key, value) in defaults {
            default_to(rolling, key, value.clone());
        }
    }
}

fn job(object: &mut Value) {
    let spec = object_mut(object, "spec");
    let single = !spec.contains_key("completions") && !spec.contains_key("parallelism");
    if single {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    default_to(spec, "backoffLimit", 6);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    default_to(spec, "manualSelector", false);
    default_to(spec, "podReplacementPolicy", "TerminatingOrFailed");
    template(spec);
}

/// A job selects its pods by its own uid.
fn job_selector(object: &mut Value) {
    let (uid, name) = (object::uid(object).to_owned(), object::name(object).to_owned());
    let spec = object_mut(object, "spec");
    if spec.get("manualSelector") == Some(&json!(true)) {
        return;
    }
    spec.insert("selector".to_owned(), json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
    let template = spec.entry("template").or_insert_with(|| json!({}));
    object_mut(template, "metadata");
    if let Some(metadata) = template.get_mut("metadata") {
        let labels = object_mut(metadata, "labels");
        for prefix in ["batch.kubernetes.io/", ""] {
            labels.insert(format!("{prefix}controller-uid"), json!(uid));
            labels.insert(format!("{prefix}job-name"), json!(name));
        }
    }
}

fn role_binding(object: &mut Value) {
    default_to(object_mut(object, "roleRef"), "apiGroup", "rbac.authorization.k8s.io");
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(subject) = subject.as_object_mut()
            && subject.get("kind") != Some(&json!("ServiceAccount"))
        {
            default_to(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}

/// Names of a CustomResourceDefinition, and the conditions that the real controllers set at once when no name clashes.
fn definition(object: &mut Value) {
    let storage: Vec<Value> =
        object.pointer("/spec/versions").and_then(Value::as_array).map_or_else(Vec::new, |versions| {
            versions
                .iter()
                .filter(|version| version["storage"] == json!(true))
                .map(|version| version["name"].clone())
                .collect()
        });
    let spec = object_mut(object, "spec");
    default_to(spec, "conversion", json!({ "strategy": "None" }));
    let names = spec.entry("names").or_insert_with(|| json!({}));
    if let Some(names) = names.as_object_mut() {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }
    let names = names.clone();
    let status = object_mut(object, "status");
    status.insert("acceptedNames".to_owned(), names);
    default_to(status, "storedVersions", Value::Array(storage));
    let empty = status.get("conditions").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if empty {
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({ "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": object::now() })
        };
        let conditions = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]);
        status.insert("conditions".to_owned(), conditions);
    }
}
