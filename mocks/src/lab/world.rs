//! What the parts of a lab share, and how it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::hosts::Hosts;
use super::inventory::Inventory;
use super::kubeconfig;
use super::load_balancers::LoadBalancerHosts;
use super::{ClusterInfo, LabConfig, LabError, addons, names};
use crate::aws::Aws;
use crate::aws::wire::server::Endpoint;
use crate::kubernetes::cluster::{Cluster, Tasks};
use crate::network::Network;
use crate::workloads::Images;

/// Held while a cluster is made or deleted.
type ChangeLock = Arc<tokio::sync::Mutex<()>>;

/// Everything in a lab.
pub(super) struct World {
    pub(super) aws: Arc<Aws>,
    pub(super) aws_url: String,
    pub(super) control_url: OnceLock<String>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) images: Images,
    pub(super) patience: Duration,
    pub(super) load_balancers: Arc<LoadBalancerHosts>,
    /// Clusters by region and name.
    pub(super) clusters: Mutex<BTreeMap<(String, String), Running>>,
    /// Held by whoever makes or deletes a cluster, by region and name.
    changing: Mutex<BTreeMap<(String, String), ChangeLock>>,
    /// Counts the clusters that were made.
    made: Mutex<u64>,
    /// Creations, deletions, DNS servers, health checks.
    pub(super) tasks: Tasks,
    /// The control port.
    pub(super) servers: Tasks,
    /// Cancelled to make the control port stop accepting.
    pub(super) closing: CancellationToken,
    endpoint: Mutex<Option<Endpoint>>,
    ending: tokio::sync::Mutex<()>,
    pub(super) ended: CancellationToken,
}

/// A cluster of the lab.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) cluster: Arc<Cluster>,
    /// Its VPC's DNS server, which ends with the last of these.
    pub(super) resolver: Arc<names::Resolver>,
    /// Place in the order of creation.
    pub(super) number: u64,
}

impl Running {
    fn entry(&self) -> kubeconfig::Entry {
        let spec = self.cluster.spec();
        kubeconfig::Entry { name: spec.name.clone(), region: spec.region.clone(), endpoint: self.cluster.url() }
    }

    pub(super) fn info(&self) -> Result<ClusterInfo, LabError> {
        let spec = self.cluster.spec();
        let entry =
            kubeconfig::Entry { name: spec.name.clone(), region: spec.region.clone(), endpoint: self.cluster.url() };
        Ok(ClusterInfo {
            name: spec.name.clone(),
            region: spec.region.clone(),
            endpoint: self.cluster.url(),
            context: entry.context(),
            kubeconfig: kubeconfig::write(std::slice::from_ref(&entry), Some(&entry.context()))?,
        })
    }
}

impl World {
    pub(super) fn new(aws: Arc<Aws>, network: Arc<dyn Network>, config: &LabConfig, endpoint: Endpoint) -> Arc<Self> {
        let hosts = Hosts::new(network);
        let mut images = config.images.clone();
        addons::add_images(&mut images);
        let tasks = Tasks::default();
        Arc::new(Self {
            load_balancers: LoadBalancerHosts::new(Arc::clone(&aws), hosts.clone(), tasks.clone()),
            aws,
            aws_url: endpoint.url(),
            control_url: OnceLock::new(),
            hosts,
            images,
            patience: config.patience,
            clusters: Mutex::default(),
            changing: Mutex::default(),
            made: Mutex::new(0),
            tasks,
            servers: Tasks::default(),
            closing: CancellationToken::new(),
            endpoint: Mutex::new(Some(endpoint)),
            ending: tokio::sync::Mutex::new(()),
            ended: CancellationToken::new(),
        })
    }

    pub(super) fn cluster(&self, region: &str, name: &str) -> Option<Arc<Cluster>> {
        let key = (region.to_owned(), name.to_owned());
        self.clusters.lock().get(&key).map(|running| Arc::clone(&running.cluster))
    }

    /// Waits until nobody else makes or deletes the cluster, and keeps others from it.
    pub(super) async fn change(&self, region: &str, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = self.changing.lock().entry((region.to_owned(), name.to_owned())).or_default().clone();
        lock.lock_owned().await
    }

    pub(super) fn next_number(&self) -> u64 {
        let mut made = self.made.lock();
        *made += 1;
        *made
    }

    pub(super) fn infos(&self) -> Vec<ClusterInfo> {
        self.clusters.lock().values().filter_map(|running| running.info().ok()).collect()
    }

    pub(super) fn kubeconfig(&self) -> Result<String, LabError> {
        let clusters = self.clusters.lock();
        let entries: Vec<_> = clusters.values().map(Running::entry).collect();
        let last = clusters.values().max_by_key(|running| running.number).map(|running| running.entry().context());
        kubeconfig::write(&entries, last.as_deref())
    }

    pub(super) fn inventory(&self) -> Inventory {
        Inventory::of(&self.aws, &self.hosts.attached())
    }

    /// Ends everything: what is under way, then the clusters, then the ports.
    pub(super) async fn shutdown(&self) {
        let _one_at_a_time = self.ending.lock().await;
        if self.ended.is_cancelled() {
            return;
        }
        self.tasks.shutdown().await;
        let clusters = std::mem::take(&mut *self.clusters.lock());
        join_all(clusters.values().map(|running| async {
            running.cluster.stop().await;
            running.resolver.stop(&self.hosts).await;
        }))
        .await;
        self.load_balancers.clear().await;
        self.closing.cancel();
        let endpoint = self.endpoint.lock().take();
        if let Some(endpoint) = endpoint {
            endpoint.shutdown().await;
        }
        self.servers.wait().await;
        self.ended.cancel();
    }

    /// Ends everything without waiting.
    pub(super) fn abandon(&self) {
        self.tasks.cancel();
        self.closing.cancel();
        self.servers.cancel();
        self.clusters.lock().clear();
        self.endpoint.lock().take();
        self.ended.cancel();
    }
}
