//! What the controller manager of a real cluster does for deletion: the namespace controller, the garbage collector, and
//! the finaliser of custom resources. One task, woken by the store, never by time.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::crd;
use super::delete::{DeleteOptions, Propagation, delete};
use super::object::{self, metadata_mut, object_mut, text};
use super::store::{Key, State, Work};
use super::write::{commit, is_finished, retire};

/// Works until the token is cancelled.
pub(super) async fn run(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>, stop: CancellationToken) {
    while let Some(Some(work)) = stop.run_until_cancelled(work.recv()).await {
        shared.store.with(|state| match work {
            Work::OwnerGone(uid) => owner_gone(state, &uid),
            Work::Created(key) => collect_if_orphaned(state, &key),
            Work::Finalizing(key) => finalize(state, &key),
            Work::Namespace(name) => namespace(state, &name),
            Work::Definition(name) => definition(state, &name),
        });
    }
}

fn owner_gone(state: &mut State, uid: &str) {
    for key in state.dependents(uid) {
        collect_if_orphaned(state, &key);
    }
}

/// Deletes an object none of whose owners exists; otherwise drops the references to those that do not.
fn collect_if_orphaned(state: &mut State, key: &Key) {
    let Some(current) = state.get(key) else { return };
    let owners: Vec<String> = object::owners(current.value()).map(|(uid, _)| uid.to_owned()).collect();
    let (alive, gone): (Vec<String>, Vec<String>) = owners.into_iter().partition(|uid| state.by_uid(uid).is_some());
    if gone.is_empty() {
        return;
    }
    if alive.is_empty() {
        remove(state, key, Propagation::Background);
    } else {
        release(state, key, &gone);
    }
}

/// Drops owner references.
fn release(state: &mut State, key: &Key, uids: &[String]) {
    change(state, key, |value| {
        let metadata = metadata_mut(value);
        if let Some(owners) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|owner| !uids.iter().any(|uid| text(owner, "/uid") == uid));
            if owners.is_empty() {
                metadata.shift_remove("ownerReferences");
            }
        }
    });
}

/// The `orphan` and `foregroundDeletion` finalisers.
fn finalize(state: &mut State, key: &Key) {
    let Some(current) = state.get(key) else { return };
    let value = current.value();
    if !object::is_deleting(value) {
        return;
    }
    let uid = object::uid(value).to_owned();
    let has = |finalizer: &str| object::finalizers(value).any(|found| found == finalizer);
    if has("orphan") {
        for dependent in state.dependents(&uid) {
            release(state, &dependent, std::slice::from_ref(&uid));
        }
        drop_finalizer(state, key, "orphan");
    } else if has("foregroundDeletion") {
        for dependent in state.dependents(&uid) {
            let Some(object) = state.get(&dependent) else { continue };
            if !object::is_deleting(object.value()) {
                let nested = !state.dependents(object::uid(object.value())).is_empty();
                remove(state, &dependent, if nested { Propagation::Foreground } else { Propagation::Background });
            }
        }
        let blocked = state
            .dependents(&uid)
            .iter()
            .filter_map(|dependent| state.get(dependent))
            .any(|dependent| object::owners(dependent.value()).any(|(owner, blocks)| owner == uid && blocks));
        if !blocked {
            drop_finalizer(state, key, "foregroundDeletion");
        }
    }
}

/// Empties a namespace that is being deleted, then finalises it.
fn namespace(state: &mut State, name: &str) {
    let Some((table, _)) = state.resolve("", "namespaces") else { return };
    let key = Key { table, namespace: String::new(), name: name.to_owned() };
    let Some(current) = state.get(&key) else { return };
    if !object::is_deleting(current.value()) {
        return;
    }
    for content in state.content(name) {
        if state.get(&content).is_some_and(|object| !object::is_deleting(object.value())) {
            remove(state, &content, Propagation::Background);
        }
    }
    if state.content(name).is_empty() {
        change(state, &key, |value| {
            let spec = object_mut(value, "spec");
            if let Some(finalizers) = spec.get_mut("finalizers").and_then(Value::as_array_mut) {
                finalizers.retain(|finalizer| *finalizer != json!("kubernetes"));
            }
        });
    }
}

/// Deletes the custom resources of a definition that is being deleted, then finalises it.
fn definition(state: &mut State, name: &str) {
    let Some((table, _)) = state.resolve("apiextensions.k8s.io", "customresourcedefinitions") else { return };
    let key = Key { table, namespace: String::new(), name: name.to_owned() };
    let Some(current) = state.get(&key) else { return };
    let value = current.value();
    if !object::is_deleting(value) {
        return;
    }
    let (group, plural) = (text(value, "/spec/group"), text(value, "/spec/names/plural"));
    if let Some((custom, _)) = state.resolve(group, plural) {
        let all: Vec<(Key, bool)> = state
            .scan(custom, None, None)
            .map(|object| {
                let value = object.value();
                let (namespace, name) = (object::namespace(value).to_owned(), object::name(value).to_owned());
                (Key { table: custom, namespace, name }, object::is_deleting(value))
            })
            .collect();
        for (key, _) in all.iter().filter(|(_, deleting)| !deleting) {
            remove(state, key, Propagation::Background);
        }
        if state.scan(custom, None, None).next().is_some() {
            return;
        }
    }
    drop_finalizer(state, &key, crd::FINALIZER);
}

fn remove(state: &mut State, key: &Key, propagation: Propagation) {
    let Some(ty) = state.ty(key.table) else { return };
    // Gone already, or protected: nothing to collect.
    let _ = delete(state, &ty, key, &DeleteOptions { propagation, ..DeleteOptions::default() });
}

fn drop_finalizer(state: &mut State, key: &Key, finalizer: &str) {
    change(state, key, |value| {
        let metadata = metadata_mut(value);
        if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|found| *found != json!(finalizer));
            if finalizers.is_empty() {
                metadata.shift_remove("finalizers");
            }
        }
    });
}

/// Stores a changed object, or removes it when it waited for nothing else.
fn change(state: &mut State, key: &Key, change: impl FnOnce(&mut Value)) {
    let (Some(current), Some(ty)) = (state.get(key), state.ty(key.table)) else { return };
    let mut value = current.value().clone();
    change(&mut value);
    if is_finished(&value) {
        retire(state, &ty, key, value);
    } else if value != *current.value() {
        commit(state, &ty, key, value);
    }
}
