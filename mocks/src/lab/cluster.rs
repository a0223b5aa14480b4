//! One cluster of a lab: API server, controllers, node agents and add-ons.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Service, Taint};
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;

use super::{Lab, LabError, addons, start_api_server};
use crate::aws::eks;
use crate::clock::Clock;
use crate::eksctl::{self, ClusterConfig, Created};
use crate::kubernetes::api::ApiServer;
use crate::kubernetes::cluster::Tasks;
use crate::kubernetes::controllers::control_loop::run;
use crate::kubernetes::controllers::daemon_sets::DaemonSets;
use crate::kubernetes::controllers::deployments::Deployments;
use crate::kubernetes::controllers::endpoints::EndpointsController;
use crate::kubernetes::controllers::events::Recorder;
use crate::kubernetes::controllers::load_balancers::LoadBalancers;
use crate::kubernetes::controllers::namespaces::Namespaces;
use crate::kubernetes::controllers::proxy::Proxy;
use crate::kubernetes::controllers::replica_sets::ReplicaSets;
use crate::kubernetes::controllers::scheduler::Scheduler;
use crate::kubernetes::controllers::{Informers, Reconcile};
use crate::kubernetes::node::{NodeAgent, NodeSpec, Site, private_domain};
use crate::network::{Host, HostKind, HostSpec, Network};
use crate::workloads::vpc_resolver::serve_names;

/// How long a cluster may take to come up, in real time: far more than it needs on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that runs.
pub(super) struct LabCluster {
    name: String,
    vpc: String,
    server: ApiServer,
    client: Client,
    informers: Arc<Informers>,
    tasks: Tasks,
    agents: Vec<Arc<NodeAgent>>,
    resolver: Ipv4Addr,
}

