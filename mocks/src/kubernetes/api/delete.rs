//! Deletion: preconditions, propagation, finalisers, grace.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::object::{self, Object, metadata_mut, object_mut, text};
use super::request::{Query, Target};
use super::resources::ResourceType;
use super::status::ApiError;
use super::store::{Key, State};
use super::write::{commit, is_finished, retire};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

/// `DeleteOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeleteOptions {
    pub(super) grace: Option<i64>,
    pub(super) uid: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) propagation: Propagation,
    pub(super) dry_run: bool,
}

/// What becomes of the dependents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    /// From the body, if there is one, and the query.
    pub(super) fn parse(query: &Query, body: &[u8]) -> Result<Self, ApiError> {
        let body = if body.is_empty() { json!({}) } else { super::request::parse_body(body)? };
        let string = |pointer: &str| Some(text(&body, pointer).to_owned()).filter(|text| !text.is_empty());
        let grace = match query.get("gracePeriodSeconds") {
            Some(text) => Some(text.parse().map_err(|_| {
                ApiError::bad_request(format!("gracePeriodSeconds: strconv.ParseInt: parsing {text:?}: invalid syntax"))
            })?),
            None => body.get("gracePeriodSeconds").and_then(Value::as_i64),
        };
        let policy = query.get("propagationPolicy").map(str::to_owned).or_else(|| string("/propagationPolicy"));
        let propagation = match policy.as_deref() {
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some("Background") => Propagation::Background,
            Some(other) => {
                let why = "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
                return Err(ApiError::bad_request(format!("propagationPolicy: Unsupported value: {other:?}: {why}")));
            }
            None if body.get("orphanDependents") == Some(&json!(true)) => Propagation::Orphan,
            None => Propagation::Background,
        };
        let dry_run = query.get("dryRun").is_some() || body.pointer("/dryRun/0").is_some();
        let (uid, revision) = (string("/preconditions/uid"), string("/preconditions/resourceVersion"));
        Ok(DeleteOptions { grace, uid, revision, propagation, dry_run })
    }
}

/// What a deletion did.
#[derive(Debug)]
pub(super) enum Deletion {
    /// The object is gone: as it was last.
    Gone(Arc<Object>),
    /// The object waits for its finalisers or its grace period.
    Pending(Arc<Object>),
}

impl Shared {
    pub(super) fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<Deletion, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let key = target.key(name);
        self.store.with(|state| delete(state, &target.ty, &key, options))
    }
}

/// Deletes an object, or marks it as being deleted.
pub(super) fn delete(
    state: &mut State,
    ty: &ResourceType,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deletion, ApiError> {
    let current = state.get(key).ok_or_else(|| ApiError::not_found(ty, &key.name))?;
    let value = current.value();
    for (what, field, expected) in
        [("UID", "uid", &options.uid), ("ResourceVersion", "resourceVersion", &options.revision)]
    {
        let found = object::meta(value, field);
        if let Some(expected) = expected
            && expected != found
        {
            let why =
                format!("Precondition failed: {what} in precondition: {expected}, {what} in object meta: {found}");
            return Err(ApiError::conflict(ty, &key.name, &why));
        }
    }
    if ty.is("", "Namespace") && IMMORTAL.contains(&key.name.as_str()) {
        return Err(ApiError::forbidden(ty, &key.name, "this namespace may not be deleted"));
    }
    let mut marked = value.clone();
    let grace = grace_period(ty, value, options.grace);
    mark(ty, &mut marked, grace, options.propagation);
    if options.dry_run {
        return Ok(Deletion::Gone(current));
    }
    if is_finished(&marked) {
        // The last state that watches see is the one before the mark.
        let removed = retire(state, ty, key, value.clone());
        return Ok(Deletion::Gone(removed.unwrap_or(current)));
    }
    if marked == *value {
        return Ok(Deletion::Pending(current));
    }
    Ok(Deletion::Pending(commit(state, ty, key, marked)))
}

/// Seconds a pod has to stop; zero for all else, and for pods that no node runs or that have ended.
fn grace_period(ty: &ResourceType, value: &Value, asked: Option<i64>) -> i64 {
    if !ty.is("", "Pod") {
        return 0;
    }
    if text(value, "/spec/nodeName").is_empty() || ["Succeeded", "Failed"].contains(&text(value, "/status/phase")) {
        return 0;
    }
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked.or(own).unwrap_or(30).max(0)
}

fn mark(ty: &ResourceType, value: &mut Value, grace: i64, propagation: Propagation) {
    let deleting = object::is_deleting(value);
    let metadata = metadata_mut(value);
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    // A second deletion may shorten the grace period, not lengthen it.
    if !deleting || before.is_some_and(|before| grace < before) {
        let seconds = u64::try_from(grace).unwrap_or_default();
        let time = jiff::Timestamp::now().checked_add(Duration::from_secs(seconds)).unwrap_or(jiff::Timestamp::MAX);
        metadata.insert("deletionTimestamp".to_owned(), json!(object::format_time(time)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    let mut finalizers: Vec<String> = object::finalizers(value).map(str::to_owned).collect();
    finalizers.retain(|finalizer| finalizer != "orphan" && finalizer != "foregroundDeletion");
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push("foregroundDeletion".to_owned()),
        Propagation::Orphan => finalizers.push("orphan".to_owned()),
    }
    let metadata = metadata_mut(value);
    if finalizers.is_empty() {
        metadata.shift_remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
    if ty.is("", "Namespace") {
        object_mut(value, "status").insert("phase".to_owned(), json!("Terminating"));
    }
}
