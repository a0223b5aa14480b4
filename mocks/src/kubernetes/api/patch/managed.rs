//! Sets of fields, and `metadata.managedFields` that says who owns them.
//!
//! Simplified from the real server: ownership is recorded from the first server-side apply of an object on. What the
//! object held before belongs to the manager `before-first-apply`, as on the real server for objects that were made
//! without managed fields; objects that nobody applies carry none, which keeps them small.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::lists::{List, Schema};
use crate::kubernetes::api::object::{metadata_mut, now};

/// One step of a field's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// `f:NAME`.
    Field(String),
    /// `k:{"KEY":VALUE}`: an item of a list with keys.
    Key(BTreeMap<String, String>),
    /// `v:VALUE`: an item of a set. Values are kept as JSON text, which orders.
    Item(String),
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(keys) => {
                let members = keys.iter().map(|(key, value)| format!("{}:{value}", json!(key)));
                format!("k:{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Step::Item(value) => format!("v:{value}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(2)?;
        match kind {
            "f:" => Some(Step::Field(rest.to_owned())),
            "k:" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                Some(Step::Key(keys.into_iter().map(|(key, value)| (key, value.to_string())).collect()))
            }
            "v:" => Some(Step::Item(rest.to_owned())),
            _ => None,
        }
    }

    /// The step to an item of a list with keys. A missing `protocol` is the default one.
    pub(super) fn key(keys: &[String], item: &Value) -> Self {
        let value = |key: &String| match item.get(key) {
            None if key == "protocol" => json!("TCP").to_string(),
            found => found.unwrap_or(&Value::Null).to_string(),
        };
        Step::Key(keys.iter().map(|key| (key.clone(), value(key))).collect())
    }
}

/// A path as the messages of the real server show it: `.spec.containers[name="a"].image`.
pub(super) fn display(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Field(name) => format!(".{name}"),
        Step::Key(keys) => {
            let keys = keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
            format!("[{}]", keys.join(","))
        }
        Step::Item(value) => format!("[={value}]"),
    });
    steps.collect()
}

pub(super) type FieldPath = Vec<Step>;
pub(super) type FieldSet = BTreeSet<FieldPath>;

/// Whether any path of the set is this path or below it.
pub(super) fn covers(set: &FieldSet, path: &[Step]) -> bool {
    set.range(path.to_vec()..).next().is_some_and(|found| found.starts_with(path))
}

/// The leaves of an object with their values, and the items of its lists with keys (with `null`).
pub(super) fn leaves(object: &Value, schema: &Schema<'_>) -> BTreeMap<FieldPath, Value> {
    let mut found = BTreeMap::new();
    let mut walk = Walk { schema, names: Vec::new(), path: Vec::new(), found: &mut found };
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    if ["labels", "annotations", "finalizers", "ownerReferences"].contains(&field.as_str()) {
                        walk.names.push(key);
                        walk.path.push(Step::Field(key.clone()));
                        walk.field(field, value);
                        walk.path.pop();
                        walk.names.pop();
                    }
                }
            }
            _ => walk.field(key, value),
        }
    }
    found
}

struct Walk<'a, 's> {
    schema: &'s Schema<'s>,
    names: Vec<&'a str>,
    path: FieldPath,
    found: &'s mut BTreeMap<FieldPath, Value>,
}

impl<'a> Walk<'a, '_> {
    fn field(&mut self, name: &'a str, value: &'a Value) {
        self.names.push(name);
        self.path.push(Step::Field(name.to_owned()));
        self.value(value);
        self.path.pop();
        self.names.pop();
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Object(map) if !map.is_empty() && !self.schema.is_atomic_map(&self.names) => {
                for (key, value) in map {
                    self.field(key, value);
                }
            }
            Value::Array(items) if !items.is_empty() => match self.schema.list(&self.names) {
                List::Atomic => drop(self.found.insert(self.path.clone(), value.clone())),
                List::Set => {
                    for item in items {
                        self.path.push(Step::Item(item.to_string()));
                        self.found.insert(self.path.clone(), Value::Null);
                        self.path.pop();
                    }
                }
                List::Map(keys) => {
                    for item in items {
                        self.path.push(Step::key(&keys, item));
                        self.found.insert(self.path.clone(), Value::Null);
                        for (key, value) in item.as_object().into_iter().flatten() {
                            self.field(key, value);
                        }
                        self.path.pop();
                    }
                }
            },
            _ => drop(self.found.insert(self.path.clone(), value.clone())),
        }
    }
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: String,
    pub(super) subresource: String,
    pub(super) api_version: String,
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

