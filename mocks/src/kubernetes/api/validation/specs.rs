//! Rules of the types' specs, checked on creation and on every change.
//!
//! Not the whole of the real server's rules: those that a user of the documented procedure can run into.

use serde_json::{Value, json};

use super::{dns_label, labels};
use crate::kubernetes::api::object::text;
use crate::kubernetes::api::resources::ResourceType;
use crate::kubernetes::api::selector::LabelSelector;
use crate::kubernetes::api::status::FieldError;

/// Checks the spec of a built-in type.
pub(in super::super) fn spec(ty: &ResourceType, object: &Value, errors: &mut Vec<FieldError>) {
    match (&*ty.group, &*ty.kind) {
        ("", "Pod") => pod_spec("spec", &object["spec"], errors),
        ("", "Service") => service(&object["spec"], errors),
        ("", "ConfigMap" | "Secret") => data_keys(object, errors),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => {
            workload(&ty.kind.to_lowercase(), &object["spec"], errors);
        }
        ("batch", "Job") => pod_template("spec.template", &object["spec"]["template"], errors),
        ("discovery.k8s.io", "EndpointSlice") => {
            one_of("addressType", &object["addressType"], &["FQDN", "IPv4", "IPv6"], errors);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            needed("roleRef.name", "/roleRef/name", object, errors)
        }
        ("storage.k8s.io", "StorageClass") => needed("provisioner", "/provisioner", object, errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object, errors),
        _ => {}
    }
}

fn needed(field: &str, pointer: &str, object: &Value, errors: &mut Vec<FieldError>) {
    if text(object, pointer).is_empty() {
        errors.push(FieldError::required(field, ""));
    }
}

fn one_of(field: &str, value: &Value, supported: &[&str], errors: &mut Vec<FieldError>) {
    match value.as_str() {
        None | Some("") => errors.push(FieldError::required(field, "")),
        Some(found) if supported.contains(&found) => {}
        Some(_) => errors.push(FieldError::unsupported(field, value, supported)),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn workload(kind: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let labels = &spec["template"]["metadata"]["labels"];
    let selector = &spec["selector"];
    let parsed = LabelSelector::from_value(selector);
    if !selector.is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    } else if parsed.is_empty() {
        let why = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid("spec.selector", selector, &why));
    } else if !parsed.matches(&spec["template"]) {
        let field = "spec.template.metadata.labels";
        errors.push(FieldError::invalid(field, labels, "`selector` does not match template `labels`"));
    }
    if let Some(replicas) = spec.get("replicas").filter(|replicas| replicas.as_i64().is_some_and(|n| n < 0)) {
        errors.push(FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0"));
    }
    let mut template = spec["template"].clone();
    // The claims of a StatefulSet are volumes of its pods.
    let claims = list(spec, "volumeClaimTemplates").map(|(_, claim)| json!({"name": text(claim, "/metadata/name")}));
    let claims: Vec<Value> = claims.collect();
    if let (false, Some(pod)) = (claims.is_empty(), template.get_mut("spec").and_then(Value::as_object_mut))
        && let Some(volumes) = pod.entry("volumes").or_insert_with(|| json!([])).as_array_mut()
    {
        volumes.extend(claims);
    }
    pod_template("spec.template", &template, errors);
}

fn pod_template(path: &str, template: &Value, errors: &mut Vec<FieldError>) {
    labels(&format!("{path}.metadata.labels"), template.pointer("/metadata/labels"), errors);
    pod_spec(&format!("{path}.spec"), &template["spec"], errors);
}

fn pod_spec(path: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    if list(spec, "containers").next().is_none() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> = list(spec, "volumes").map(|(_, volume)| text(volume, "/name")).collect();
    let mut names = Vec::new();
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(spec, kind) {
            let at = format!("{path}.{kind}[{index}]");
            container_spec(&at, container, &volumes, errors);
            let name = text(container, "/name");
            if names.contains(&name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), &json!(name)));
            }
            names.push(name);
        }
    }
    if let Some(policy) = spec.get("restartPolicy") {
        one_of(&format!("{path}.restartPolicy"), policy, &["Always", "OnFailure", "Never"], errors);
    }
}

