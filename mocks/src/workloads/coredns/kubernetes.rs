//! What the plugin `kubernetes` knows of its cluster, kept in step by watching its API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Namespace, Service as KubeService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::Server;

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is known of the cluster. Cheap to clone.
#[derive(Clone, Default)]
pub struct Cluster {
    view: Arc<RwLock<Arc<View>>>,
    synced: watch::Sender<bool>,
}

/// The cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub namespaces: BTreeSet<String>,
    /// Services by namespace and name.
    pub services: BTreeMap<(String, String), Service>,
}

/// A Service with its ready endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// Its address; `None` for a headless one.
    pub cluster_ip: Option<Ipv4Addr>,
    pub ports: Vec<Port>,
    pub endpoints: Vec<Endpoint>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub name: String,
    pub protocol: String,
    pub port: u16,
}

/// A ready endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub address: Ipv4Addr,
    pub hostname: Option<String>,
}

impl View {
    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }
}

impl Cluster {
    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Told when the cluster has been read once.
    pub(super) fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }
}

/// Keeps the view in step with the cluster. Completes only when there is no API to watch although the Corefile wants it.
pub(super) async fn watch(server: &Arc<Server>) -> String {
    let Some(client) = server.container.api.clone() else {
        if server.chain.read().needs_cluster() {
            return "plugin/kubernetes: unable to load in-cluster configuration".to_owned();
        }
        server.cluster.synced.send_replace(true);
        return std::future::pending().await;
    };
    let (namespaces, mut a) = store::<Namespace>(&client);
    let (services, mut b) = store::<KubeService>(&client);
    let (slices, mut c) = store::<EndpointSlice>(&client);
    loop {
        let more = tokio::select! {
            more = a.next() => more,
            more = b.next() => more,
            more = c.next() => more,
        };
        if more.is_none() {
            return "plugin/kubernetes: the watch ended".to_owned();
        }
        let ready = [
            futures::FutureExt::now_or_never(namespaces.wait_until_ready()).is_some(),
            futures::FutureExt::now_or_never(services.wait_until_ready()).is_some(),
            futures::FutureExt::now_or_never(slices.wait_until_ready()).is_some(),
        ];
        if ready == [true; 3] {
            *server.cluster.view.write() = Arc::new(view(&namespaces, &services, &slices));
            server.cluster.synced.send_replace(true);
        }
    }
}

/// A store of all objects of a kind, and a stream that yields on each change.
fn store<K>(client: &kube::Client) -> (Store<K>, BoxStream<'static, ()>)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let api: Api<K> = Api::all(client.clone());
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        // An error is retried by the watcher itself.
        .map(|_| ())
        .boxed();
    (reader, changes)
}

fn view(namespaces: &Store<Namespace>, services: &Store<KubeService>, slices: &Store<EndpointSlice>) -> View {
    let mut view = View {
        namespaces: namespaces.state().iter().map(|it| it.name_any()).collect(),
        services: services
            .state()
            .iter()
            .map(|it| ((it.namespace().unwrap_or_default(), it.name_any()), service(it)))
            .collect(),
    };
    for slice in slices.state() {
        let Some(name) = slice.labels().get(SERVICE_NAME) else { continue };
        if let Some(service) = view.services.get_mut(&(slice.namespace().unwrap_or_default(), name.clone())) {
            service.endpoints.extend(endpoints(&slice));
            service.endpoints.sort();
            service.endpoints.dedup();
        }
    }
    view
}

fn service(service: &KubeService) -> Service {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        port: u16::try_from(port.port).unwrap_or_default(),
    });
    Service {
        cluster_ip: spec.and_then(|spec| spec.cluster_ip.as_ref()?.parse().ok()),
        ports: ports.collect(),
        endpoints: Vec::new(),
    }
}

fn endpoints(slice: &EndpointSlice) -> Vec<Endpoint> {
    slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|it| it.ready) != Some(false))
        .flat_map(|endpoint| {
            let hostname = endpoint.hostname.clone();
            endpoint.addresses.iter().filter_map(move |address| {
                Some(Endpoint { address: address.parse().ok()?, hostname: hostname.clone() })
            })
        })
        .collect()
}
