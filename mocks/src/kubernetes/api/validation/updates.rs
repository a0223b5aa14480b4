//! What may not change once an object exists.

use serde_json::{Value, json};

use crate::kubernetes::api::object::text;
use crate::kubernetes::api::resources::ResourceType;
use crate::kubernetes::api::status::FieldError;

/// Checks a change of an object of a built-in type.
pub(in super::super) fn update(ty: &ResourceType, old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    match (&*ty.group, &*ty.kind) {
        ("", "Pod") => pod(old, new, errors),
        ("", "Service") => service(old, new, errors),
        ("", "ConfigMap") => frozen(old, new, &["data", "binaryData"], errors),
        ("", "Secret") => {
            immutable("type", &old["type"], &new["type"], errors);
            frozen(old, new, &["data"], errors);
        }
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => {
            immutable("spec.selector", &old["spec"]["selector"], &new["spec"]["selector"], errors);
        }
        ("apps", "StatefulSet") => {
            let allowed = [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ];
            if without(&old["spec"], &allowed) != without(&new["spec"], &allowed) {
                let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                     'minReadySeconds' are forbidden";
                errors.push(FieldError::forbidden("spec", why));
            }
        }
        ("batch", "Job") => {
            for field in ["selector", "completions", "template", "completionMode"] {
                immutable(&format!("spec.{field}"), &old["spec"][field], &new["spec"][field], errors);
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            immutable("addressType", &old["addressType"], &new["addressType"], errors);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") if old["roleRef"] != new["roleRef"] => {
            errors.push(FieldError::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        ("storage.k8s.io", "StorageClass") => {
            for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                if old[field] != new[field] {
                    errors.push(FieldError::forbidden(field, &format!("updates to {field} are forbidden.")));
                }
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            for field in ["scope", "group"] {
                immutable(&format!("spec.{field}"), &old["spec"][field], &new["spec"][field], errors);
            }
        }
        _ => {}
    }
}

fn immutable(field: &str, old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old != new {
        errors.push(FieldError::invalid(field, new, "field is immutable"));
    }
}

fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    if let Some(map) = spec.as_object_mut() {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
    spec
}

/// Objects marked `immutable: true`.
fn frozen(old: &Value, new: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != json!(true) {
        return;
    }
    if new["immutable"] != json!(true) {
        errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for field in fields {
        if old[*field] != new[*field] {
            errors.push(FieldError::forbidden(*field, "field is immutable when `immutable` is set"));
        }
    }
}

/// A pod's spec without what may change: images, the active deadline, added tolerations, gates that go.
fn pod(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |pod: &Value| {
        let allowed = [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "ephemeralContainers",
            "schedulingGates",
        ];
        let mut spec = without(&pod["spec"], &allowed);
        for kind in ["containers", "initContainers"] {
            for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(map) = container.as_object_mut() {
                    map.shift_remove("image");
                }
            }
        }
        spec
    };
    if fixed(old) != fixed(new) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
             tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", why));
    }
}

fn service(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let (before, after) = (text(old, "/spec/clusterIP"), text(new, "/spec/clusterIP"));
    let external = |service: &Value| text(service, "/spec/type") == "ExternalName";
    if before != after && !before.is_empty() && !external(old) && !external(new) {
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!([after]), "may not change once set"));
    }
}
