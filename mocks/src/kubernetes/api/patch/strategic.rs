//! Strategic merge patch, as `k8s.io/apimachinery/pkg/util/strategicpatch` defines it.
//!
//! Own code because no crate has it: `kube` leaves it to the server, and `json-patch` knows the RFCs only. What `kubectl
//! apply`, `kubectl edit` and `kube::api::Patch::Strategic` send is understood: merge keys, `$patch`, `$retainKeys`,
//! `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`.

use serde_json::{Map, Value};

use super::lists::{List, Schema};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into an object. Says what is wrong with a patch that cannot be.
pub(super) fn merge(target: &mut Value, patch: &Value, schema: &Schema<'_>) -> Result<(), String> {
    let Value::Object(patch) = patch else { return Err("a strategic merge patch is a JSON object".to_owned()) };
    let mut path = Vec::new();
    let current = match target.take() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    *target = Value::Object(merge_map(current, patch, schema, &mut path)?);
    Ok(())
}

fn merge_map<'p>(
    mut target: Map<String, Value>,
    patch: &'p Map<String, Value>,
    schema: &Schema<'_>,
    path: &mut Vec<&'p str>,
) -> Result<Map<String, Value>, String> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => return Ok(cleaned(patch)),
        Some("delete") => return Ok(Map::new()),
        Some(other) => return Err(format!("unknown patch type found: {other}")),
    }
    if let Some(retained) = patch.get(RETAIN_KEYS) {
        let retained = retained.as_array().ok_or("$retainKeys is a list")?;
        target.retain(|key, _| retained.iter().any(|retained| retained == key));
    }
    for (key, change) in patch {
        if key == DIRECTIVE || key == RETAIN_KEYS {
            continue;
        }
        if let Some(field) = key.strip_prefix(ORDER) {
            // With changes to its items as well, the list is ordered when they are merged.
            if !patch.contains_key(field) {
                path.push(field);
                if let Some(Value::Array(items)) = target.get_mut(field) {
                    let before = items.clone();
                    reorder(items, change, &before, &schema.list(path));
                }
                path.pop();
            }
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_PRIMITIVES) {
            let gone = change.as_array().ok_or("$deleteFromPrimitiveList is a list")?;
            if let Some(Value::Array(items)) = target.get_mut(field) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        path.push(key);
        let order = patch.get(&format!("{ORDER}{key}"));
        match (change, target.get_mut(key)) {
            (Value::Null, _) => drop(target.shift_remove(key)),
            (Value::Object(change), Some(Value::Object(current))) => {
                *current = merge_map(std::mem::take(current), change, schema, path)?;
                // `$patch: delete` on a map removes the map.
                if change.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
                    target.shift_remove(key);
                }
            }
            (Value::Object(change), _) => {
                if change.get(DIRECTIVE).is_none_or(|directive| directive != "delete") {
                    let made = merge_map(Map::new(), change, schema, path)?;
                    target.insert(key.clone(), Value::Object(made));
                }
            }
            (Value::Array(change), Some(Value::Array(current))) => {
                *current = merge_list(std::mem::take(current), change, order, schema, path)?;
            }
            (Value::Array(change), _) => {
                let made = merge_list(Vec::new(), change, order, schema, path)?;
                target.insert(key.clone(), Value::Array(made));
            }
            (scalar, _) => drop(target.insert(key.clone(), scalar.clone())),
        }
        path.pop();
    }
    Ok(target)
}