impl LabCluster {
    /// Starts everything of a cluster that AWS knows already.
    pub(super) async fn start(lab: &Lab, config: &ClusterConfig, created: Created) -> Result<Self, LabError> {
        let (name, region) = (config.metadata.name.clone(), config.metadata.region.clone());
        let server = start_api_server(config).await?;
        let client = server.client();
        let tasks = Tasks::default();
        let informers = Informers::start(&client, &tasks);
        let recorder = Recorder::start(client.clone(), &tasks);
        let base = u32::from(config.cidr_block().network());
        let mut cluster = Self {
            name: name.clone(),
            vpc: created.vpc.clone(),
            server,
            client: client.clone(),
            informers: informers.clone(),
            tasks: tasks.clone(),
            agents: Vec::new(),
            resolver: Ipv4Addr::from(base + 2),
        };
        let site = Arc::new(Site {
            cluster: name.clone(),
            region: region.clone(),
            vpc: created.vpc.clone(),
            vpc_resolver: cluster.resolver,
            cluster_dns: addons::cluster_dns(created.service_cidr),
            client: client.clone(),
            informers: informers.clone(),
            recorder: recorder.clone(),
            aws: lab.aws.clone(),
            network: lab.network.clone(),
            images: lab.images.clone(),
            clock: lab.clock.clone(),
            tasks: tasks.clone(),
        });
        let started = async {
            cluster.serve_names(lab, &region).await?;
            informers.synced().await;
            let failed = |error| LabError::Kubernetes { cluster: name.clone(), error: Box::new(error) };
            cluster.start_controllers(lab, &site, recorder);
            for node in created.nodes {
                let spec = node_spec(config, node);
                let agent = NodeAgent::start(site.clone(), spec).await?;
                cluster.server.set_kubelet(agent.spec().name.clone(), agent.clone());
                cluster.agents.push(agent);
            }
            addons::install(&client, created.service_cidr).await.map_err(failed)?;
            let url = cluster.server.url();
            lab.aws.with(&region, |state, context| eks::set_endpoint(state, context, &name, &url))?;
            Ok::<_, LabError>(())
        };
        match started.await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.stop().await;
                cluster.leave(&*lab.network).await;
                Err(error)
            }
        }
    }

    /// The VPC's own resolver: it knows the load balancers of the region and the private names of instances.
    async fn serve_names(&self, lab: &Lab, region: &str) -> Result<(), LabError> {
        let spec = HostSpec {
            name: format!("{}/AmazonProvidedDNS", self.name),
            vpc: self.vpc.clone(),
            address: self.resolver,
            kind: HostKind::Node,
        };
        let host: Arc<dyn Host> = lab.network.attach(spec).await.map_err(|source| {
            crate::kubernetes::node::NodeError::Network { node: "AmazonProvidedDNS".to_owned(), source }
        })?;
        let (aws, region) = (lab.aws.clone(), region.to_owned());
        let names = Arc::new(move |name: &str| {
            let domain = private_domain(&region);
            if let Some(host) = name.strip_suffix(&domain).and_then(|it| it.strip_suffix('.')) {
                let address = host.strip_prefix("ip-")?.replace('-', ".").parse().ok()?;
                return Some(vec![address]);
            }
            aws.read(&region, |state, _| {
                let found = state.elbv2.load_balancers.values().find(|it| it.dns_name().eq_ignore_ascii_case(name))?;
                let address = |interface: &String| state.ec2.interfaces.get(interface)?.addresses.first().copied();
                Some(found.zones.iter().filter_map(|zone| address(&zone.interface)).collect())
            })
        });
        self.tasks.spawn(async move {
            if let Err(error) = serve_names(&host, names).await {
                tracing::debug!(%error, "a VPC's resolver ended");
            }
        });
        Ok(())
    }

    fn start_controllers(&self, lab: &Lab, site: &Site, recorder: Recorder) {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let on = |receivers: Vec<watch::Receiver<u64>>| receivers;
        let (pods, services) = (informers.pods.subscribe(), informers.services.subscribe());
        let (nodes, slices) = (informers.nodes.subscribe(), informers.slices.subscribe());
        let deployments = Deployments { client: client.clone(), informers: informers.clone() };
        let watched = on(vec![informers.deployments.subscribe(), informers.replica_sets.subscribe()]);
        self.control(&lab.clock, deployments, watched);
        let replica_sets = ReplicaSets { client: client.clone(), informers: informers.clone() };
        self.control(&lab.clock, replica_sets, on(vec![informers.replica_sets.subscribe(), pods.clone()]));
        let daemon_sets = DaemonSets { client: client.clone(), informers: informers.clone() };
        self.control(&lab.clock, daemon_sets, on(vec![informers.daemon_sets.subscribe(), pods.clone(), nodes.clone()]));
        let scheduler = Scheduler::new(client.clone(), informers.clone(), recorder.clone());
        self.control(&lab.clock, scheduler, on(vec![pods.clone(), nodes.clone()]));
        let endpoints = EndpointsController::new(client.clone(), informers.clone());
        self.control(&lab.clock, endpoints, on(vec![services.clone(), pods, slices.clone()]));
        let namespaces = Namespaces::new(client.clone(), informers.clone());
        self.control(&lab.clock, namespaces, on(vec![informers.namespaces.subscribe()]));
        let proxy = Proxy::new(informers.clone(), lab.network.clone(), self.vpc.clone());
        self.control(&lab.clock, proxy, on(vec![services.clone(), slices]));
        let load_balancers = LoadBalancers {
            client,
            informers,
            recorder,
            aws: lab.aws.clone(),
            region: site.region.clone(),
            cluster: self.name.clone(),
            vpc: self.vpc.clone(),
        };
        self.control(&lab.clock, load_balancers, on(vec![services, nodes]));
    }

    fn control<R: Reconcile>(&self, clock: &Clock, controller: R, changes: Vec<watch::Receiver<u64>>) {
        self.tasks.spawn(run(controller, clock.clone(), changes));
    }

    /// URL of the Kubernetes API.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// Waits until every node is Ready and CoreDNS is available.
    pub(super) async fn ready(&self) -> Result<(), LabError> {
        let nodes = self.agents.len();
        let up = async {
            self.informers
                .nodes
                .until(|found| (found.iter().filter(|it| is_ready(it)).count() >= nodes).then_some(()))
                .await;
            // A cluster without nodes has nothing to run CoreDNS on, as with eksctl.
            if nodes > 0 {
                self.informers.deployments.until(|found| found.iter().all(|it| is_available(it)).then_some(())).await;
            }
        };
        match tokio::time::timeout(PATIENCE, up).await {
            Ok(()) => Ok(()),
            Err(_) => Err(LabError::Timeout {
                cluster: self.name.clone(),
                seconds: PATIENCE.as_secs(),
                last_seen: self.last_seen(),
            }),
        }
    }

    fn last_seen(&self) -> String {
        let nodes = self.informers.nodes.list();
        let ready = nodes.iter().filter(|it| is_ready(it)).count();
        let pods = self.informers.pods.list();
        let pods: Vec<_> = pods
            .iter()
            .map(|pod| {
                let phase = pod.status.as_ref().and_then(|it| it.phase.clone()).unwrap_or_else(|| "Pending".to_owned());
                format!("{} {phase}", pod.name_any())
            })
            .collect();
        format!("{ready} of {} nodes Ready; pods: {}", nodes.len(), pods.join(", "))
    }

    /// Deletes the Services of type LoadBalancer, as eksctl does first, and waits until they are gone.
    pub(super) async fn delete_load_balancers(&self) -> Result<(), LabError> {
        let is_one = |it: &Service| it.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        for service in self.informers.services.list().iter().filter(|it| is_one(it)) {
            let api: Api<Service> = Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
            match api.delete(&service.name_any(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(LabError::Kubernetes { cluster: self.name.clone(), error: Box::new(error) }),
                Ok(_) => {}
            }
        }
        let gone = self.informers.services.until(|found| found.iter().all(|it| !is_one(it)).then_some(()));
        match tokio::time::timeout(PATIENCE, gone).await {
            Ok(()) => Ok(()),
            Err(_) => Err(LabError::Timeout {
                cluster: self.name.clone(),
                seconds: PATIENCE.as_secs(),
                last_seen: "a Service of type LoadBalancer is still there".to_owned(),
            }),
        }
    }

    /// Stops everything, and waits until it has stopped.
    pub(super) async fn stop(&self) {
        self.server.shutdown().await;
        self.tasks.shutdown().await;
    }

    /// Leaves the network.
    pub(super) async fn leave(&self, network: &dyn Network) {
        for agent in &self.agents {
            agent.release().await;
        }
        network.detach(&self.vpc, self.resolver).await;
    }
}

fn node_spec(config: &ClusterConfig, node: eksctl::Node) -> NodeSpec {
    let mut labels = node.labels;
    labels.insert("alpha.eksctl.io/cluster-name".to_owned(), config.metadata.name.clone());
    labels.insert("alpha.eksctl.io/nodegroup-name".to_owned(), node.nodegroup.clone());
    if node.managed {
        labels.insert("eks.amazonaws.com/nodegroup".to_owned(), node.nodegroup);
    }
    let taint = |it: eksctl::Taint| Taint {
        key: it.key,
        value: Some(it.value).filter(|value| !value.is_empty()),
        effect: it.effect,
        time_added: None,
    };
    NodeSpec {
        name: node.name,
        instance: node.instance,
        interface: node.interface,
        address: node.address,
        zone: node.zone,
        instance_type: node.instance_type,
        kubelet_version: format!("v{}.0-eks-emulated", config.metadata.version),
        labels,
        taints: node.taints.into_iter().map(taint).collect(),
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
}

fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0) >= wanted
}
