//! The collector: owner references, the contents of deleted namespaces, the objects of deleted definitions. Driven by
//! what the store tells it, never by the clock.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::Shared;
use super::crd::FINALIZER;
use super::delete::DeleteOptions;
use super::object::{self, metadata_mut, object_mut, text};
use super::store::{Key, State, Work};
use super::write::{is_finished, retire};

/// Collects until the server stops.
pub(super) async fn collect(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) {
    loop {
        let next = tokio::select! {
            next = work.recv() => next,
            () = shared.stop.cancelled() => return,
        };
        match next {
            Some(Work::OwnerGone(uid)) => owner_gone(&shared, &uid),
            Some(Work::Created(key)) => created(&shared, &key),
            Some(Work::Finalizing(key)) => finalizing(&shared, &key),
            Some(Work::Namespace(name)) => namespace(&shared, &name),
            Some(Work::Definition(name)) => definition(&shared, &name),
            None => return,
        }
    }
}

/// Deletes without asking further. What is gone already is as good.
fn delete(shared: &Shared, key: &Key, propagation: Option<&str>) {
    let Some(ty) = shared.store.with(|state| state.ty(key.table)) else { return };
    let options = DeleteOptions { propagation: propagation.map(str::to_owned), ..DeleteOptions::default() };
    let _ = shared.delete_key(&ty, key, &options);
}

/// Owners that exist, of an object.
fn living_owners(state: &State, value: &Value) -> usize {
    object::owners(value).filter(|(uid, _)| state.by_uid(uid).is_some()).count()
}

fn owner_gone(shared: &Shared, uid: &str) {
    for key in shared.store.with(|state| state.dependents(uid)) {
        let alive = shared.store.with(|state| {
            let found = state.get(&key)?;
            Some(living_owners(state, found.value()))
        });
        match alive {
            Some(0) => delete(shared, &key, None),
            Some(_) => drop_owner(shared, &key, uid),
            None => {}
        }
    }
}

fn drop_owner(shared: &Shared, key: &Key, uid: &str) {
    shared.store.with(|state| {
        let Some(found) = state.get(key) else { return };
        let mut value = found.value().clone();
        if let Some(owners) = metadata_mut(&mut value).get_mut("ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|owner| owner["uid"] != uid);
        }
        state.put(key, value);
    });
}

/// An object whose owners never were, or went before it came, goes too.
fn created(shared: &Shared, key: &Key) {
    let orphaned = shared.store.with(|state| {
        state.get(key).is_some_and(|found| {
            object::owners(found.value()).next().is_some() && living_owners(state, found.value()) == 0
        })
    });
    if orphaned {
        delete(shared, key, None);
    }
}

fn finalizing(shared: &Shared, key: &Key) {
    let Some(found) = shared.store.get(key) else { return };
    let uid = object::uid(found.value()).to_owned();
    let has = |name: &str| object::finalizers(found.value()).any(|it| it == name);
    let dependents = shared.store.with(|state| state.dependents(&uid));
    if has("orphan") {
        for dependent in &dependents {
            drop_owner(shared, dependent, &uid);
        }
        drop_finalizer(shared, key, "orphan");
    }
    if has("foregroundDeletion") {
        let blocks = |dependent: &&Key| {
            shared
                .store
                .get(dependent)
                .is_some_and(|it| object::owners(it.value()).any(|(owner, blocks)| owner == uid && blocks))
        };
        let blocking: Vec<&Key> = dependents.iter().filter(blocks).collect();
        for dependent in &dependents {
            delete(shared, dependent, Some("Foreground"));
        }
        let left = blocking.into_iter().any(|dependent| shared.store.get(dependent).is_some());
        if !left {
            drop_finalizer(shared, key, "foregroundDeletion");
        }
    }
}

fn drop_finalizer(shared: &Shared, key: &Key, name: &str) {
    shared.store.with(|state| {
        let (Some(found), Some(ty)) = (state.get(key), state.ty(key.table)) else { return };
        let mut value = found.value().clone();
        if let Some(list) = metadata_mut(&mut value).get_mut("finalizers").and_then(Value::as_array_mut) {
            list.retain(|it| it != name);
        }
        if is_finished(&value) {
            retire(state, &ty, key, value);
        } else {
            state.put(key, value);
        }
    });
}

/// Deletes what is in a namespace; the namespace goes when nothing is left.
fn namespace(shared: &Shared, name: &str) {
    let content = shared.store.with(|state| {
        let namespace = state.get_builtin("", "namespaces", "", name)?;
        object::is_deleting(namespace.value()).then(|| state.content(name))
    });
    let Some(content) = content else { return };
    for key in &content {
        let going = shared.store.get(key).is_some_and(|it| object::is_deleting(it.value()));
        if !going {
            delete(shared, key, None);
        }
    }
    shared.store.with(|state| {
        if !state.content(name).is_empty() {
            return;
        }
        let Some((table, ty)) = state.resolve("", "namespaces") else { return };
        let key = Key { table, namespace: String::new(), name: name.to_owned() };
        let Some(found) = state.get(&key) else { return };
        let mut value = found.value().clone();
        object_mut(&mut value, "spec").insert("finalizers".to_owned(), Value::Array(Vec::new()));
        if is_finished(&value) {
            retire(state, &ty, &key, value);
        } else {
            state.put(&key, value);
        }
    });
}

/// Deletes the objects of a definition that is being deleted; the definition goes when none is left.
fn definition(shared: &Shared, name: &str) {
    let objects = shared.store.with(|state| {
        let definition = state.get_builtin("apiextensions.k8s.io", "customresourcedefinitions", "", name)?;
        if !object::is_deleting(definition.value()) {
            return None;
        }
        let (group, plural) = (text(definition.value(), "/spec/group"), text(definition.value(), "/spec/names/plural"));
        let (table, _) = state.resolve(group, plural)?;
        let keys = state.scan(table, None, None).map(|it| Key {
            table,
            namespace: object::namespace(it.value()).to_owned(),
            name: object::name(it.value()).to_owned(),
        });
        Some(keys.collect::<Vec<_>>())
    });
    for key in objects.iter().flatten() {
        delete(shared, key, None);
    }
    let left = objects.iter().flatten().any(|key| shared.store.get(key).is_some());
    let key = shared.store.with(|state| {
        let (table, _) = state.resolve("apiextensions.k8s.io", "customresourcedefinitions")?;
        let key = Key { table, namespace: String::new(), name: name.to_owned() };
        state.get(&key).filter(|it| object::is_deleting(it.value())).map(|_| key)
    });
    if let Some(key) = key.filter(|_| !left) {
        drop_finalizer(shared, &key, FINALIZER);
    }
}
