//! One cluster of a lab: what runs in it, the VPC's resolver beside it, and the add-ons that EKS and eksctl put into it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Service, Taint};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};

use super::{Lab, LabError, addons};
use crate::aws::eks;
use crate::eksctl::{self, ClusterConfig, Created};
use crate::kubernetes::cluster::{Cluster, ClusterSpec, Surroundings};
use crate::kubernetes::node::{NodeError, NodeSpec, private_domain};
use crate::network::{Host, HostKind, HostSpec, Network};
use crate::workloads::{dns, vpc_resolver};

/// How long a cluster may take to come up, in real time: far more than it needs on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that runs.
pub(super) struct LabCluster {
    cluster: Cluster,
    network: Arc<dyn Network>,
    resolver: Ipv4Addr,
    /// The resolver at that address; ends with the cluster.
    _server: dns::Server,
}

impl LabCluster {
    /// Starts everything of a cluster that AWS knows already.
    pub(super) async fn start(lab: &Lab, config: &ClusterConfig, created: Created) -> Result<Self, LabError> {
        let (name, region) = (config.metadata.name.clone(), config.metadata.region.clone());
        let resolver = Ipv4Addr::from(u32::from(config.cidr_block().network()) + 2);
        let nodes = created.nodes.into_iter().map(|node| node_spec(config, node)).collect();
        let server = serve_names(lab, &name, &region, &created.vpc, resolver).await?;
        let spec = ClusterSpec {
            name: name.clone(),
            region: region.clone(),
            vpc: created.vpc.clone(),
            service_cidr: created.service_cidr,
            vpc_resolver: resolver,
            version: config.metadata.version.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            nodes,
        };
        let surroundings = Surroundings {
            aws: lab.aws.clone(),
            network: lab.network.clone(),
            images: lab.images.clone(),
            clock: lab.clock.clone(),
        };
        let cluster = match Cluster::start(spec, surroundings).await {
            Ok(cluster) => cluster,
            Err(error) => {
                lab.network.detach(&created.vpc, resolver).await;
                return Err(error.into());
            }
        };
        let this = Self { cluster, network: lab.network.clone(), resolver, _server: server };
        let installed = async {
            addons::install(&this.cluster.client(), created.service_cidr).await.map_err(|error| this.refused(error))?;
            let url = this.cluster.url();
            lab.aws.with(&region, |state, context| eks::set_endpoint(state, context, &name, &url))?;
            Ok(())
        };
        match installed.await {
            Ok(()) => Ok(this),
            Err(error) => {
                this.stop().await;
                Err(error)
            }
        }
    }

    fn refused(&self, error: kube::Error) -> LabError {
        LabError::Kubernetes { cluster: self.cluster.spec().name.clone(), error: Box::new(error) }
    }

    fn late(&self, last_seen: String) -> LabError {
        LabError::Timeout { cluster: self.cluster.spec().name.clone(), seconds: PATIENCE.as_secs(), last_seen }
    }

    /// URL of the Kubernetes API.
    pub(super) fn url(&self) -> String {
        self.cluster.url()
    }

    /// Waits until every node is Ready and CoreDNS is available.
    pub(super) async fn ready(&self) -> Result<(), LabError> {
        let (nodes, informers) = (self.cluster.spec().nodes.len(), self.cluster.informers());
        let up = async {
            informers
                .nodes
                .until(|found| (found.iter().filter(|it| is_ready(it)).count() >= nodes).then_some(()))
                .await;
            // A cluster without nodes has nothing to run CoreDNS on, as with eksctl.
            if nodes > 0 {
                let up = |found: &[Arc<Deployment>]| {
                    (!found.is_empty() && found.iter().all(|it| is_available(it))).then_some(())
                };
                informers.deployments.until(up).await;
            }
        };
        tokio::time::timeout(PATIENCE, up).await.map_err(|_| self.late(self.last_seen()))
    }

    fn last_seen(&self) -> String {
        let (nodes, pods) = (self.cluster.informers().nodes.list(), self.cluster.informers().pods.list());
        let ready = nodes.iter().filter(|it| is_ready(it)).count();
        let phase = |pod: &k8s_openapi::api::core::v1::Pod| {
            pod.status.as_ref().and_then(|it| it.phase.clone()).unwrap_or_else(|| "Pending".to_owned())
        };
        let pods: Vec<_> = pods.iter().map(|pod| format!("{} {}", pod.name_any(), phase(pod))).collect();
        format!("{ready} of {} nodes Ready; pods: {}", nodes.len(), pods.join(", "))
    }

    /// Deletes the Services of type LoadBalancer, as eksctl does first, and waits until they are gone.
    pub(super) async fn delete_load_balancers(&self) -> Result<(), LabError> {
        let is_one = |it: &Service| it.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        let services = &self.cluster.informers().services;
        for service in services.list().iter().filter(|it| is_one(it)) {
            let api: Api<Service> = Api::namespaced(self.cluster.client(), &service.namespace().unwrap_or_default());
            match api.delete(&service.name_any(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(self.refused(error)),
                Ok(_) => {}
            }
        }
        let gone = services.until(|found| found.iter().all(|it| !is_one(it)).then_some(()));
        let late = || self.late("a Service of type LoadBalancer is still there".to_owned());
        tokio::time::timeout(PATIENCE, gone).await.map_err(|_| late())
    }

    /// Stops everything, and gives back what it holds of the network.
    pub(super) async fn stop(&self) {
        self.cluster.stop().await;
        self.network.detach(&self.cluster.spec().vpc, self.resolver).await;
    }
}

/// Serves the VPC's own resolver, which knows the load balancers of the region and the private names of instances.
async fn serve_names(
    lab: &Lab,
    name: &str,
    region: &str,
    vpc: &str,
    address: Ipv4Addr,
) -> Result<dns::Server, LabError> {
    let spec =
        HostSpec { name: format!("{name}/AmazonProvidedDNS"), vpc: vpc.to_owned(), address, kind: HostKind::Node };
    let refused = |source| NodeError::Network { node: "AmazonProvidedDNS".to_owned(), source };
    let host: Arc<dyn Host> = lab.network.attach(spec).await.map_err(refused)?;
    let (aws, region) = (lab.aws.clone(), region.to_owned());
    let names = Arc::new(move |name: &str| {
        let domain = private_domain(&region);
        if let Some(host) = name.strip_suffix(&domain).and_then(|it| it.strip_suffix('.')) {
            return Some(vec![host.strip_prefix("ip-")?.replace('-', ".").parse().ok()?]);
        }
        aws.read(&region, |state, _| {
            let found = state.elbv2.load_balancers.values().find(|it| it.dns_name().eq_ignore_ascii_case(name))?;
            let address = |interface: &String| state.ec2.interfaces.get(interface)?.addresses.first().copied();
            Some(found.zones.iter().filter_map(|zone| address(&zone.interface)).collect())
        })
    });
    vpc_resolver::start(&*host, names).await.map_err(|source| refused(source).into())
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
