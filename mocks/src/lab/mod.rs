//! An embedded world: one AWS account, its clusters, and the network between them, on loopback ports.
//!
//! A [`Lab`] serves two ports: the AWS APIs, and the cluster provisioner (`POST /eksctl/create` and so on, see
//! `control`). Each cluster's Kubernetes API has a port of its own. Everything ends with the lab.

mod addons;
mod cluster;
mod control;
mod inventory;
mod kubeconfig;
mod load_balancers;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::cluster::LabCluster;
use crate::aws::wire::server::Endpoint;
use crate::aws::{Aws, AwsError};
use crate::clock::{Clock, Latencies};
use crate::eksctl::{self, ClusterConfig, ConfigError};
use crate::kubernetes::cluster::{ClusterError, Tasks};
use crate::kubernetes::node::NodeError;
use crate::network::Network;
use crate::network::model::Model;
use crate::workloads::{Images, default_images};

pub use inventory::Inventory;

/// How to start a lab.
#[derive(Clone)]
pub struct LabConfig {
    /// Where the AWS APIs listen; port 0 picks a free one.
    pub aws_listen: SocketAddr,
    /// How many seconds pass in the lab in each second of the machine's.
    pub clock_scale: f64,
    /// How long AWS takes for what takes time.
    pub latencies: Latencies,
    /// Programs by image.
    pub images: Images,
}

impl Default for LabConfig {
    /// Free loopback ports, AWS without delay, everything else a thousand times as fast as it is.
    fn default() -> Self {
        Self {
            aws_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock_scale: 1000.0,
            latencies: Latencies::INSTANT,
            images: default_images(),
        }
    }
}

/// Why a lab did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A port cannot be listened on.
    #[error("{what} cannot listen on {address}: {error}")]
    Listen {
        /// What listens.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The configuration of a cluster is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// AWS refused.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A Kubernetes API refused.
    #[error("{cluster}: {error}")]
    Kubernetes {
        /// The cluster.
        cluster: String,
        /// Why.
        error: Box<kube::Error>,
    },
    /// A cluster did not start.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A node, or the VPC's resolver, did not start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Something did not come up in time.
    #[error("{cluster} did not come up in {seconds} s: {last_seen}")]
    Timeout {
        /// The cluster.
        cluster: String,
        /// How long it was waited for.
        seconds: u64,
        /// What was seen last.
        last_seen: String,
    },
    /// The lab is ending.
    #[error("the lab is ending")]
    Ending,
}

/// An embedded world.
pub struct Lab {
    aws: Arc<Aws>,
    network: Arc<dyn Network>,
    images: Images,
    clock: Clock,
    tasks: Tasks,
    endpoint: Endpoint,
    control: SocketAddr,
    clusters: tokio::sync::Mutex<BTreeMap<(String, String), Arc<LabCluster>>>,
    ended: CancellationToken,
}

impl Lab {
    /// Starts a lab.
    ///
    /// # Errors
    /// [`LabError::Listen`] when a port cannot be had.
    pub async fn start(config: LabConfig) -> Result<Arc<Self>, LabError> {
        let clock = Clock::scaled(config.clock_scale);
        let aws = Aws::new(clock.clone(), config.latencies);
        // A lab is not there to run into the limits of a new account.
        aws.with("us-east-1", |state, _| {
            state.ec2.quotas.vpcs = 1000;
            state.ec2.quotas.addresses = 1000;
        });
        let listen = |what, address| move |error| LabError::Listen { what, address, error };
        let endpoint = aws.serve(config.aws_listen).await.map_err(listen("the AWS endpoint", config.aws_listen))?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(any).await.map_err(listen("the cluster provisioner", any))?;
        let control = listener.local_addr().map_err(listen("the cluster provisioner", any))?;
        let network: Arc<dyn Network> = Model::new(aws.clone());
        let lab = Arc::new(Self {
            tasks: Tasks::default(),
            network,
            images: config.images,
            clock,
            endpoint,
            control,
            clusters: tokio::sync::Mutex::default(),
            ended: CancellationToken::new(),
            aws,
        });
        lab.tasks.spawn(control::serve(Arc::downgrade(&lab), listener, lab.tasks.token().clone()));
        lab.tasks.spawn(load_balancers::probe(lab.aws.clone(), lab.network.clone(), lab.clock.clone()));
        Ok(lab)
    }

