//! Deletion: at once, gracefully for pods, or held by finalisers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::object::{self, Object, metadata_mut, object_mut, text};
use super::request::{Request, Target, parse_body};
use super::resources::ResourceType;
use super::status::ApiError;
use super::store::{Key, State};
use super::write::{commit, is_finished, retire};

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(super) struct DeleteOptions {
    pub(super) grace: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub(super) propagation: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) dry_run: bool,
}

/// What a deletion came to.
pub(super) enum Deleted {
    /// The object is gone.
    Gone(Arc<Object>),
    /// It is being deleted.
    Going(Arc<Object>),
}

impl DeleteOptions {
    /// From the body (`DeleteOptions`) and the query, which may both have them.
    pub(super) fn of(request: &Request) -> Result<Self, ApiError> {
        let body = if request.body.is_empty() { Value::Null } else { parse_body(&request.body)? };
        let owned = |pointer: &str| Some(text(&body, pointer).to_owned()).filter(|it| !it.is_empty());
        let grace = match body.get("gracePeriodSeconds").and_then(Value::as_i64) {
            Some(grace) => Some(grace),
            None => request.query.number("gracePeriodSeconds")?.and_then(|it| i64::try_from(it).ok()),
        };
        let orphan = body.get("orphanDependents").and_then(Value::as_bool).unwrap_or_default();
        Ok(Self {
            grace,
            propagation: owned("/propagationPolicy")
                .or_else(|| request.query.get("propagationPolicy").map(str::to_owned))
                .or_else(|| orphan.then(|| "Orphan".to_owned())),
            uid: owned("/preconditions/uid"),
            revision: owned("/preconditions/resourceVersion"),
            dry_run: request.query.get("dryRun").is_some() || body.get("dryRun").is_some_and(|it| !it.is_null()),
        })
    }
}

impl Shared {
    /// Deletes the object that a target names.
    pub(super) fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        self.delete_key(&target.ty, &target.key(name), options)
    }

    pub(super) fn delete_key(
        &self,
        ty: &ResourceType,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        self.store.with(|state| delete(state, ty, key, options))
    }
}

fn delete(state: &mut State, ty: &ResourceType, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
    let Some(found) = state.get(key) else { return Err(ApiError::not_found(ty, &key.name)) };
    let value = found.value();
    for (what, wanted, is) in [
        ("UID", &options.uid, object::uid(value)),
        ("ResourceVersion", &options.revision, object::meta(value, "resourceVersion")),
    ] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != is) {
            let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
            return Err(ApiError::conflict(ty, &key.name, &why));
        }
    }
    let mut changed = value.clone();
    mark(ty, &mut changed, options);
    if options.dry_run {
        return Ok(Deleted::Going(Object::new(changed, found.revision())));
    }
    if is_finished(&changed) {
        return match retire(state, ty, key, value.clone()) {
            Some(gone) => Ok(Deleted::Gone(gone)),
            None => Err(ApiError::not_found(ty, &key.name)),
        };
    }
    if changed == *value {
        return Ok(Deleted::Going(found));
    }
    Ok(Deleted::Going(commit(state, ty, key, changed)))
}

/// Marks an object as being deleted, with the finalisers that the propagation asks for.
fn mark(ty: &ResourceType, value: &mut Value, options: &DeleteOptions) {
    let grace = grace_period(ty, value, options.grace);
    let namespace = ty.is("", "Namespace");
    let metadata = metadata_mut(value);
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    let is_new = !metadata.contains_key("deletionTimestamp");
    // A second request can only make it quicker.
    if is_new || before.is_some_and(|before| grace < before) {
        let at = jiff::Timestamp::now()
            .saturating_add(jiff::SignedDuration::from_secs(grace))
            .unwrap_or(jiff::Timestamp::MAX);
        metadata.insert("deletionTimestamp".to_owned(), json!(object::format_time(at)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
    }
    let finalizer = match options.propagation.as_deref() {
        Some("Foreground") => Some("foregroundDeletion"),
        Some("Orphan") => Some("orphan"),
        _ => None,
    };
    if let Some(finalizer) = finalizer.filter(|_| is_new) {
        let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(json!(finalizer));
        }
    }
    if namespace {
        object_mut(value, "status").insert("phase".to_owned(), json!("Terminating"));
    }
}

/// Seconds until a pod may be gone: what is asked for, else what its spec says. A pod that no node runs goes at once.
fn grace_period(ty: &ResourceType, value: &Value, asked: Option<i64>) -> i64 {
    if !ty.is("", "Pod") {
        return 0;
    }
    let idle =
        text(value, "/spec/nodeName").is_empty() || ["Succeeded", "Failed"].contains(&text(value, "/status/phase"));
    if idle {
        return 0;
    }
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    asked.unwrap_or(own).max(0)
}
