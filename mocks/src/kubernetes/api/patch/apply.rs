//! Server-side apply.
//!
//! A manager's applied configuration is merged into the object; fields it applied before and leaves out now go, unless
//! another manager owns them; a field that another manager owns with a different value is a conflict, unless forced.
//! Simplified: fields are compared by their leaves, lists and maps merge as [`Schema`] knows (so a custom resource
//! without a list type merges whole lists, as on the real server), fields are not converted between versions, and no
//! ownership is recorded before an object's first apply (`managed.rs`).

use serde_json::{Value, json};

use super::lists::{List, Schema};
use super::managed::{FieldPath, Manager, Step, covers, display, leaves, managers, set_managers};
use crate::kubernetes::api::object::now;
use crate::kubernetes::api::status::ApiError;

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Applier<'a> {
    pub(in super::super) manager: &'a str,
    pub(in super::super) subresource: &'a str,
    pub(in super::super) force: bool,
}

/// The object after an apply. `live` is the present object, if there is one.
pub(in super::super) fn apply(
    live: Option<&Value>,
    config: &Value,
    applier: Applier<'_>,
    schema: &Schema<'_>,
) -> Result<Value, ApiError> {
    if config.pointer("/metadata/managedFields").is_some_and(|fields| fields.as_array().is_none_or(|f| !f.is_empty())) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let api_version = config.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut all = match live {
        Some(live) => first_apply(live, schema, &api_version),
        None => Vec::new(),
    };
    let is_own = |entry: &Manager| {
        entry.name == applier.manager && entry.operation == "Apply" && entry.subresource == applier.subresource
    };
    let own = all.iter().position(is_own).map(|at| all.remove(at));
    let applied = leaves(config, schema);
    if let Some(live) = live {
        settle_conflicts(&applied, &leaves(live, schema), &mut all, applier.force)?;
    }
    let mut result = live.cloned().unwrap_or_else(|| json!({}));
    merge(&mut result, config, schema, &mut Vec::new());
    let fields = applied.into_keys().collect::<std::collections::BTreeSet<_>>();
    if let Some(own) = &own {
        // In order, an item goes before its fields, while its keys are there to find it by.
        for path in &own.fields {
            if !covers(&fields, path) && !all.iter().any(|other| covers(&other.fields, path)) {
                remove(&mut result, path, schema, &mut Vec::new());
            }
        }
    }
    let time = own.as_ref().filter(|own| own.fields == fields).map_or_else(now, |own| own.time.clone());
    all.push(Manager {
        name: applier.manager.to_owned(),
        operation: "Apply".to_owned(),
        subresource: applier.subresource.to_owned(),
        api_version,
        time,
        fields,
    });
    all.sort_by(|a, b| (&a.operation, &a.name, &a.subresource).cmp(&(&b.operation, &b.name, &b.subresource)));
    set_managers(&mut result, &all);
    Ok(result)
}

/// The managers of an object, with one for all that it holds when nobody has applied it before.
fn first_apply(live: &Value, schema: &Schema<'_>, api_version: &str) -> Vec<Manager> {
    let all = managers(live);
    if !all.is_empty() {
        return all;
    }
    vec![Manager {
        name: "before-first-apply".to_owned(),
        operation: "Update".to_owned(),
        subresource: String::new(),
        api_version: api_version.to_owned(),
        time: now(),
        fields: leaves(live, schema).into_keys().collect(),
    }]
}

fn settle_conflicts(
    applied: &std::collections::BTreeMap<FieldPath, Value>,
    live: &std::collections::BTreeMap<FieldPath, Value>,
    others: &mut [Manager],
    force: bool,
) -> Result<(), ApiError> {
    let mut conflicts = Vec::new();
    for (path, value) in applied {
        // An empty map asks only that there be one.
        if live.get(path) == Some(value) || value.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        for other in others.iter_mut().filter(|other| other.fields.contains(path)) {
            if force {
                other.fields.remove(path);
            } else {
                conflicts.push((display(path), other.name.clone()));
            }
        }
    }
    if conflicts.is_empty() { Ok(()) } else { Err(ApiError::apply_conflict(&conflicts)) }
}

