//! Objects as they are stored, and access to their metadata.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// One revision of an object. Immutable, shared between the store, lists and watches; serialised once.
#[derive(Debug)]
pub(super) struct Object {
    value: Value,
    revision: u64,
    json: OnceLock<Bytes>,
}

impl Object {
    /// Writes the revision into the metadata.
    pub(super) fn new(mut value: Value, revision: u64) -> Arc<Self> {
        metadata_mut(&mut value).insert("resourceVersion".to_owned(), json!(revision.to_string()));
        Arc::new(Object { value, revision, json: OnceLock::new() })
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// `metadata.resourceVersion`.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(self.value.to_string())).clone()
    }
}

/// The string at a JSON pointer, or `""`.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn name(value: &Value) -> &str {
    meta(value, "name")
}

pub(super) fn namespace(value: &Value) -> &str {
    meta(value, "namespace")
}

pub(super) fn uid(value: &Value) -> &str {
    meta(value, "uid")
}

/// A string of the metadata, or `""`.
pub(super) fn meta<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn is_deleting(value: &Value) -> bool {
    value.get("metadata").and_then(|m| m.get("deletionTimestamp")).is_some()
}

pub(super) fn finalizers(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// Owner references: uid, and whether the owner waits for this object in foreground deletion.
pub(super) fn owners(value: &Value) -> impl Iterator<Item = (&str, bool)> {
    let list = value.get("metadata").and_then(|m| m.get("ownerReferences")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|owner| {
        let blocks = owner.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or_default();
        Some((owner.get("uid")?.as_str()?, blocks))
    })
}

/// The object at a key of an object, made (or put in the place of something else) where it is missing.
pub(super) fn object_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let child = match value {
        Value::Object(map) => map.entry(key).or_insert_with(|| Value::Object(Map::new())),
        other => other,
    };
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    match child {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

pub(super) fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    object_mut(value, "metadata")
}

/// Sets a field unless it is there (and not null).
pub(super) fn default_to(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    match map.get(key) {
        None | Some(Value::Null) => {
            map.insert(key.to_owned(), value.into());
        }
        Some(_) => {}
    }
}

/// The present time as metav1.Time is written: RFC 3339, whole seconds, UTC.
pub(super) fn now() -> String {
    format_time(jiff::Timestamp::now())
}

pub(super) fn format_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