fn container_spec(at: &str, container: &Value, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let name = text(container, "/name");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{at}.name"), ""));
    } else if let Some(why) = dns_label(name) {
        errors.push(FieldError::invalid(format!("{at}.name"), &json!(name), &why));
    }
    if text(container, "/image").is_empty() {
        errors.push(FieldError::required(format!("{at}.image"), ""));
    }
    for (index, port) in list(container, "ports") {
        port_number(&format!("{at}.ports[{index}].containerPort"), &port["containerPort"], errors);
    }
    for (index, mount) in list(container, "volumeMounts") {
        let name = text(mount, "/name");
        if !volumes.contains(&name) {
            let field = format!("{at}.volumeMounts[{index}].name");
            errors.push(FieldError::new("FieldValueNotFound", field, format!("Not found: {:?}", name)));
        }
    }
}

fn port_number(field: &str, port: &Value, errors: &mut Vec<FieldError>) {
    if !port.as_i64().is_some_and(|port| (1..=65535).contains(&port)) {
        errors.push(FieldError::invalid(field, port, "must be between 1 and 65535, inclusive"));
    }
}

fn service(spec: &Value, errors: &mut Vec<FieldError>) {
    let kind = text(spec, "/type");
    one_of("spec.type", &spec["type"], &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], errors);
    if kind == "ExternalName" {
        if text(spec, "/externalName").is_empty() {
            errors.push(FieldError::required("spec.externalName", ""));
        }
        return;
    }
    let headless = text(spec, "/clusterIP") == "None";
    let count = list(spec, "ports").count();
    if count == 0 && !headless {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if headless && kind != "ClusterIP" {
        let why = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!("None"), &why));
    }
    let mut names = Vec::new();
    let mut numbers = Vec::new();
    for (index, port) in list(spec, "ports") {
        let at = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() {
            if count > 1 {
                errors.push(FieldError::required(format!("{at}.name"), ""));
            }
        } else if let Some(why) = dns_label(name) {
            errors.push(FieldError::invalid(format!("{at}.name"), &json!(name), &why));
        } else if names.contains(&name) {
            errors.push(FieldError::duplicate(format!("{at}.name"), &json!(name)));
        }
        names.push(name);
        port_number(&format!("{at}.port"), &port["port"], errors);
        one_of(&format!("{at}.protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"], errors);
        if port["targetPort"].is_i64() {
            port_number(&format!("{at}.targetPort"), &port["targetPort"], errors);
        }
        let number = (&port["protocol"], &port["port"]);
        if numbers.contains(&number) {
            let value = json!({ "port": port["port"], "protocol": port["protocol"] });
            errors.push(FieldError::duplicate(at, &value));
        }
        numbers.push(number);
    }
}

fn data_keys(object: &Value, errors: &mut Vec<FieldError>) {
    for field in ["data", "binaryData"] {
        for (key, _) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            let valid = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
            if key.is_empty() || key.len() > 253 || !key.bytes().all(valid) || key == "." || key == ".." {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                     or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                errors.push(FieldError::invalid(format!("{field}[{key}]"), &json!(key), why));
            }
        }
    }
}

fn definition(object: &Value, errors: &mut Vec<FieldError>) {
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    let name = text(object, "/metadata/name");
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &json!(name), why));
    }
    one_of("spec.scope", &object["spec"]["scope"], &["Cluster", "Namespaced"], errors);
    if text(object, "/spec/names/kind").is_empty() {
        errors.push(FieldError::required("spec.names.kind", ""));
    }
    let storage = list(&object["spec"], "versions").filter(|(_, v)| v["storage"] == json!(true)).count();
    if storage != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &object["spec"]["versions"], why));
    }
}
