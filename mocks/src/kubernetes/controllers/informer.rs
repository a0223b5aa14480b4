//! A local copy of all objects of one kind, kept up to date by a watch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt as _, pin_mut};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::kubernetes::cluster::Tasks;

/// Namespace (empty for kinds without) and name.
pub type Key = (String, String);

/// The key of an object.
pub fn key_of<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// A kind that an [`Informer`] can hold.
pub trait Kind: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Kind for K {}

/// All objects of one kind, shared by all controllers of a cluster.
///
/// A controller that writes an object hands the answer to [`Informer::observe`], so that its next look sees what it
/// did although the watch has not brought it yet.
#[derive(Debug)]
pub struct Informer<K> {
    state: RwLock<State<K>>,
    revision: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

#[derive(Debug)]
struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Up to where the watch has come. Versions are compared, as KEP-5504 allows.
    seen: u64,
}

impl<K: Kind> Informer<K> {
    /// Starts to watch.
    pub fn start(api: Api<K>, tasks: &Tasks) -> Arc<Self> {
        let informer = Arc::new(Self {
            state: RwLock::new(State { objects: BTreeMap::new(), seen: 0 }),
            revision: watch::Sender::new(0),
            synced: watch::Sender::new(false),
        });
        let fed = Arc::clone(&informer);
        tasks.spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            pin_mut!(events);
            let mut listed = BTreeMap::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => fed.feed(event, &mut listed),
                    Err(error) => tracing::debug!(kind = %K::kind(&()), %error, "watch broke"),
                }
            }
        });
        informer
    }

    fn feed(&self, event: watcher::Event<K>, listed: &mut BTreeMap<Key, Arc<K>>) {
        let mut state = self.state.write();
        match event {
            watcher::Event::Init => {
                listed.clear();
                return;
            }
            watcher::Event::InitApply(object) => {
                state.seen = state.seen.max(version(&object));
                listed.insert(key_of(&object), Arc::new(object));
                return;
            }
            watcher::Event::InitDone => {
                state.objects = std::mem::take(listed);
                drop(state);
                self.synced.send_replace(true);
                self.revision.send_modify(|revision| *revision += 1);
                return;
            }
            watcher::Event::Apply(object) => {
                state.seen = state.seen.max(version(&object));
                let key = key_of(&object);
                if state.objects.get(&key).is_some_and(|known| version(known.as_ref()) >= version(&object)) {
                    // Observed before: nobody needs to look again.
                    return;
                }
                state.objects.insert(key, Arc::new(object));
            }
            watcher::Event::Delete(object) => {
                state.seen = state.seen.max(version(&object));
                state.objects.remove(&key_of(&object));
            }
        }
        drop(state);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Takes an object that the API server has just answered with.
    pub fn observe(&self, object: K) {
        let mut state = self.state.write();
        let version = version(&object);
        let key = key_of(&object);
        // What the watch has passed it knows better: the object may be gone already.
        if version <= state.seen
            || state.objects.get(&key).is_some_and(|known| self::version(known.as_ref()) >= version)
        {
            return;
        }
        state.objects.insert(key, Arc::new(object));
        drop(state);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// An object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.state.read().objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.state.read().objects.values().cloned().collect()
    }

    /// A receiver that is notified of each change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Waits until the first list is there.
    pub async fn synced(&self) {
        // The sender is a field of self: waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Waits until the objects satisfy a condition and gives what it gives.
    pub async fn until<R>(&self, mut condition: impl FnMut(&[Arc<K>]) -> Option<R>) -> R {
        let mut changes = self.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(result) = condition(&self.list()) {
                return result;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn version<K: Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::watcher::Event;

    use super::*;

    fn informer() -> Informer<ConfigMap> {
        Informer {
            state: RwLock::new(State { objects: BTreeMap::new(), seen: 0 }),
            revision: watch::Sender::new(0),
            synced: watch::Sender::new(false),
        }
    }

    fn config_map(name: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("ns".to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    fn versions(informer: &Informer<ConfigMap>) -> Vec<u64> {
        informer.list().iter().map(|object| version(object.as_ref())).collect()
    }

    #[test]
    fn an_observed_write_is_seen_before_the_watch_brings_it_and_not_after_its_deletion() {
        let informer = informer();
        informer.observe(config_map("a", 5));
        assert_eq!(versions(&informer), [5]);
        informer.feed(Event::Apply(config_map("a", 5)), &mut BTreeMap::new());
        informer.feed(Event::Delete(config_map("a", 7)), &mut BTreeMap::new());
        informer.observe(config_map("a", 6));
        assert_eq!(versions(&informer), [0_u64; 0]);
    }

    #[test]
    fn a_new_list_replaces_everything() {
        let informer = informer();
        informer.feed(Event::Apply(config_map("a", 1)), &mut BTreeMap::new());
        let mut listed = BTreeMap::new();
        informer.feed(Event::Init, &mut listed);
        informer.feed(Event::InitApply(config_map("b", 3)), &mut listed);
        assert_eq!(versions(&informer), [1]);
        informer.feed(Event::InitDone, &mut listed);
        assert_eq!(versions(&informer), [3]);
    }
}
