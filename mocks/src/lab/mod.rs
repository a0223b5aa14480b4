//! The lab: a whole embedded world in one process. Emulated AWS on one port, a control port where `eksctl` would be, an
//! emulated network, and clusters that are made and deleted in it.
//!
//! ```no_run
//! # async fn example() -> Result<(), acrossk8s_mocks::lab::LabError> {
//! use acrossk8s_mocks::lab::{Lab, LabConfig};
//!
//! let lab = Lab::start(LabConfig::default()).await?;
//! let cluster = lab.create_cluster("apiVersion: eksctl.io/v1alpha5 …").await?;
//! println!("AWS_ENDPOINT_URL={} kubectl --server {}", lab.aws_url(), cluster.endpoint);
//! lab.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod addon_updates;
mod addons;
mod control;
mod directory;
mod error;
mod hosts;
mod inventory;
mod kubeconfig;
mod load_balancers;
mod names;
mod provision;
mod world;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::aws::ec2::Quotas;
use crate::clock::{Clock, Latencies};
use crate::kubernetes::cluster::Cluster;
pub use crate::kubernetes::node::HostFiles;
use crate::network::model::Model;
use crate::network::{Network, NetworkKind};
use crate::workloads::{Images, default_images};

pub use directory::{HostRole, LabHost};
pub use error::LabError;
pub use inventory::{Inventory, InventoryItem};
use world::World;

/// What a lab is started with.
#[derive(Clone)]
pub struct LabConfig {
    /// How fast its clock runs, unless `clock` is given: seconds that pass in the lab in each second of the machine's.
    pub clock_scale: f64,
    /// A clock of the caller's, to be advanced by hand for example.
    pub clock: Option<Clock>,
    /// How long AWS takes.
    pub latencies: Latencies,
    /// Where AWS answers; port 0 picks a free one.
    pub aws_listen: SocketAddr,
    /// Where the lab is controlled; port 0 picks a free one.
    pub control_listen: SocketAddr,
    /// Programs by image. Those of `aws-node` and `kube-proxy` are added where they are missing.
    pub images: Images,
    /// What carries the packets.
    pub network: NetworkKind,
    /// How long the creation of a cluster waits for its nodes and CoreDNS, and its deletion for its load balancers, in the
    /// machine's time. They take milliseconds; this is for when they never come.
    pub patience: Duration,
}

impl Default for LabConfig {
    /// Free loopback ports, AWS without delay, everything else a thousand times as fast as it is.
    fn default() -> Self {
        Self {
            clock_scale: 1000.0,
            clock: None,
            latencies: Latencies::INSTANT,
            aws_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            images: default_images(),
            network: NetworkKind::default(),
            patience: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for LabConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabConfig")
            .field("clock_scale", &self.clock_scale)
            .field("latencies", &self.latencies)
            .field("aws_listen", &self.aws_listen)
            .finish_non_exhaustive()
    }
}

/// A cluster, as the one who made it needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// Name.
    pub name: String,
    /// Region.
    pub region: String,
    /// URL of the Kubernetes API.
    pub endpoint: String,
    /// Name of its context: `acrossk8s@<name>.<region>.eksctl.io`.
    pub context: String,
    /// A kubeconfig with that context alone, in YAML.
    pub kubeconfig: String,
}

/// A running lab. Everything in it ends with [`Lab::shutdown`] (which waits for it) or when this is dropped.
pub struct Lab(Arc<World>);

impl Lab {
    /// Starts a lab without clusters.
    ///
    /// # Errors
    /// [`LabError::Listen`] when a port cannot be listened on; [`LabError::Network`] when the kernel does not allow its
    /// network.
    pub async fn start(config: LabConfig) -> Result<Arc<Self>, LabError> {
        let clock = config.clock.clone().unwrap_or_else(|| Clock::scaled(config.clock_scale));
        let aws = Aws::new(clock, config.latencies);
        let network = network(config.network, &aws).await?;
        // A lab is not there to run into the limits of a new account.
        aws.with("us-east-1", |state, _| {
            state.ec2.quotas = Quotas { vpcs: 1000, addresses: 1000, internet_gateways: 1000, ..state.ec2.quotas };
            state.eks.addon_manager = true;
        });
        let listen = config.aws_listen;
        let endpoint = aws.serve(listen).await.map_err(|source| LabError::Listen { address: listen, source })?;
        let world = World::new(aws, network, &config, endpoint);
        control::serve(&world, config.control_listen).await?;
        world.tasks.spawn(load_balancers::follow(Arc::clone(&world.load_balancers)));
        world.tasks.spawn(addon_updates::follow(Arc::clone(&world)));
        Ok(Arc::new(Self(world)))
    }