fn merge<'c>(target: &mut Value, config: &'c Value, schema: &Schema<'_>, names: &mut Vec<&'c str>) {
    match (config, &mut *target) {
        (Value::Object(config), Value::Object(current)) if names.is_empty() || !schema.is_atomic_map(names) => {
            for (key, value) in config {
                names.push(key);
                match value {
                    Value::Null => drop(current.shift_remove(key)),
                    value => merge(current.entry(key).or_insert(Value::Null), value, schema, names),
                }
                names.pop();
            }
        }
        (Value::Array(items), Value::Array(current)) => match schema.list(names) {
            List::Atomic => *target = config.clone(),
            List::Set => {
                for item in items {
                    if !current.contains(item) {
                        current.push(item.clone());
                    }
                }
            }
            List::Map(keys) => {
                for item in items {
                    let id = Step::key(&keys, item);
                    match current.iter_mut().find(|current| Step::key(&keys, current) == id) {
                        Some(current) => merge(current, item, schema, names),
                        None => current.push(item.clone()),
                    }
                }
            }
        },
        _ => *target = config.clone(),
    }
}

/// Removes the field at a path, and the maps and lists around it that it leaves empty.
fn remove<'p>(target: &mut Value, path: &'p [Step], schema: &Schema<'_>, names: &mut Vec<&'p str>) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, target) {
        (Step::Field(name), Value::Object(map)) => {
            if rest.is_empty() {
                map.shift_remove(name);
                return;
            }
            let Some(child) = map.get_mut(name) else { return };
            names.push(name);
            remove(child, rest, schema, names);
            names.pop();
            if is_empty(child) {
                map.shift_remove(name);
            }
        }
        (step @ Step::Key(_), Value::Array(items)) => {
            let List::Map(keys) = schema.list(names) else { return };
            let Some(at) = items.iter().position(|item| Step::key(&keys, item) == *step) else { return };
            // What an item is found by goes with the item only: another manager may own the rest of it.
            let is_key = matches!(rest, [Step::Field(name)] if keys.contains(name));
            if rest.is_empty() {
                items.remove(at);
            } else if let Some(item) = items.get_mut(at).filter(|_| !is_key) {
                remove(item, rest, schema, names);
            }
        }
        (step @ Step::Item(_), Value::Array(items)) => items.retain(|item| Step::Item(item.to_string()) != *step),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::super::track_update;
    use super::*;

    const DEPLOYMENT: Schema<'static> = Schema::Builtin("Deployment");

    fn by(manager: &str) -> Applier<'_> {
        Applier { manager, subresource: "", force: false }
    }

    fn config(spec: Value) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" }, "spec": spec })
    }

    fn spec(object: &Value) -> &Value {
        &object["spec"]
    }

    #[test]
    fn what_a_manager_leaves_out_goes_unless_another_owns_it() {
        let one = config(json!({ "replicas": 1, "template": { "spec": { "containers": [
            { "name": "a", "image": "1", "env": [{ "name": "X", "value": "1" }] }, { "name": "b" }] } } }));
        let live = apply(None, &one, by("one"), &DEPLOYMENT).unwrap();
        let live = apply(Some(&live), &config(json!({ "replicas": 1 })), by("two"), &DEPLOYMENT).unwrap();
        let less = config(json!({ "template": { "spec": { "containers": [{ "name": "a", "image": "1" }] } } }));
        let live = apply(Some(&live), &less, by("one"), &DEPLOYMENT).unwrap();
        assert_eq!(
            *spec(&live),
            json!({ "replicas": 1, "template": { "spec": { "containers": [{ "name": "a", "image": "1" }] } } })
        );
        let nothing = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" } });
        let live = apply(Some(&live), &nothing, by("two"), &DEPLOYMENT).unwrap();
        assert!(spec(&live).get("replicas").is_none());
        assert_eq!(managers(&live).iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["one"]);
    }

    #[test]
    fn a_field_of_another_manager_is_a_conflict_unless_forced_or_equal() {
        let live = apply(None, &config(json!({ "replicas": 1 })), by("one"), &DEPLOYMENT).unwrap();
        let other = config(json!({ "replicas": 2 }));
        let error = apply(Some(&live), &other, by("two"), &DEPLOYMENT).unwrap_err();
        assert_eq!((error.code, error.reason), (409, "Conflict"));
        insta::assert_snapshot!(error.message, @r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#);
        apply(Some(&live), &config(json!({ "replicas": 1 })), by("two"), &DEPLOYMENT).unwrap();
        let live = apply(Some(&live), &other, Applier { force: true, ..by("two") }, &DEPLOYMENT).unwrap();
        assert_eq!(spec(&live)["replicas"], 2);
        let error = apply(Some(&live), &config(json!({ "replicas": 1 })), by("one"), &DEPLOYMENT).unwrap_err();
        assert!(error.message.contains("\"two\""), "{}", error.message);
    }

    #[test]
    fn an_update_takes_the_fields_it_changes() {
        let live = apply(None, &config(json!({ "replicas": 1, "paused": true })), by("one"), &DEPLOYMENT).unwrap();
        let mut scaled = live.clone();
        scaled["spec"]["replicas"] = json!(3);
        track_update(&live, &mut scaled, "scaler", "", &DEPLOYMENT);
        let error = apply(Some(&scaled), &config(json!({ "replicas": 1 })), by("one"), &DEPLOYMENT).unwrap_err();
        assert!(error.message.contains("conflict with \"scaler\": .spec.replicas"), "{}", error.message);
        // Left out by `one`, which no longer owns it: it stays.
        let live = apply(Some(&scaled), &config(json!({})), by("one"), &DEPLOYMENT).unwrap();
        assert_eq!(*spec(&live), json!({ "replicas": 3 }));
    }

    #[test]
    fn what_was_there_before_the_first_apply_belongs_to_a_manager_of_its_own() {
        let live = config(json!({ "replicas": 1 }));
        let error = apply(Some(&live), &config(json!({ "replicas": 2 })), by("one"), &DEPLOYMENT).unwrap_err();
        assert!(error.message.contains("before-first-apply"), "{}", error.message);
        let live = apply(Some(&live), &config(json!({ "paused": true })), by("one"), &DEPLOYMENT).unwrap();
        assert_eq!(*spec(&live), json!({ "replicas": 1, "paused": true }));
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let ports = json!({ "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] });
        let schema = Schema::Builtin("Service");
        let live = apply(None, &config(ports.clone()), by("one"), &schema).unwrap();
        assert_eq!(apply(Some(&live), &config(ports), by("one"), &schema).unwrap(), live);
    }

    #[test]
    fn a_custom_resource_merges_as_its_schema_says() {
        let root = json!({ "properties": { "spec": { "properties": {
            "byName": { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
            "set": { "x-kubernetes-list-type": "set" }, "plain": {},
        } } } });
        let schema = Schema::Custom(Some(&root));
        let live = config(json!({ "byName": [{ "name": "a" }], "set": ["x"], "plain": [1] }));
        let other = config(json!({ "byName": [{ "name": "b" }], "set": ["y"], "plain": [2] }));
        let force = Applier { force: true, ..by("one") };
        let live = apply(Some(&live), &other, force, &schema).unwrap();
        let expected = json!({ "byName": [{ "name": "a" }, { "name": "b" }], "set": ["x", "y"], "plain": [2] });
        assert_eq!(*spec(&live), expected);
    }
}