/// A map taken as it is, without its directive.
fn cleaned(patch: &Map<String, Value>) -> Map<String, Value> {
    patch.iter().filter(|(key, _)| *key != DIRECTIVE).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn merge_list<'p>(
    mut target: Vec<Value>,
    patch: &'p [Value],
    order: Option<&Value>,
    schema: &Schema<'_>,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, String> {
    let list = schema.list(path);
    let directive = |item: &Value, of: &str| item.get(DIRECTIVE).is_some_and(|directive| directive == of);
    if patch.iter().any(|item| directive(item, "replace")) {
        let items = patch
            .iter()
            .filter(|item| item.as_object().is_none_or(|map| map.len() > 1 || !map.contains_key(DIRECTIVE)));
        return Ok(items
            .map(|item| item.as_object().map_or_else(|| item.clone(), |map| Value::Object(cleaned(map))))
            .collect());
    }
    let before = target.clone();
    match &list {
        List::Atomic => return Ok(patch.to_vec()),
        List::Set => {
            for item in patch {
                if !target.contains(item) {
                    target.push(item.clone());
                }
            }
        }
        List::Map(keys) => {
            let Some(key) = keys.first() else { return Ok(patch.to_vec()) };
            for item in patch {
                let Value::Object(change) = item else {
                    return Err(format!("an item of {} is no object", path.join(".")));
                };
                let Some(id) = change.get(key) else {
                    return Err(format!("map: {item} does not contain declared merge key: {key}"));
                };
                let at = target.iter().position(|current| current.get(key) == Some(id));
                match (at, directive(item, "delete")) {
                    (_, true) => target.retain(|current| current.get(key) != Some(id)),
                    (Some(at), false) => {
                        if let Some(Value::Object(current)) = target.get_mut(at) {
                            *current = merge_map(std::mem::take(current), change, schema, path)?;
                        }
                    }
                    (None, false) => target.push(Value::Object(merge_map(Map::new(), change, schema, path)?)),
                }
            }
        }
    }
    if let Some(order) = order {
        reorder(&mut target, order, &before, &list);
    }
    Ok(target)
}