    /// URL of AWS, for `AWS_ENDPOINT_URL`.
    pub fn aws_url(&self) -> String {
        self.0.aws_url.clone()
    }

    /// URL of the control port:
    ///
    /// | request | answer |
    /// |---|---|
    /// | `POST /eksctl/create`, a ClusterConfig in YAML | [`ClusterInfo`] |
    /// | `GET /eksctl/clusters` | array of [`ClusterInfo`] |
    /// | `DELETE /eksctl/clusters/{region}/{name}` | `{}` |
    /// | `GET /kubeconfig` | kubeconfig of all clusters, YAML |
    /// | `GET /inventory` | [`Inventory`] |
    /// | `GET /hosts` | array of [`LabHost`] |
    /// | `POST /shutdown` | `{}`, and the lab ends |
    ///
    /// Errors are `{"error": "…"}` with a status that fits. A connection on which nothing is asked stays open for as long as
    /// the lab lives: who has to end with it waits for its end.
    pub fn control_url(&self) -> String {
        self.0.control_url.get().cloned().unwrap_or_default()
    }

    /// The network's kind: `model` or `kernel`.
    pub fn network_kind(&self) -> &'static str {
        self.0.hosts.kind()
    }

    /// The account.
    pub fn aws(&self) -> &Arc<Aws> {
        &self.0.aws
    }

    /// The network.
    pub fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.0.hosts) as Arc<dyn Network>
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        self.0.aws.clock()
    }

    /// `eksctl create cluster`: returns when nodes are ready and CoreDNS is available (without nodes, when the API
    /// answers). What had been made when something fails is deleted again.
    ///
    /// # Errors
    /// [`LabError`].
    pub async fn create_cluster(&self, yaml: &str) -> Result<ClusterInfo, LabError> {
        provision::create(&self.0, yaml).await
    }

    /// `eksctl delete cluster --wait`: the Services of type LoadBalancer first. After an error it can be called again.
    ///
    /// # Errors
    /// [`LabError::NotFound`]; [`LabError::Aws`] with `DependencyViolation` when something foreign holds a part of it.
    pub async fn delete_cluster(&self, region: &str, name: &str) -> Result<(), LabError> {
        provision::delete(&self.0, region, name).await
    }

    /// The clusters, by region and name.
    pub fn clusters(&self) -> Vec<ClusterInfo> {
        self.0.infos()
    }

    /// A running cluster.
    pub fn cluster(&self, region: &str, name: &str) -> Option<Arc<Cluster>> {
        self.0.cluster(region, name)
    }

    /// A kubeconfig of all clusters, in YAML. Its current context is that of the cluster that was made last.
    ///
    /// # Errors
    /// [`LabError::Kubeconfig`] when it cannot be written.
    pub fn kubeconfig(&self) -> Result<String, LabError> {
        self.0.kubeconfig()
    }

    /// Everything that exists in the account and on the network.
    pub fn inventory(&self) -> Inventory {
        self.0.inventory()
    }

    /// Who is on the network, and where the kernel keeps each.
    pub fn hosts(&self) -> Vec<LabHost> {
        directory::list(&self.0)
    }

    /// Ends everything and waits for it. Again has no effect.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }

    /// Waits until the lab has ended, by [`Lab::shutdown`] or over the control port.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }
}

/// The network that obeys an account.
async fn network(kind: NetworkKind, aws: &Arc<Aws>) -> Result<Arc<dyn Network>, LabError> {
    let source = Arc::clone(aws) as Arc<dyn crate::network::FabricSource>;
    match kind {
        NetworkKind::Model => Ok(Model::new(source)),
        #[cfg(target_os = "linux")]
        NetworkKind::Kernel => match crate::network::kernel::Kernel::new(source).await {
            Ok(kernel) => Ok(kernel),
            Err(source) => Err(LabError::Network { source }),
        },
        #[cfg(not(target_os = "linux"))]
        NetworkKind::Kernel => Err(LabError::Network { source: std::io::ErrorKind::Unsupported.into() }),
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests;
