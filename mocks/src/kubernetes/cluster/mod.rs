//! A cluster as a whole: API server, controllers and nodes.

mod tasks;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use kube::Client;
use tokio::sync::watch;

use super::api::{ApiServer, ApiServerConfig};
use super::controllers::control_loop::run;
use super::controllers::daemon_sets::DaemonSets;
use super::controllers::deployments::Deployments;
use super::controllers::endpoints::EndpointsController;
use super::controllers::events::Recorder;
use super::controllers::load_balancers::LoadBalancers;
use super::controllers::namespaces::Namespaces;
use super::controllers::proxy::Proxy;
use super::controllers::replica_sets::ReplicaSets;
use super::controllers::scheduler::Scheduler;
use super::controllers::{Informers, Reconcile};
use super::node::{NodeAgent, NodeError, NodeSpec, Site};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::network::{Network, ServiceTable};
use crate::workloads::Images;

pub use tasks::Tasks;

/// What a cluster is started with.
#[derive(Clone)]
pub struct ClusterSpec {
    /// Name.
    pub name: String,
    /// AWS region.
    pub region: String,
    /// VPC that its nodes are in.
    pub vpc: String,
    /// Block that the cluster addresses of Services come from. Its eleventh address is the cluster's DNS server.
    pub service_cidr: Ipv4Net,
    /// The VPC's own DNS server.
    pub vpc_resolver: Ipv4Addr,
    /// Kubernetes version, for example `1.34`.
    pub version: String,
    /// Where the API server listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Nodes.
    pub nodes: Vec<NodeSpec>,
}

/// What a cluster runs on.
#[derive(Clone)]
pub struct Surroundings {
    /// The account.
    pub aws: Arc<Aws>,
    /// The network.
    pub network: Arc<dyn Network>,
    /// Programs by image.
    pub images: Images,
    /// The clock.
    pub clock: Clock,
}

/// Why a cluster could not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server could not listen.
    #[error("the Kubernetes API of {cluster} could not be served: {source}")]
    Api {
        /// Name of the cluster.
        cluster: String,
        /// Why.
        source: io::Error,
    },
    /// A node could not start.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// A running cluster. Dropped, it stops at once and keeps what its nodes hold; [`Cluster::stop`] gives it back.
pub struct Cluster {
    spec: ClusterSpec,
    api: ApiServer,
    client: Client,
    informers: Arc<Informers>,
    nodes: Vec<Arc<NodeAgent>>,
    network: Arc<dyn Network>,
    tasks: Tasks,
}

/// The address of the cluster's DNS server in a service block (EKS: its eleventh).
pub fn cluster_dns(service_cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(service_cidr.network().to_bits().wrapping_add(10))
}

impl Cluster {
    /// Starts the API server, the controllers and the nodes. The nodes are ready when this returns; what runs on them is
    /// the caller's to apply.
    ///
    /// # Errors
    /// [`ClusterError`]; nothing is left running then.
    pub async fn start(spec: ClusterSpec, on: Surroundings) -> Result<Self, ClusterError> {
        let api = ApiServer::start(ApiServerConfig {
            name: spec.name.clone(),
            version: format!("v{}.0", spec.version),
            listen: spec.listen,
            service_cidr: spec.service_cidr,
        });
        let api = api.await.map_err(|source| ClusterError::Api { cluster: spec.name.clone(), source })?;
        let client = api.client();
        let tasks = Tasks::default();
        let informers = Informers::start(&client, &tasks);
        let recorder = Recorder::start(client.clone(), &tasks);
        let site = Arc::new(Site {
            cluster: spec.name.clone(),
            region: spec.region.clone(),
            vpc: spec.vpc.clone(),
            vpc_resolver: spec.vpc_resolver,
            cluster_dns: cluster_dns(spec.service_cidr),
            client: client.clone(),
            informers: Arc::clone(&informers),
            recorder: recorder.clone(),
            aws: Arc::clone(&on.aws),
            network: Arc::clone(&on.network),
            images: on.images.clone(),
            clock: on.clock.clone(),
            tasks: tasks.clone(),
        });
        let mut cluster =
            Self { api, client, informers, nodes: Vec::new(), network: Arc::clone(&on.network), tasks, spec };
        cluster.informers.synced().await;
        for node in &cluster.spec.nodes {
            match NodeAgent::start(Arc::clone(&site), node.clone()).await {
                Ok(agent) => {
                    cluster.api.set_kubelet(node.name.clone(), agent.clone());
                    cluster.nodes.push(agent);
                }
                Err(error) => {
                    cluster.stop().await;
                    return Err(error.into());
                }
            }
        }
        cluster.start_controllers(&on, &recorder);
        Ok(cluster)
    }

    fn start_controllers(&self, on: &Surroundings, recorder: &Recorder) {
        let all = &self.informers;
        let (client, informers) = (|| self.client.clone(), || Arc::clone(all));
        let (nodes, pods, sets) = (&all.nodes, &all.pods, &all.replica_sets);
        let Informers { services, slices, deployments, daemon_sets, namespaces, .. } = all.as_ref();
        let start = Starter { tasks: &self.tasks, clock: &on.clock };
        start.control(
            Deployments { client: client(), informers: informers() },
            vec![deployments.subscribe(), sets.subscribe(), pods.subscribe()],
        );
        start.control(
            ReplicaSets { client: client(), informers: informers() },
            vec![sets.subscribe(), pods.subscribe()],
        );
        start.control(
            DaemonSets { client: client(), informers: informers() },
            vec![daemon_sets.subscribe(), nodes.subscribe(), pods.subscribe()],
        );
        start.control(
            Scheduler::new(client(), informers(), recorder.clone()),
            vec![pods.subscribe(), nodes.subscribe()],
        );
        start.control(
            EndpointsController::new(client(), informers()),
            vec![services.subscribe(), pods.subscribe(), nodes.subscribe()],
        );
        start.control(
            Proxy::new(informers(), Arc::clone(&on.network), self.spec.vpc.clone()),
            vec![services.subscribe(), slices.subscribe()],
        );
        let place = (self.spec.name.clone(), self.spec.region.clone(), self.spec.vpc.clone());
        start.control(
            LoadBalancers::new(client(), informers(), recorder.clone(), Arc::clone(&on.aws), place),
            vec![services.subscribe(), nodes.subscribe()],
        );
        start.control(Namespaces::new(client(), informers()), vec![namespaces.subscribe()]);
    }

    /// What the cluster was started with.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// URL of the Kubernetes API.
    pub fn url(&self) -> String {
        self.api.url()
    }

    /// A client of the Kubernetes API.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Arc<NodeAgent>] {
        &self.nodes
    }

    /// What exists in the cluster, as its controllers see it.
    pub fn informers(&self) -> &Arc<Informers> {
        &self.informers
    }

    /// Stops everything, and gives back the addresses and hosts of nodes and pods.
    pub async fn stop(&self) {
        self.tasks.shutdown().await;
        self.api.shutdown().await;
        for node in &self.nodes {
            node.release().await;
        }
        self.network.program_services(&self.spec.vpc, ServiceTable::default()).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Starts controllers.
struct Starter<'a> {
    tasks: &'a Tasks,
    clock: &'a Clock,
}

impl Starter<'_> {
    fn control(&self, controller: impl Reconcile, changes: Vec<watch::Receiver<u64>>) {
        self.tasks.spawn(run(controller, self.clock.clone(), changes));
    }
}
