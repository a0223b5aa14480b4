//! What the tasks of a run share: the topology, the clients, what earlier tasks found out, and the journal.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use acrossk8s_aws::{Clients, Regions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::engine::Failure;
use crate::environment::{Environment, Patience};
use crate::journal::Journal;
use crate::observation::Probe;
use crate::topology::{Cluster, ClusterIndex, Pair, Topology};

/// What the tasks of a run share.
pub struct World {
    /// What is wanted.
    pub topology: Topology,
    /// Where it runs.
    pub environment: Arc<dyn Environment>,
    /// AWS, by region.
    pub aws: Regions,
    /// Id of the run: the value of the tag on everything it makes.
    pub run_id: String,
    /// Directory of the run.
    pub directory: PathBuf,
    /// What was made.
    pub journal: Arc<Journal>,
    /// What earlier tasks found out.
    pub facts: Mutex<Facts>,
    /// What the check of step 3 saw.
    pub probes: Mutex<Vec<Probe>>,
    kubernetes: tokio::sync::Mutex<BTreeMap<usize, kube::Client>>,
}

/// What tasks found out for later ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// By cluster.
    pub clusters: BTreeMap<usize, ClusterFacts>,
    /// Peering connection ids by pair (requester, accepter).
    pub peerings: Vec<(Pair, String)>,
}

/// What tasks found out about one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// The configuration file that eksctl gets.
    pub config: Option<String>,
    /// Its kubeconfig context.
    pub context: Option<String>,
    /// Its VPC.
    pub vpc: Option<String>,
    /// Its subnets, as EKS has them.
    pub subnets: Vec<String>,
    /// Name of the load balancer in front of its CoreDNS.
    pub load_balancer: Option<String>,
    /// Addresses of that load balancer.
    pub load_balancer_addresses: Vec<Ipv4Addr>,
    /// The ConfigMap of CoreDNS before it was edited, as YAML.
    pub coredns_backup: Option<String>,
    /// How many reloads the log of each CoreDNS pod told of before the edit.
    pub reloads_before: BTreeMap<String, usize>,
    /// Whether the ConfigMap of CoreDNS was changed by this run.
    pub corefile_edited: bool,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(
        topology: Topology,
        environment: Arc<dyn Environment>,
        run_id: String,
        directory: PathBuf,
        journal: Arc<Journal>,
    ) -> Self {
        let aws = Regions::new(&environment.access(), topology.regions());
        Self {
            topology,
            environment,
            aws,
            run_id,
            directory,
            journal,
            facts: Mutex::default(),
            probes: Mutex::default(),
            kubernetes: tokio::sync::Mutex::default(),
        }
    }

    /// A cluster of the topology.
    pub fn cluster(&self, index: ClusterIndex) -> &Cluster {
        self.topology.cluster(index)
    }

    /// How long to wait for what.
    pub fn patience(&self) -> Patience {
        self.environment.patience()
    }

    /// The AWS clients of a cluster's region.
    ///
    /// # Errors
    /// Never for a topology whose regions the clients were made for.
    pub fn aws(&self, index: ClusterIndex) -> Result<&Clients, Failure> {
        let region = &self.cluster(index).region;
        self.aws.get(region).ok_or_else(|| Failure::new(format!("there are no clients for region {region}")))
    }

    /// Changes what is known of a cluster.
    pub fn learn(&self, index: ClusterIndex, change: impl FnOnce(&mut ClusterFacts)) {
        change(self.facts.lock().clusters.entry(index.0).or_default());
    }

    /// What is known of a cluster.
    pub fn known(&self, index: ClusterIndex) -> ClusterFacts {
        self.facts.lock().clusters.get(&index.0).cloned().unwrap_or_default()
    }

    /// The id of a cluster's VPC.
    ///
    /// # Errors
    /// When no task has found it out.
    pub fn vpc(&self, index: ClusterIndex) -> Result<String, Failure> {
        let name = &self.cluster(index).name;
        self.known(index).vpc.ok_or_else(|| Failure::new(format!("the VPC of {name} is not known")))
    }

    /// The id of the peering connection of a pair.
    pub fn peering(&self, pair: Pair) -> Option<String> {
        self.facts.lock().peerings.iter().find(|(known, _)| *known == pair).map(|(_, id)| id.clone())
    }

    /// Notes the peering connection of a pair.
    pub fn learn_peering(&self, pair: Pair, id: String) {
        let mut facts = self.facts.lock();
        facts.peerings.retain(|(known, _)| *known != pair);
        facts.peerings.push((pair, id));
    }

    /// The Kubernetes client of a cluster.
    ///
    /// # Errors
    /// When the cluster has no context yet or its kubeconfig is no good.
    pub async fn kubernetes(&self, index: ClusterIndex) -> Result<kube::Client, Failure> {
        let mut clients = self.kubernetes.lock().await;
        if let Some(client) = clients.get(&index.0) {
            return Ok(client.clone());
        }
        let name = &self.cluster(index).name;
        let kubeconfig = self
            .environment
            .kubeconfig()
            .await
            .map_err(|error| Failure::new(format!("the kubeconfig of {name} cannot be read")).because(error))?;
        let context = context_of(&kubeconfig, self.cluster(index))
            .ok_or_else(|| Failure::new(format!("the kubeconfig has no context for {name}")))?;
        let client = client_of(kubeconfig, context)
            .await
            .map_err(|error| Failure::new(format!("no client for {name} can be made")).because(error))?;
        clients.insert(index.0, client.clone());
        Ok(client)
    }
}

/// The client of a context.
///
/// # Errors
/// When the kubeconfig is no good.
pub(crate) async fn client_of(kubeconfig: Kubeconfig, context: String) -> Result<kube::Client, String> {
    let options = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())?;
    // Without TLS no root certificate is needed, and reading those of the machine takes longer than many a task.
    if config.cluster_url.scheme_str() == Some("http") {
        config.root_cert.get_or_insert_default();
    }
    kube::Client::try_from(config).map_err(|error| error.to_string())
}

/// The context that eksctl writes for a cluster: `<user>@<cluster>.<region>.eksctl.io`.
pub fn context_of(kubeconfig: &Kubeconfig, cluster: &Cluster) -> Option<String> {
    let suffix = format!("@{}.{}.eksctl.io", cluster.name, cluster.region);
    kubeconfig.contexts.iter().map(|context| &context.name).find(|name| name.ends_with(&suffix)).cloned()
}