/// Reads `metadata.managedFields`; what cannot be read is left out.
pub(super) fn managers(object: &Value) -> Vec<Manager> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    entries
        .map(|entry| Manager {
            name: text(entry, "manager"),
            operation: text(entry, "operation"),
            subresource: text(entry, "subresource"),
            api_version: text(entry, "apiVersion"),
            time: text(entry, "time"),
            fields: entry.get("fieldsV1").map(decode_fields).unwrap_or_default(),
        })
        .collect()
}

/// Writes `metadata.managedFields`, without managers that own nothing.
pub(super) fn set_managers(object: &mut Value, managers: &[Manager]) {
    let entries = managers.iter().filter(|manager| !manager.fields.is_empty()).map(|manager| {
        let mut entry = json!({
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": manager.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode_fields(&manager.fields),
        });
        if !manager.subresource.is_empty() {
            entry["subresource"] = json!(manager.subresource);
        }
        entry
    });
    let entries: Vec<Value> = entries.collect();
    if entries.is_empty() {
        metadata_mut(object).shift_remove("managedFields");
    } else {
        metadata_mut(object).insert("managedFields".to_owned(), Value::Array(entries));
    }
}

fn encode_fields(set: &FieldSet) -> Value {
    let mut root = Value::Object(Map::new());
    for path in set {
        let mut at = &mut root;
        for step in path {
            if let Value::Object(map) = at {
                at = map.entry(step.encode()).or_insert_with(|| Value::Object(Map::new()));
            }
        }
        // An item owned for itself, besides its fields.
        if let (Some(Step::Key(_)), Value::Object(map)) = (path.last(), at) {
            map.insert(".".to_owned(), json!({}));
        }
    }
    root
}

fn decode_fields(fields: &Value) -> FieldSet {
    fn walk(node: &Value, path: &mut FieldPath, set: &mut FieldSet) {
        let Some(map) = node.as_object() else { return };
        if (map.is_empty() || map.contains_key(".")) && !path.is_empty() {
            set.insert(path.clone());
        }
        for (key, child) in map {
            if let Some(step) = Step::decode(key) {
                path.push(step);
                walk(child, path, set);
                path.pop();
            }
        }
    }
    let mut set = FieldSet::new();
    walk(fields, &mut Vec::new(), &mut set);
    set
}

/// Records a change that is no apply: the manager takes the fields it changed, and what is gone belongs to nobody.
pub(in super::super) fn track_update(
    old: &Value,
    new: &mut Value,
    manager: &str,
    subresource: &str,
    schema: &Schema<'_>,
) {
    let mut all = managers(old);
    if all.is_empty() {
        metadata_mut(new).shift_remove("managedFields");
        return;
    }
    let (before, after) = (leaves(old, schema), leaves(new, schema));
    let changed: FieldSet =
        after.iter().filter(|(path, value)| before.get(*path) != Some(*value)).map(|(path, _)| path.clone()).collect();
    for other in &mut all {
        other.fields.retain(|path| after.contains_key(path) && !changed.contains(path));
    }
    if !changed.is_empty() {
        let api_version = new.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let same = |entry: &&mut Manager| {
            entry.name == manager && entry.operation == "Update" && entry.subresource == subresource
        };
        match all.iter_mut().find(same) {
            Some(entry) => {
                entry.fields.extend(changed);
                entry.time = now();
            }
            None => all.push(Manager {
                name: manager.to_owned(),
                operation: "Update".to_owned(),
                subresource: subresource.to_owned(),
                api_version,
                time: now(),
                fields: changed,
            }),
        }
    }
    set_managers(new, &all);
}
