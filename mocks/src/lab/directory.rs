//! Who is on the network, for whoever wants to step in: pods and nodes of clusters, and what else has an address.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::world::World;
use crate::kubernetes::node::HostFiles;
use crate::network::{HostKind, NetworkNamespace};

/// A host on the lab's network. A pod with `hostNetwork` is listed beside its node, with the node's address and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabHost {
    /// What it is.
    #[serde(flatten)]
    pub role: HostRole,
    /// Name: of a pod within its namespace, of a node the private DNS name.
    pub name: String,
    /// VPC.
    pub vpc: String,
    /// Address.
    pub address: Ipv4Addr,
    /// Where its network is found; none when the lab's network has no namespaces.
    pub network_namespace: Option<NetworkNamespace>,
    /// How it resolves names; none for what runs no programs of a person's choice.
    pub files: Option<HostFiles>,
}

/// What a host is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HostRole {
    /// A pod.
    Pod {
        /// Cluster.
        cluster: String,
        /// Namespace.
        namespace: String,
        /// Whether it is on its node's network.
        host_network: bool,
    },
    /// A node.
    Node {
        /// Cluster.
        cluster: String,
    },
    /// An interface of a load balancer.
    LoadBalancer,
    /// The DNS server of a VPC.
    DnsServer,
}

impl LabHost {
    /// Its full name: `cluster/namespace/pod`, `cluster/node`, else its name.
    pub fn path(&self) -> String {
        match &self.role {
            HostRole::Pod { cluster, namespace, .. } => format!("{cluster}/{namespace}/{}", self.name),
            HostRole::Node { cluster } => format!("{cluster}/{}", self.name),
            HostRole::LoadBalancer | HostRole::DnsServer => self.name.clone(),
        }
    }
}

/// All hosts, by full name. Those of a cluster that is not up yet, or goes down, are not among them.
pub(super) fn list(world: &World) -> Vec<LabHost> {
    let clusters: Vec<_> = world.clusters.lock().values().cloned().collect();
    let attached = world.hosts.attached();
    let mut all = Vec::new();
    for running in &clusters {
        let spec = running.cluster.spec();
        let (cluster, vpc) = (&spec.name, &spec.vpc);
        for node in running.cluster.nodes() {
            let machine = &node.spec().name;
            for pod in node.connected_pods() {
                let Some(host) = attached.get(&(vpc.clone(), pod.address)) else { continue };
                // The address of a pod that has ended may be another's by now.
                if !pod.host_network && host.spec.name != pod.host_name {
                    continue;
                }
                all.push(LabHost {
                    role: HostRole::Pod {
                        cluster: cluster.clone(),
                        namespace: pod.namespace,
                        host_network: pod.host_network,
                    },
                    name: pod.name,
                    vpc: vpc.clone(),
                    address: pod.address,
                    network_namespace: host.namespace,
                    files: Some(pod.files),
                });
            }
            let address = node.spec().address;
            let Some(host) = attached.get(&(vpc.clone(), address)) else { continue };
            all.push(LabHost {
                role: HostRole::Node { cluster: cluster.clone() },
                name: machine.clone(),
                vpc: vpc.clone(),
                address,
                network_namespace: host.namespace,
                files: Some(node.files()),
            });
        }
    }
    let others = attached.into_iter().filter(|(_, host)| host.spec.kind == HostKind::LoadBalancer);
    all.extend(others.map(|((vpc, address), host)| {
        let is_resolver = clusters.iter().any(|running| running.resolver.is_at(&vpc, address));
        LabHost {
            role: if is_resolver { HostRole::DnsServer } else { HostRole::LoadBalancer },
            name: host.spec.name,
            vpc,
            address,
            network_namespace: host.namespace,
            files: None,
        }
    }));
    all.sort_by_key(LabHost::path);
    all
}
