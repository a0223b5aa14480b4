//! The objects of a cluster: one revision counter, one table and one bounded log of changes for each resource type.
//!
//! Watches read the log from the revision they have seen, so that a slow one loses nothing until its revision falls out
//! of the log, which it is told (410). A change is stored and its object serialised once, however many watch it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::object::{self, Object};
use super::resources::{ResourceType, builtins, qualified};

/// Changes of one type that are kept for watches to catch up.
const LOG_LENGTH: usize = 2048;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Index of the type's table.
    pub(super) table: usize,
    /// Empty for cluster-scoped types.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A change as watches see it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    /// The object after the change; for a deletion, as it was last, with the revision of the deletion.
    pub(super) object: Arc<Object>,
    /// The object before the change; none for a creation.
    pub(super) previous: Option<Arc<Object>>,
    pub(super) deleted: bool,
}

/// What the collector has to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// An owner went: its dependents may have to go.
    OwnerGone(String),
    /// An object was made that names owners: they may not exist.
    Created(Key),
    /// An object waits on the `orphan` or `foregroundDeletion` finaliser.
    Finalizing(Key),
    /// A namespace is being deleted: something in it may be left.
    Namespace(String),
    /// A CustomResourceDefinition is being deleted.
    Definition(String),
}

struct Table {
    ty: Arc<ResourceType>,
    /// False after its CustomResourceDefinition went.
    served: bool,
    objects: BTreeMap<(String, String), Arc<Object>>,
    log: VecDeque<Arc<Change>>,
    /// Revision up to which the log has been cut.
    forgotten: u64,
    notify: watch::Sender<u64>,
}

/// The store of one server.
pub(super) struct Store(Mutex<State>);

/// The store, locked.
pub(super) struct State {
    revision: u64,
    tables: Vec<Table>,
    by_name: HashMap<String, usize>,
    uids: HashMap<String, Key>,
    dependents: HashMap<String, BTreeSet<Key>>,
    work: mpsc::UnboundedSender<Work>,
}

/// The log does not reach back far enough.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooOld {
    pub(super) oldest: u64,
}

impl Store {
    pub(super) fn new(work: mpsc::UnboundedSender<Work>) -> Self {
        let mut state = State {
            revision: 1,
            tables: Vec::new(),
            by_name: HashMap::new(),
            uids: HashMap::new(),
            dependents: HashMap::new(),
            work,
        };
        for ty in builtins() {
            state.serve(ty);
        }
        Store(Mutex::new(state))
    }

    /// Runs with the store locked. Must not block.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock())
    }

    /// The table and type of a resource, if it is served.
    pub(super) fn resolve(&self, group: &str, plural: &str) -> Option<(usize, Arc<ResourceType>)> {
        self.with(|state| state.resolve(group, plural))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.with(|state| state.get(key))
    }
}

impl State {
    /// Adds a type, or replaces it and keeps its objects.
    pub(super) fn serve(&mut self, ty: ResourceType) {
        let name = ty.qualified();
        match self.by_name.get(&name).and_then(|index| self.tables.get_mut(*index)) {
            Some(table) => {
                table.ty = Arc::new(ty);
                table.served = true;
            }
            None => {
                self.by_name.insert(name, self.tables.len());
                self.tables.push(Table {
                    ty: Arc::new(ty),
                    served: true,
                    objects: BTreeMap::new(),
                    log: VecDeque::new(),
                    forgotten: self.revision,
                    notify: watch::Sender::new(0),
                });
            }
        }
    }

    /// Stops to serve a type: its watches end.
    pub(super) fn unserve(&mut self, group: &str, plural: &str) {
        if let Some(table) = self.by_name.get(&qualified(group, plural)).and_then(|index| self.tables.get_mut(*index)) {
            table.served = false;
            table.notify.send_replace(self.revision);
        }
    }

    pub(super) fn resolve(&self, group: &str, plural: &str) -> Option<(usize, Arc<ResourceType>)> {
        let index = *self.by_name.get(&qualified(group, plural))?;
        let table = self.tables.get(index)?;
        table.served.then(|| (index, table.ty.clone()))
    }