    /// URL of the AWS APIs.
    pub fn aws_url(&self) -> String {
        self.endpoint.url()
    }

    /// URL of the cluster provisioner.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// What carries the packets: `model` or `kernel`.
    pub fn network_kind(&self) -> &'static str {
        self.network.kind()
    }

    /// The account.
    pub fn aws(&self) -> &Arc<Aws> {
        &self.aws
    }

    /// The network.
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// `eksctl create cluster -f`: makes what eksctl makes and waits until nodes and CoreDNS are ready. When that fails,
    /// nothing of the cluster remains.
    ///
    /// # Errors
    /// What eksctl, AWS or Kubernetes refuses; [`LabError::Timeout`] when the cluster does not come up.
    pub async fn create_cluster(&self, yaml: &str) -> Result<(), LabError> {
        let config = ClusterConfig::parse(yaml)?;
        let (region, name) = (config.metadata.region.clone(), config.metadata.name.clone());
        if self.tasks.token().is_cancelled() {
            return Err(LabError::Ending);
        }
        let created = self.aws.with(&region, |state, context| eksctl::create_cluster(state, context, &config))?;
        let started = LabCluster::start(self, &config, created).await;
        let cluster = match started {
            Ok(cluster) => Arc::new(cluster),
            Err(error) => {
                // The first error is the one to tell.
                let _ = self.aws.with(&region, |state, context| eksctl::delete_cluster(state, context, &name));
                return Err(error);
            }
        };
        self.clusters.lock().await.insert((region.clone(), name.clone()), cluster.clone());
        match cluster.ready().await {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = self.delete_cluster(&region, &name).await;
                Err(error)
            }
        }
    }

    /// `eksctl delete cluster --wait`: Services of type LoadBalancer first, then the cluster and its VPC. Can be called
    /// again after an error.
    ///
    /// # Errors
    /// `ResourceNotFoundException` when there is nothing of that name; `DependencyViolation` when something that eksctl
    /// does not know holds a part of it.
    pub async fn delete_cluster(&self, region: &str, name: &str) -> Result<(), LabError> {
        let key = (region.to_owned(), name.to_owned());
        let cluster = self.clusters.lock().await.get(&key).cloned();
        let known = self.aws.read(region, |state, _| {
            state.eks.clusters.contains_key(&key)
                || state.ec2.vpcs.values().any(|vpc| vpc.tags.get("alpha.eksctl.io/cluster-name") == Some(&key.1))
        });
        if cluster.is_none() && !known {
            let message = format!("No cluster found for name: {name}.");
            return Err(AwsError::with_status(404, "ResourceNotFoundException", message).into());
        }
        if let Some(cluster) = &cluster {
            cluster.delete_load_balancers().await?;
            cluster.stop().await;
        }
        self.aws.with(region, |state, context| eksctl::delete_cluster(state, context, name))?;
        self.clusters.lock().await.remove(&key);
        Ok(())
    }

    /// The kubeconfig with a context for each cluster.
    pub async fn kubeconfig(&self) -> String {
        let clusters = self.clusters.lock().await;
        kubeconfig::of(clusters.iter().map(|((region, name), it)| (region.as_str(), name.as_str(), it.url())))
    }

    /// Names and regions of the clusters.
    pub async fn clusters(&self) -> Vec<(String, String)> {
        self.clusters.lock().await.keys().map(|(region, name)| (name.clone(), region.clone())).collect()
    }

    /// Everything that exists in the account.
    pub fn inventory(&self) -> Inventory {
        inventory::take(&self.aws)
    }

    /// Completes when the lab was told to end, by [`Lab::shutdown`] or over HTTP.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends everything, and waits until it has ended.
    pub async fn shutdown(&self) {
        self.ended.cancel();
        let clusters = std::mem::take(&mut *self.clusters.lock().await);
        for cluster in clusters.into_values() {
            cluster.stop().await;
        }
        self.tasks.shutdown().await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

#[cfg(test)]
mod tests;
