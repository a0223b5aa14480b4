//! What the kubelet writes into every pod besides its volumes, for whoever steps into a pod from outside.

use std::net::Ipv4Addr;
use std::sync::Arc;

use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::pod::PodWorker;
use super::{NodeAgent, dns};
use crate::workloads::resolver::hosts_file;

/// How a pod or a node sees itself and resolves names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFiles {
    /// Its hostname.
    pub hostname: String,
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Text of `/etc/hosts`.
    pub hosts: String,
}

/// A pod that is on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Address: the node's for `hostNetwork`.
    pub address: Ipv4Addr,
    /// Whether it is on its node's network.
    pub host_network: bool,
    /// Name of the host that was attached for it; that of a pod with `hostNetwork` was never attached.
    pub host_name: String,
    /// What the kubelet writes into it.
    pub files: HostFiles,
}

impl NodeAgent {
    /// The pods of this node that have an address.
    pub fn connected_pods(&self) -> Vec<ConnectedPod> {
        let workers: Vec<_> = self.pods.lock().values().map(|running| Arc::clone(&running.worker)).collect();
        workers.iter().filter_map(|worker| self.connected_pod(worker)).collect()
    }

    fn connected_pod(&self, worker: &PodWorker) -> Option<ConnectedPod> {
        let (pod, address) = (worker.object(), worker.host()?.address());
        let namespace = pod.namespace().unwrap_or_default();
        let hostname = worker.hostname();
        let resolv_conf = dns::resolv_conf(&self.site, &namespace, pod.spec.as_ref()?).to_string();
        Some(ConnectedPod {
            name: pod.name_any(),
            address,
            host_network: worker.is_on_host_network(),
            host_name: self.host_name(pod),
            files: HostFiles { hosts: hosts_file(address, &hostname), hostname, resolv_conf },
            namespace,
        })
    }

    /// What the machine itself has.
    pub fn files(&self) -> HostFiles {
        HostFiles {
            hostname: self.spec.name.clone(),
            resolv_conf: dns::of_node(&self.site).to_string(),
            hosts: hosts_file(self.spec.address, &self.spec.name),
        }
    }
}