    /// The types that are served, in the order they were added.
    pub(super) fn types(&self) -> Vec<(usize, Arc<ResourceType>)> {
        let served = self.tables.iter().enumerate().filter(|(_, table)| table.served);
        served.map(|(index, table)| (index, table.ty.clone())).collect()
    }

    pub(super) fn is_served(&self, table: usize) -> bool {
        self.tables.get(table).is_some_and(|table| table.served)
    }

    pub(super) fn ty(&self, table: usize) -> Option<Arc<ResourceType>> {
        self.tables.get(table).map(|table| table.ty.clone())
    }

    /// The latest revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.tables.get(key.table)?.objects.get(&(key.namespace.clone(), key.name.clone())).cloned()
    }

    /// A built-in object by the name of its type.
    pub(super) fn get_builtin(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let (table, _) = self.resolve(group, plural)?;
        self.get(&Key { table, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Key and object of a uid.
    pub(super) fn by_uid(&self, uid: &str) -> Option<(Key, Arc<Object>)> {
        let key = self.uids.get(uid)?;
        Some((key.clone(), self.get(key)?))
    }

    /// The objects of a table in the order of namespace and name, all namespaces or one, after a position.
    pub(super) fn scan<'a>(
        &'a self,
        table: usize,
        namespace: Option<&'a str>,
        after: Option<(String, String)>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = match after {
            Some(after) => Excluded(after),
            None => match namespace {
                Some(namespace) => Included((namespace.to_owned(), String::new())),
                None => Unbounded,
            },
        };
        let objects =
            self.tables.get(table).into_iter().flat_map(move |table| table.objects.range((start.clone(), Unbounded)));
        objects
            .take_while(move |((of, _), _)| namespace.is_none_or(|namespace| of == namespace))
            .map(|(_, object)| object)
    }

    /// The keys of everything in a namespace.
    pub(super) fn content(&self, namespace: &str) -> Vec<Key> {
        let tables = self.tables.iter().enumerate().filter(|(_, table)| table.ty.namespaced);
        let keys = tables.flat_map(|(index, table)| {
            let range = table.objects.range((namespace.to_owned(), String::new())..);
            range.take_while(|((of, _), _)| of == namespace).map(move |((namespace, name), _)| Key {
                table: index,
                namespace: namespace.clone(),
                name: name.clone(),
            })
        });
        keys.collect()
    }

    /// Objects that name the uid as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Stores an object under a new revision.
    pub(super) fn put(&mut self, key: &Key, value: Value) -> Arc<Object> {
        self.revision += 1;
        let object = Object::new(value, self.revision);
        let previous = self
            .tables
            .get_mut(key.table)
            .and_then(|table| table.objects.insert((key.namespace.clone(), key.name.clone()), object.clone()));
        if let Some(previous) = &previous {
            self.unlink(key, previous.value());
        }
        let value = object.value();
        self.uids.insert(object::uid(value).to_owned(), key.clone());
        let mut owned = false;
        for (owner, _) in object::owners(value) {
            owned = true;
            self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
        }
        if previous.is_none() && owned {
            self.enqueue(Work::Created(key.clone()));
        }
        if object::is_deleting(value) {
            if object::finalizers(value).any(|f| f == "orphan" || f == "foregroundDeletion") {
                self.enqueue(Work::Finalizing(key.clone()));
            }
            match self.tables.get(key.table) {
                Some(table) if table.ty.is("", "Namespace") => self.enqueue(Work::Namespace(key.name.clone())),
                Some(table) if table.ty.kind == "CustomResourceDefinition" => {
                    self.enqueue(Work::Definition(key.name.clone()));
                }
                _ => {}
            }
        }
        self.record(key.table, Change { revision: self.revision, object: object.clone(), previous, deleted: false });
        object
    }

    /// Removes an object. Returns it with the revision of its deletion.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let table = self.tables.get_mut(key.table)?;
        let previous = table.objects.remove(&(key.namespace.clone(), key.name.clone()))?;
        let custom = !table.ty.is_builtin();
        let definition = table.ty.qualified();
        self.unlink(key, previous.value());
        let uid = object::uid(previous.value()).to_owned();
        self.uids.remove(&uid);
        self.revision += 1;
        let object = Object::new(previous.value().clone(), self.revision);
        for (owner, _) in object::owners(object.value()) {
            if let Some((key, owner)) = self.by_uid(owner)
                && object::is_deleting(owner.value())
            {
                self.enqueue(Work::Finalizing(key));
            }
        }
        if self.dependents.contains_key(&uid) {
            self.enqueue(Work::OwnerGone(uid));
        }
        if !key.namespace.is_empty()
            && self
                .get_builtin("", "namespaces", "", &key.namespace)
                .is_some_and(|namespace| object::is_deleting(namespace.value()))
        {
            self.enqueue(Work::Namespace(key.namespace.clone()));
        }
        if custom {
            self.enqueue(Work::Definition(definition));
        }
        let change =
            Change { revision: self.revision, object: object.clone(), previous: Some(previous), deleted: true };
        self.record(key.table, change);
        Some(object)
    }

    /// The changes of a table after a revision.
    ///
    /// # Errors
    /// [`TooOld`] when some may have been forgotten.
    pub(super) fn changes_since(&self, table: usize, revision: u64) -> Result<Vec<Arc<Change>>, TooOld> {
        let Some(table) = self.tables.get(table) else { return Ok(Vec::new()) };
        if revision < table.forgotten {
            return Err(TooOld { oldest: table.forgotten });
        }
        let start = table.log.partition_point(|change| change.revision <= revision);
        Ok(table.log.range(start..).cloned().collect())
    }

    /// Notices of changes of a table.
    pub(super) fn subscribe(&self, table: usize) -> Option<watch::Receiver<u64>> {
        self.tables.get(table).map(|table| table.notify.subscribe())
    }

    fn record(&mut self, table: usize, change: Change) {
        let Some(table) = self.tables.get_mut(table) else { return };
        let revision = change.revision;
        table.log.push_back(Arc::new(change));
        while table.log.len() > LOG_LENGTH {
            if let Some(change) = table.log.pop_front() {
                table.forgotten = change.revision;
            }
        }
        table.notify.send_replace(revision);
    }

    fn unlink(&mut self, key: &Key, value: &Value) {
        for (owner, _) in object::owners(value) {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    fn enqueue(&self, work: Work) {
        // The collector outlives every request; after shutdown nobody waits for it.
        let _ = self.work.send(work);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn store() -> Store {
        Store::new(mpsc::unbounded_channel().0)
    }

    fn put(store: &Store, name: &str, uid: &str) -> Arc<Object> {
        store.with(|state| {
            let (table, _) = state.resolve("", "configmaps").unwrap();
            let key = Key { table, namespace: "a".to_owned(), name: name.to_owned() };
            state.put(&key, json!({ "metadata": { "name": name, "namespace": "a", "uid": uid } }))
        })
    }

    #[test]
    fn a_watch_that_fell_out_of_the_log_is_told() {
        let store = store();
        let first = put(&store, "x", "1").revision();
        for _ in 0..=LOG_LENGTH {
            put(&store, "x", "1");
        }
        let (table, _) = store.resolve("", "configmaps").unwrap();
        store.with(|state| {
            assert_eq!(state.changes_since(table, first).unwrap_err(), TooOld { oldest: first + 1 });
            assert_eq!(state.changes_since(table, first + 1).unwrap().len(), LOG_LENGTH);
            assert!(state.changes_since(table, state.revision()).unwrap().is_empty());
        });
    }

    #[test]
    fn a_scan_keeps_to_its_namespace_and_starts_after_a_position() {
        let store = store();
        for name in ["a", "b", "c"] {
            put(&store, name, name);
        }
        let (table, _) = store.resolve("", "configmaps").unwrap();
        let names = |namespace: Option<&str>, after: Option<(String, String)>| {
            store.with(|state| {
                state.scan(table, namespace, after).map(|o| object::name(o.value()).to_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(names(Some("a"), None), ["a", "b", "c"]);
        assert_eq!(names(Some("a"), Some(("a".to_owned(), "a".to_owned()))), ["b", "c"]);
        assert!(names(Some("b"), None).is_empty());
        assert_eq!(names(None, None).len(), 3);
    }
}
