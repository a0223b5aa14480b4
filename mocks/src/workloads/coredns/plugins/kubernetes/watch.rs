//! Fills the store from the API: one watch for each kind.

use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::store::{Store, Watched};

/// Watches services, endpoint slices and namespaces until `stop` is cancelled; and pods, where they are verified.
pub(in super::super::super) fn start(client: &Client, store: &Arc<Store>, pods: bool, stop: &CancellationToken) {
    spawn::<Service>(client, store, stop);
    spawn::<EndpointSlice>(client, store, stop);
    spawn::<Namespace>(client, store, stop);
    if pods {
        watch_pods(client, store, stop);
    }
}

/// Watches pods until `stop` is cancelled.
pub(in super::super::super) fn watch_pods(client: &Client, store: &Arc<Store>, stop: &CancellationToken) {
    spawn::<Pod>(client, store, stop);
}

fn spawn<K>(client: &Client, store: &Arc<Store>, stop: &CancellationToken)
where
    K: Watched + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (api, store, stop) = (Api::<K>::all(client.clone()), Arc::clone(store), stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow(api, &store) => {}
        }
    });
}

async fn follow<K>(api: Api<K>, store: &Store)
where
    K: Watched + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut listed: Vec<K> = Vec::new();
    // Errors of the API are tried again, ever later; the store keeps what it has.
    let mut events = watcher(api, watcher::Config::default()).default_backoff().into_stream().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => listed.clear(),
            Ok(Some(Event::InitApply(object))) => listed.push(object),
            Ok(Some(Event::InitDone)) => store.replace(&std::mem::take(&mut listed)),
            Ok(Some(Event::Apply(object))) => store.put(&object),
            Ok(Some(Event::Delete(object))) => store.remove(&object),
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "a watch of CoreDNS's was interrupted"),
        }
    }
}
