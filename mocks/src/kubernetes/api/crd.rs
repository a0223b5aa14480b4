//! CustomResourceDefinitions: the types they add, and their structural schemas.
//!
//! All versions of a type are stored alike: the conversion strategy `None`, which changes the `apiVersion` only. Of a
//! schema, `type`, `properties`, `additionalProperties`, `items`, `required`, `enum`, `minimum`, `maximum`, `minItems`,
//! `minLength`, `default`, `nullable`, `x-kubernetes-int-or-string`, `x-kubernetes-preserve-unknown-fields` and
//! `x-kubernetes-embedded-resource` are honoured; patterns, formats, `oneOf` and the like, and CEL rules are not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{metadata_mut, text};
use super::resources::{NameFormat, ResourceType, ScalePaths, Text, Version};
use super::status::FieldError;

/// Keeps a definition until its custom resources are gone.
pub(super) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Adds the finaliser to a new definition.
pub(super) fn add_finalizer(definition: &mut Value) {
    let finalizers = metadata_mut(definition).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.contains(&json!(FINALIZER))
    {
        list.push(json!(FINALIZER));
    }
}

/// The type that a definition describes; none when it serves no version.
pub(super) fn resource_type(definition: &Value) -> Option<ResourceType> {
    let spec = definition.get("spec")?;
    let own = |pointer: &str| Text::from(text(spec, pointer).to_owned());
    let strings = |pointer: &str| {
        let list = spec.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(|text| Text::from(text.to_owned())).collect()
    };
    let versions = spec.get("versions")?.as_array()?;
    let storage = versions.iter().find(|version| version["storage"] == json!(true))?;
    let mut served: Vec<Version> =
        versions.iter().filter(|version| version["served"] == json!(true)).map(version).collect();
    served.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    if served.is_empty() {
        return None;
    }
    Some(ResourceType {
        group: own("/group"),
        version: text(storage, "/name").to_owned().into(),
        served,
        plural: own("/names/plural"),
        singular: own("/names/singular"),
        kind: own("/names/kind"),
        list_kind: own("/names/listKind"),
        namespaced: text(spec, "/scope") == "Namespaced",
        short_names: strings("/names/shortNames"),
        categories: strings("/names/categories"),
        generation: true,
        names: NameFormat::Subdomain,
        subresources: &[],
        decode: None,
    })
}

fn version(version: &Value) -> Version {
    let scale = version.pointer("/subresources/scale").map(|scale| {
        let pointer = |key: &str| text(scale, key).replace('.', "/");
        ScalePaths {
            spec_replicas: pointer("/specReplicasPath").into(),
            status_replicas: pointer("/statusReplicasPath").into(),
            selector: scale.get("labelSelectorPath").map(|_| pointer("/labelSelectorPath").into()),
        }
    });
    Version {
        name: text(version, "/name").to_owned().into(),
        status: version.pointer("/subresources/status").is_some(),
        scale,
        schema: version.pointer("/schema/openAPIV3Schema").cloned().map(Arc::new),
    }
}

/// Kubernetes' order of versions: stable over beta over alpha, then the higher number.
fn priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, suffix) = rest.split_at(digits);
    let major = major.parse().unwrap_or_default();
    let number = |text: &str| text.parse().unwrap_or_default();
    match (suffix, suffix.strip_prefix("beta"), suffix.strip_prefix("alpha")) {
        ("", _, _) => (3, major, 0),
        (_, Some(minor), _) => (2, major, number(minor)),
        (_, _, Some(minor)) => (1, major, number(minor)),
        _ => (0, 0, 0),
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&json!(true))
}

/// Fills in the defaults of a schema and drops what it does not know, the top level's `apiVersion`, `kind` and
/// `metadata` excepted. Adds the paths of what was dropped.
pub(super) fn default_and_prune(schema: &Value, object: &mut Value, dropped: &mut Vec<String>) {
    prune(schema, object, "", true, dropped);
}

fn prune(schema: &Value, value: &mut Value, path: &str, root: bool, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if let Some(default) = property.get("default")
                    && map.get(name).is_none_or(|value| value.is_null() && !flag(property, "nullable"))
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            let additional = schema.get("additionalProperties");
            let keep = flag(schema, "x-kubernetes-preserve-unknown-fields") || additional == Some(&json!(true));
            let embedded = root || flag(schema, "x-kubernetes-embedded-resource");
            let names: Vec<String> = map.keys().cloned().collect();
            for name in names {
                if embedded && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                    continue;
                }
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let property = properties.and_then(|properties| properties.get(&name));
                match property.or_else(|| additional.filter(|schema| schema.is_object())) {
                    Some(property) => {
                        if let Some(child) = map.get_mut(&name) {
                            prune(property, child, &at, false, dropped);
                        }
                    }
                    None if keep => {}
                    None => {
                        map.shift_remove(&name);
                        dropped.push(at);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune(schema, item, &format!("{path}[{index}]"), false, dropped);
                }
            }
        }
        _ => {}
    }
}

