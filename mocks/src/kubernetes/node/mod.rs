//! The node agent: what kubelet and the VPC CNI do on a node.
//!
//! A [`NodeAgent`] registers its Node, runs the pods that are bound to it as programs in process
//! ([`crate::workloads::Program`]), gives each an address of the node's own network interface, and answers exec, logs and
//! port forwarding. It is a client of the API; its end of AWS is the EC2 state, where the VPC CNI would ask the EC2 API.
//!
//! Not emulated: resources, probes of the spec (a program tells itself when it is ready), persistent volumes, static pods,
//! leases, eviction.

mod cni;
mod container;
mod dns;
mod environment;
mod files;
mod kubelet;
mod pod;
mod registration;
mod status;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Taint};
use kube::ResourceExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::aws::{Aws, AwsError};
use crate::clock::Clock;
use crate::kubernetes::cluster::Tasks;
use crate::kubernetes::controllers::events::Recorder;
use crate::kubernetes::controllers::{Informers, Key, key_of, pods};
use crate::network::{Host, HostKind, HostSpec, Network};
use crate::workloads::Images;

pub use dns::private_domain;
pub use files::{ConnectedPod, HostFiles};

/// What all nodes of a cluster share.
pub struct Site {
    /// Name of the cluster.
    pub cluster: String,
    /// AWS region.
    pub region: String,
    /// VPC of the nodes.
    pub vpc: String,
    /// The VPC's own DNS server: the address after the base of its CIDR block, plus one.
    pub vpc_resolver: Ipv4Addr,
    /// Cluster address of the cluster's DNS server (`--cluster-dns`).
    pub cluster_dns: Ipv4Addr,
    /// Client of the cluster's API.
    pub client: kube::Client,
    /// What exists in the cluster.
    pub informers: Arc<Informers>,
    /// Writes events.
    pub recorder: Recorder,
    /// The account, for addresses.
    pub aws: Arc<Aws>,
    /// The network.
    pub network: Arc<dyn Network>,
    /// Programs by image.
    pub images: Images,
    /// The lab's clock.
    pub clock: Clock,
    /// The cluster's tasks.
    pub tasks: Tasks,
}

/// One node, as the node group made it.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Name: the instance's private DNS name, for example `ip-10-1-3-4.us-west-2.compute.internal`.
    pub name: String,
    /// EC2 instance.
    pub instance: String,
    /// Its primary network interface.
    pub interface: String,
    /// Its primary private address.
    pub address: Ipv4Addr,
    /// Availability zone.
    pub zone: String,
    /// Instance type.
    pub instance_type: String,
    /// `gitVersion` of its kubelet.
    pub kubelet_version: String,
    /// Labels beside the well-known ones.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The API server refused the Node.
    #[error("node {node} is not registered: {source}")]
    Register {
        /// Name of the node.
        node: String,
        /// Why.
        source: kube::Error,
    },
    /// The node got no place in the network.
    #[error("node {node} has no network: {source}")]
    Network {
        /// Name of the node.
        node: String,
        /// Why.
        source: io::Error,
    },
}

/// The agent of one node.
pub struct NodeAgent {
    site: Arc<Site>,
    spec: NodeSpec,
    host: Arc<dyn Host>,
    pods: Mutex<BTreeMap<Key, Running>>,
    /// Uids of pods that have ended here and that the watch has not yet told the end of.
    ended: Mutex<BTreeSet<String>>,
    /// Addresses of pods that were taken from the interface, attached or not.
    addresses: Mutex<BTreeSet<Ipv4Addr>>,
}

/// A pod that runs here.
#[derive(Clone)]
struct Running {
    uid: String,
    /// The pod as last seen; none when it is gone from the API.
    object: watch::Sender<Option<Arc<Pod>>>,
    worker: Arc<pod::PodWorker>,
}