/// Puts the items that the order names into that order; those it does not name, which only the server has, stay before
/// the named items that followed them there.
fn reorder(items: &mut Vec<Value>, order: &Value, before: &[Value], list: &List) {
    let Some(order) = order.as_array() else { return };
    let key = match list {
        List::Map(keys) => keys.first().map(String::as_str),
        _ => None,
    };
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned().unwrap_or_default(),
        None => item.clone(),
    };
    let order: Vec<Value> = order.iter().map(&id).collect();
    let rank = |item: &Value| order.iter().position(|of| *of == id(item));
    let place = |item: &Value| before.iter().position(|of| id(of) == id(item));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| rank(item).is_some());
    named.sort_by_key(&rank);
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.next_if(|other| match (place(other), place(&item)) {
            (Some(other), Some(item)) => other < item,
            _ => false,
        }) {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const POD: Schema<'static> = Schema::Builtin("Pod");

    fn pod(containers: Value) -> Value {
        json!({ "spec": { "containers": containers } })
    }

    #[rstest]
    #[case::changes_one(json!([{ "name": "b", "image": "2" }]), json!([{ "name": "a" }, { "name": "b", "image": "2" }]))]
    #[case::adds(json!([{ "name": "c" }]), json!([{ "name": "a" }, { "name": "b", "image": "1" }, { "name": "c" }]))]
    #[case::deletes(json!([{ "name": "a", "$patch": "delete" }]), json!([{ "name": "b", "image": "1" }]))]
    #[case::replaces(json!([{ "$patch": "replace" }, { "name": "x" }]), json!([{ "name": "x" }]))]
    #[case::unsets(json!([{ "name": "b", "image": null }]), json!([{ "name": "a" }, { "name": "b" }]))]
    fn lists_with_keys(#[case] patch: Value, #[case] expected: Value) {
        let mut object = pod(json!([{ "name": "a" }, { "name": "b", "image": "1" }]));
        merge(&mut object, &pod(patch), &POD).unwrap();
        assert_eq!(object, pod(expected));
    }

    #[test]
    fn order_is_kept_around_what_only_the_server_has() {
        let mut object = pod(json!([{ "name": "a" }, { "name": "injected" }, { "name": "b" }]));
        let patch = json!({ "spec": { "$setElementOrder/containers": [{ "name": "c" }, { "name": "b" }, { "name": "a" }],
            "containers": [{ "name": "c" }] } });
        merge(&mut object, &patch, &POD).unwrap();
        assert_eq!(object, pod(json!([{ "name": "c" }, { "name": "injected" }, { "name": "b" }, { "name": "a" }])));
    }

    #[test]
    fn directives_on_maps_and_primitive_lists() {
        let mut object = json!({
            "metadata": { "finalizers": ["a/a", "b/b"], "labels": { "x": "1" } },
            "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": {} }, "selector": { "a": "b" } },
        });
        let patch = json!({
            "metadata": { "$deleteFromPrimitiveList/finalizers": ["a/a"], "finalizers": ["c/c"],
                "labels": { "$patch": "replace", "y": "2" } },
            "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" }, "selector": { "$patch": "delete" } },
        });
        merge(&mut object, &patch, &Schema::Builtin("Deployment")).unwrap();
        assert_eq!(
            object,
            json!({
                "metadata": { "finalizers": ["b/b", "c/c"], "labels": { "y": "2" } },
                "spec": { "strategy": { "type": "Recreate" } },
            })
        );
    }

    #[rstest]
    #[case(json!([]))]
    #[case(json!({ "$patch": "unknown" }))]
    #[case(pod(json!([{ "image": "no name" }])))]
    #[case(pod(json!(["no object"])))]
    fn bad_patches(#[case] patch: Value) {
        assert!(merge(&mut pod(json!([])), &patch, &POD).is_err());
    }

    /// The patch from one object to another as `CreateTwoWayMergePatch` makes it.
    fn diff<'a>(from: &'a Value, to: &'a Value, path: &mut Vec<&'a str>) -> Value {
        let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
        let mut patch = Map::new();
        for key in from.keys().filter(|key| !to.contains_key(*key)) {
            patch.insert(key.clone(), Value::Null);
        }
        for (key, value) in to {
            path.push(key);
            match (from.get(key), value, POD.list(path)) {
                (Some(old), value, _) if old == value => {}
                (Some(Value::Array(old)), Value::Array(new), List::Map(keys)) => {
                    let id = |item: &Value| item.get(&keys[0]).cloned().unwrap();
                    let mut items = Vec::new();
                    for item in old.iter().filter(|item| !new.iter().any(|new| id(new) == id(item))) {
                        items.push(json!({ &keys[0]: id(item), "$patch": "delete" }));
                    }
                    for item in new {
                        let mut change = match old.iter().find(|old| id(old) == id(item)) {
                            Some(old) => diff(old, item, path),
                            None => item.clone(),
                        };
                        change[&keys[0]] = id(item);
                        items.push(change);
                    }
                    let order = new.iter().map(|item| json!({ &keys[0]: id(item) })).collect();
                    patch.insert(format!("{ORDER}{key}"), order);
                    patch.insert(key.clone(), Value::Array(items));
                }
                (Some(old @ Value::Object(_)), Value::Object(_), _) => {
                    patch.insert(key.clone(), diff(old, value, path));
                }
                (_, value, _) => drop(patch.insert(key.clone(), value.clone())),
            }
            path.pop();
        }
        Value::Object(patch)
    }

    fn named(extra: impl Strategy<Value = BTreeMap<String, Value>>) -> impl Strategy<Value = Value> {
        let items = prop::collection::btree_map("[a-e]", extra, 0..4);
        (items, any::<bool>()).prop_map(|(items, reverse)| {
            let mut list: Vec<Value> = items
                .into_iter()
                .map(|(name, extra)| {
                    let mut item = json!({ "name": name });
                    item.as_object_mut().unwrap().extend(extra);
                    item
                })
                .collect();
            if reverse {
                list.reverse();
            }
            Value::Array(list)
        })
    }

    fn spec() -> impl Strategy<Value = Value> {
        let env = named(prop::collection::btree_map("value", "[a-c]".prop_map(|v| json!(v)), 0..2));
        let field = prop_oneof![
            env.prop_map(|env| ("env".to_owned(), env)),
            "[a-c]".prop_map(|image| ("image".to_owned(), json!(image))),
            prop::collection::vec("[a-c]", 0..3).prop_map(|args| ("args".to_owned(), json!(args))),
        ];
        let container = prop::collection::vec(field, 0..3).prop_map(|fields| fields.into_iter().collect());
        let tolerations = prop::collection::vec("[a-c]".prop_map(|key| json!({ "key": key })), 0..3);
        (named(container), tolerations, prop::option::of("[a-b]")).prop_map(|(containers, tolerations, node)| {
            let mut spec = json!({ "containers": containers, "tolerations": tolerations });
            if let Some(node) = node {
                spec["nodeName"] = json!(node);
            }
            json!({ "spec": spec })
        })
    }

    proptest! {
        #[test]
        fn a_patch_from_a_difference_gives_the_target(from in spec(), to in spec()) {
            let patch = diff(&from, &to, &mut Vec::new());
            let mut patched = from.clone();
            merge(&mut patched, &patch, &POD).unwrap();
            prop_assert_eq!(patched, to, "{}", patch);
        }
    }
}