/// Checks a value against a schema.
pub(super) fn validate(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let at = || if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() };
    if value.is_null() {
        if !flag(schema, "nullable") && !path.is_empty() && schema.get("type").is_some() {
            let why = format!("{path} in body must be of type {}: \"null\"", text(schema, "/type"));
            errors.push(FieldError::invalid(at(), &json!("null"), &why));
        }
        return;
    }
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    let right = match text(schema, "/type") {
        _ if int_or_string => value.is_i64() || value.is_u64() || value.is_string(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    };
    if !right {
        let found = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            _ => "integer",
        };
        let expected = if int_or_string { "integer,string" } else { text(schema, "/type") };
        let why = format!("{path} in body must be of type {expected}: {found:?}");
        errors.push(FieldError::new("FieldValueTypeInvalid", at(), format!("Invalid value: {found:?}: {why}")));
        return;
    }
    limits(schema, value, path, errors);
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => {
            for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                let required = required.as_str().unwrap_or_default();
                if !map.contains_key(required) {
                    errors.push(FieldError::required(below(required), ""));
                }
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            let additional = schema.get("additionalProperties").filter(|schema| schema.is_object());
            for (name, child) in map {
                if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                    continue;
                }
                if let Some(schema) = properties.and_then(|properties| properties.get(name)).or(additional) {
                    validate(schema, child, &below(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    validate(schema, item, &format!("{path}[{index}]"), errors);
                }
            }
        }
        _ => {}
    }
}

fn limits(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        errors.push(FieldError::unsupported(path, value, &allowed));
    }
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    let mut wrong = |why: String| errors.push(FieldError::invalid(path, value, &format!("{path} in body {why}")));
    if let Some(number) = value.as_f64() {
        if let Some(minimum) = limit("minimum").filter(|minimum| number < *minimum) {
            wrong(format!("should be greater than or equal to {minimum}"));
        }
        if let Some(maximum) = limit("maximum").filter(|maximum| number > *maximum) {
            wrong(format!("should be less than or equal to {maximum}"));
        }
    }
    let least = |name: &str| schema.get(name).and_then(Value::as_u64);
    if let (Some(items), Some(least)) = (value.as_array(), least("minItems"))
        && (items.len() as u64) < least
    {
        wrong(format!("should have at least {least} items"));
    }
    if let (Some(string), Some(least)) = (value.as_str(), least("minLength"))
        && (string.chars().count() as u64) < least
    {
        wrong(format!("should be at least {least} chars long"));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "required": ["spec"], "properties": { "spec": {
            "type": "object", "required": ["replicas"], "properties": {
                "replicas": { "type": "integer", "minimum": 0 },
                "policy": { "type": "string", "enum": ["A", "B"], "default": "A" },
                "port": { "x-kubernetes-int-or-string": true },
                "config": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                "items": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string" } } } },
            } } } })
    }

    #[test]
    fn defaults_are_filled_in_and_unknown_fields_dropped() {
        let mut object = json!({ "kind": "K", "metadata": { "name": "x" }, "extra": 1, "spec": {
            "replicas": 1, "other": 2, "config": { "any": 1 }, "labels": { "l": "v" }, "items": [{ "a": "1", "b": 2 }],
        } });
        let mut dropped = Vec::new();
        default_and_prune(&schema(), &mut object, &mut dropped);
        assert_eq!(dropped, ["extra", "spec.other", "spec.items[0].b"]);
        assert_eq!(
            object,
            json!({ "kind": "K", "metadata": { "name": "x" }, "spec": {
            "replicas": 1, "config": { "any": 1 }, "labels": { "l": "v" }, "items": [{ "a": "1" }], "policy": "A",
        } })
        );
    }

    #[rstest]
    #[case(json!({ "spec": { "replicas": 1, "port": "http" } }), "")]
    #[case(json!({ "spec": { "replicas": 1, "port": 80 } }), "")]
    #[case(json!({}), "spec: Required value")]
    #[case(json!({ "spec": {} }), "spec.replicas: Required value")]
    #[case(json!({ "spec": { "replicas": "1" } }), r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#)]
    #[case(json!({ "spec": { "replicas": -1 } }), "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0")]
    #[case(json!({ "spec": { "replicas": 1, "policy": "C" } }), r#"spec.policy: Unsupported value: "C": supported values: "A", "B""#)]
    #[case(json!({ "spec": { "replicas": 1, "labels": { "l": 1 } } }), r#"spec.labels.l: Invalid value: "integer": spec.labels.l in body must be of type string: "integer""#)]
    fn validation(#[case] object: Value, #[case] expected: &str) {
        let mut errors = Vec::new();
        validate(&schema(), &object, "", &mut errors);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), expected);
    }

    #[test]
    fn versions_are_ordered_as_kubernetes_does() {
        let mut versions = ["v1alpha1", "v2", "foo", "v1beta2", "v1", "v10", "v1beta1"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}