impl NodeAgent {
    /// Connects the node to the network, registers it and begins to run its pods. They run until the site's tasks are
    /// cancelled; then [`NodeAgent::release`] gives back what the node holds.
    ///
    /// # Errors
    /// [`NodeError`] when the network or the API server refuses the node.
    pub async fn start(site: Arc<Site>, spec: NodeSpec) -> Result<Arc<Self>, NodeError> {
        let host = HostSpec {
            name: format!("{}/{}", site.cluster, spec.name),
            vpc: site.vpc.clone(),
            address: spec.address,
            kind: HostKind::Node,
        };
        let attached = site.network.attach(host).await;
        let host = attached.map_err(|source| NodeError::Network { node: spec.name.clone(), source })?;
        if let Err(source) = registration::register(&site, &spec).await {
            site.network.detach(&site.vpc, spec.address).await;
            return Err(NodeError::Register { node: spec.name, source });
        }
        let agent = Arc::new(Self {
            site: Arc::clone(&site),
            spec,
            host,
            pods: Mutex::default(),
            ended: Mutex::default(),
            addresses: Mutex::default(),
        });
        site.tasks.spawn(Arc::clone(&agent).sync_pods());
        Ok(agent)
    }

    /// The node.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Detaches the node and its pods from the network and gives their addresses back, once the tasks have ended.
    pub async fn release(&self) {
        self.pods.lock().clear();
        let addresses = std::mem::take(&mut *self.addresses.lock());
        for address in addresses {
            self.site.network.detach(&self.site.vpc, address).await;
            if let Err(error) = self.unassign(address) {
                tracing::debug!(%address, %error, "address not given back");
            }
        }
        self.site.network.detach(&self.site.vpc, self.spec.address).await;
    }

    /// Looks at the pods whenever one has changed, for ever.
    async fn sync_pods(self: Arc<Self>) {
        let mut changes = self.site.informers.pods.subscribe();
        loop {
            changes.borrow_and_update();
            self.dispatch();
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells the workers how their pods have changed, and starts one for each pod that is bound here and has none.
    fn dispatch(self: &Arc<Self>) {
        let mut mine = self.site.informers.pods.list();
        mine.retain(|pod| pods::node(pod) == Some(&self.spec.name));
        let mut running = self.pods.lock();
        let mut ended = self.ended.lock();
        ended.retain(|uid| mine.iter().any(|pod| pod.uid().as_ref() == Some(uid)));
        for (key, pod) in running.iter() {
            let now =
                mine.iter().find(|object| key_of(object.as_ref()) == *key && object.uid().as_ref() == Some(&pod.uid));
            pod.object.send_if_modified(|known| {
                let version = |pod: Option<&Arc<Pod>>| pod.and_then(|pod| pod.metadata.resource_version.clone());
                let changed = version(known.as_ref()) != version(now);
                *known = now.cloned();
                changed
            });
        }
        for pod in mine {
            let key = key_of(pod.as_ref());
            // One of the same name may still be stopping here: its end looks again.
            let uid = pod.uid().unwrap_or_default();
            if running.contains_key(&key) || ended.contains(&uid) || pods::is_finished(&pod) {
                continue;
            }
            let (object, changes) = watch::channel(Some(Arc::clone(&pod)));
            let worker = Arc::new(pod::PodWorker::new(Arc::clone(self), Arc::clone(&pod)));
            let entry = Running { uid, object, worker: Arc::clone(&worker) };
            running.insert(key, entry);
            self.site.tasks.spawn(worker.run(changes));
        }
    }

    /// Forgets a pod whose worker has ended. One of the same name may begin.
    fn forget(self: &Arc<Self>, key: &Key) {
        if let Some(running) = self.pods.lock().remove(key) {
            self.ended.lock().insert(running.uid);
        }
        self.dispatch();
    }

    fn unassign(&self, address: Ipv4Addr) -> Result<(), AwsError> {
        self.site.aws.with(&self.site.region, |state, context| {
            state.ec2.unassign_private_address(context, &self.spec.interface, address)
        })
    }
}
