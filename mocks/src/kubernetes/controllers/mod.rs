//! The controllers of a cluster: clients of its API that bring what is closer to what is wanted.
//!
//! What kube-controller-manager, kube-scheduler, kube-proxy and cloud-provider-aws do, as far as this project's workloads
//! need it. All are level-triggered: each looks at everything whenever something it reads has changed, which is cheap
//! for clusters of some dozens of pods. They share one watch per kind ([`Informers`]). Garbage collection by owner and the
//! finalisation of namespaces are the API server's here.

pub mod control_loop;
pub mod daemon_sets;
pub mod deployments;
pub mod endpoints;
pub mod events;
pub mod informer;
pub mod load_balancers;
pub mod namespaces;
pub mod pods;
pub mod proxy;
pub mod replica_sets;
pub mod scheduler;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};

use crate::kubernetes::cluster::Tasks;

pub use control_loop::{Reconcile, ReconcileError};
pub use informer::{Informer, Key, key_of};

/// One watch per kind that controllers and node agents read.
#[derive(Debug)]
pub struct Informers {
    /// Nodes.
    pub nodes: Arc<Informer<Node>>,
    /// Pods.
    pub pods: Arc<Informer<Pod>>,
    /// Services.
    pub services: Arc<Informer<Service>>,
    /// Endpoint slices.
    pub slices: Arc<Informer<EndpointSlice>>,
    /// Config maps.
    pub config_maps: Arc<Informer<ConfigMap>>,
    /// Secrets.
    pub secrets: Arc<Informer<Secret>>,
    /// Namespaces.
    pub namespaces: Arc<Informer<Namespace>>,
    /// Deployments.
    pub deployments: Arc<Informer<Deployment>>,
    /// Replica sets.
    pub replica_sets: Arc<Informer<ReplicaSet>>,
    /// Daemon sets.
    pub daemon_sets: Arc<Informer<DaemonSet>>,
}

impl Informers {
    /// Starts to watch all kinds.
    pub fn start(client: &Client, tasks: &Tasks) -> Arc<Self> {
        fn informer<K: informer::Kind>(client: &Client, tasks: &Tasks) -> Arc<Informer<K>> {
            Informer::start(Api::all(client.clone()), tasks)
        }
        Arc::new(Self {
            nodes: informer(client, tasks),
            pods: informer(client, tasks),
            services: informer(client, tasks),
            slices: informer(client, tasks),
            config_maps: informer(client, tasks),
            secrets: informer(client, tasks),
            namespaces: informer(client, tasks),
            deployments: informer(client, tasks),
            replica_sets: informer(client, tasks),
            daemon_sets: informer(client, tasks),
        })
    }

    /// Waits until the first list of every kind is there.
    pub async fn synced(&self) {
        tokio::join!(
            self.nodes.synced(),
            self.pods.synced(),
            self.services.synced(),
            self.slices.synced(),
            self.config_maps.synced(),
            self.secrets.synced(),
            self.namespaces.synced(),
            self.deployments.synced(),
            self.replica_sets.synced(),
            self.daemon_sets.synced(),
        );
    }
}
