//! CustomResourceDefinitions: the types that they add, and structural schemas.
//!
//! Of a schema, `type`, `required`, `properties`, `additionalProperties`, `items`, `enum`, `minimum`, `maximum`,
//! `default`, `nullable`, `x-kubernetes-preserve-unknown-fields` and `x-kubernetes-int-or-string` are honoured; CEL rules,
//! patterns and formats are not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::object::{metadata_mut, object_mut, text};
use super::resources::{NameFormat, ResourceType, ScalePaths, Version};
use super::status::FieldError;
use super::store::Key;

/// The finaliser that keeps a definition until its objects are gone.
pub(super) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) fn add_finalizer(definition: &mut Value) {
    let finalizers = metadata_mut(definition).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.iter().any(|it| it == FINALIZER)
    {
        list.push(json!(FINALIZER));
    }
}

/// The type that a definition describes.
pub(super) fn resource_type(definition: &Value) -> Option<ResourceType> {
    let spec = definition.get("spec")?;
    let names = spec.get("names")?;
    let owned = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |value: &Value, key: &str| {
        let items = value.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|it| it.as_str().map(|text| text.to_owned().into())).collect()
    };
    let kind = owned(names, "kind");
    let versions: Vec<&Value> = spec.get("versions").and_then(Value::as_array)?.iter().collect();
    let storage = versions.iter().find(|it| it["storage"] == true).or(versions.first())?;
    let served = versions.iter().filter(|it| it["served"] != false).map(|it| Version {
        name: owned(it, "name").into(),
        status: it.pointer("/subresources/status").is_some(),
        scale: it.pointer("/subresources/scale").map(|scale| ScalePaths {
            spec_replicas: pointer(&owned(scale, "specReplicasPath")).into(),
            status_replicas: pointer(&owned(scale, "statusReplicasPath")).into(),
            selector: scale.get("labelSelectorPath").and_then(Value::as_str).map(|it| pointer(it).into()),
        }),
        schema: it.pointer("/schema/openAPIV3Schema").cloned().map(Arc::new),
    });
    let list_kind = owned(names, "listKind");
    Some(ResourceType {
        group: owned(spec, "group").into(),
        version: owned(storage, "name").into(),
        served: served.collect(),
        plural: owned(names, "plural").into(),
        singular: match owned(names, "singular") {
            singular if singular.is_empty() => kind.to_lowercase().into(),
            singular => singular.into(),
        },
        list_kind: if list_kind.is_empty() { format!("{kind}List").into() } else { list_kind.into() },
        kind: kind.into(),
        namespaced: spec.get("scope").and_then(Value::as_str) != Some("Cluster"),
        short_names: list(names, "shortNames"),
        categories: list(names, "categories"),
        generation: true,
        names: NameFormat::Subdomain,
        subresources: &[],
        decode: None,
    })
}

/// `.spec.replicas` as a JSON pointer.
fn pointer(path: &str) -> String {
    path.replace('.', "/")
}

impl Shared {
    /// Says that a definition's names are accepted and that it is established, as the API server does at once when
    /// nothing is in conflict.
    pub(super) fn establish(&self, key: &Key) {
        self.store.with(|state| {
            let Some(found) = state.get(key) else { return };
            let mut definition = found.value().clone();
            let now = super::object::now();
            let condition = |kind: &str, reason: &str, message: &str| {
                json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now })
            };
            let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
            let stored = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
            let stored: Vec<Value> = stored.filter(|it| it["storage"] == true).map(|it| it["name"].clone()).collect();
            let status = object_mut(&mut definition, "status");
            status.insert("acceptedNames".to_owned(), names);
            status.insert("storedVersions".to_owned(), Value::Array(stored));
            let conditions = json!([
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]);
            status.insert("conditions".to_owned(), conditions);
            state.put(key, definition);
        });
    }
}

fn preserves(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Sets defaults and drops what the schema does not have, noting its paths.
pub(super) fn default_and_prune(schema: &Value, value: &mut Value, unknown: &mut Vec<String>) {
    walk(schema, value, "", unknown);
}

fn walk(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if let Some(default) = property.get("default")
                    && map.get(name).is_none_or(|it| it.is_null() && property["nullable"] != true)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                // The server's own fields are in no schema.
                if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                    continue;
                }
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let known = properties
                    .and_then(|it| it.get(&name))
                    .or_else(|| schema.get("additionalProperties").filter(|it| it.is_object()));
                match known {
                    Some(known) => {
                        if let Some(child) = map.get_mut(&name) {
                            walk(known, child, &below, unknown);
                        }
                    }
                    None if preserves(schema) || schema["additionalProperties"] == true => {}
                    // A schema without a shape takes everything.
                    None if properties.is_none() && schema.get("type").is_none() => {}
                    None => {
                        map.shift_remove(&name);
                        unknown.push(below);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

/// Checks an object against a schema.
pub(super) fn validate(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if !has_type(schema, value) {
        let wanted = text(schema, "/type");
        errors.push(FieldError::new(
            "FieldValueTypeInvalid",
            path,
            format!("Invalid value: {value}: must be of type {wanted}"),
        ));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let list: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        errors.push(FieldError::unsupported(path, value, &list));
    }
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(found) = value.as_f64() {
        if number("minimum").is_some_and(|minimum| found < minimum) {
            let why = format!("should be greater than or equal to {}", schema["minimum"]);
            errors.push(FieldError::invalid(path, value, &why));
        }
        if number("maximum").is_some_and(|maximum| found > maximum) {
            errors.push(FieldError::invalid(
                path,
                value,
                &format!("should be less than or equal to {}", schema["maximum"]),
            ));
        }
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(map) = value.as_object() {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                errors.push(FieldError::required(below(name), ""));
            }
        }
        for (name, child) in map {
            let known = schema.pointer(&format!("/properties/{}", name.replace('~', "~0").replace('/', "~1")));
            let known = known.or_else(|| schema.get("additionalProperties").filter(|it| it.is_object()));
            if let Some(known) = known {
                validate(known, child, &below(name), errors);
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            validate(schema, item, &format!("{path}[{index}]"), errors);
        }
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_string();
    }
    match text(schema, "/type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}
