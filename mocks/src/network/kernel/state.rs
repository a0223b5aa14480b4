//! The namespaces of the network, and bringing them up to date with the AWS state.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use acrossk8s_vpc::{Fabric, Prepared};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::balancer;
use super::namespace::{Crew, Namespace};
use super::node::{self, Node, Pod};
use super::router::{Far, Numbers, View, device};
use super::stack::Stack;
use crate::network::{HostKind, HostSpec, ServiceTable};

/// The greatest packet within a VPC, and over peering within a region (EC2 User Guide, "Network maximum transmission unit
/// (MTU) for your EC2 instance": jumbo frames).
const MTU: u32 = 9001;
/// The greatest packet over peering between regions (the same page: "inter-region VPC peering traffic"). A greater one is
/// cut up, or dropped where it says "don't fragment"; the sender is told by ICMP.
const MTU_BETWEEN_REGIONS: u32 = 8500;

/// All namespaces of the network.
#[derive(Default)]
pub(super) struct State {
    vpcs: BTreeMap<String, Vpc>,
}

/// A VPC and everything in it.
struct Vpc {
    router: Stack,
    numbers: Numbers,
    hosts: BTreeMap<Ipv4Addr, Attached>,
}

/// A host, in its namespace.
struct Attached {
    spec: HostSpec,
    stack: Stack,
    gone: CancellationToken,
    /// Whether it is there for its pods alone: no node is attached.
    bare: bool,
    /// Of a node.
    pods: BTreeMap<Ipv4Addr, Pod>,
}

impl State {
    /// Puts a host into a namespace, its own or, for a node, the one that its pods are connected to.
    pub(super) async fn attach(&mut self, crew: &Crew, spec: &HostSpec) -> io::Result<(Namespace, CancellationToken)> {
        if !self.vpcs.contains_key(&spec.vpc) {
            let vpc = Vpc { router: Stack::make(crew).await?, numbers: Numbers::default(), hosts: BTreeMap::new() };
            self.vpcs.insert(spec.vpc.clone(), vpc);
        }
        let Some(vpc) = self.vpcs.get_mut(&spec.vpc) else { return Err(io::ErrorKind::NotFound.into()) };
        match vpc.hosts.get_mut(&spec.address) {
            Some(there) if there.bare && spec.kind == HostKind::Node => {
                (there.bare, there.spec, there.gone) = (false, spec.clone(), CancellationToken::new());
                return Ok((there.stack.namespace.clone(), there.gone.clone()));
            }
            Some(there) => {
                let message = format!("{} of {} is {}'s already", spec.address, spec.vpc, there.spec.name);
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            None => {}
        }
        let mut host = Attached::make(crew, spec.clone(), false).await?;
        if let HostKind::Pod { node: address, source_nat, excluded } = &spec.kind {
            if !vpc.hosts.contains_key(address) {
                let name = format!("the node of {}", spec.name);
                let machine = HostSpec { name, vpc: spec.vpc.clone(), address: *address, kind: HostKind::Node };
                vpc.hosts.insert(*address, Attached::make(crew, machine, true).await?);
            }
            let Some(node) = vpc.hosts.get_mut(address) else { return Err(io::ErrorKind::NotFound.into()) };
            let device = device("po", &spec.address.to_string());
            if let Err(error) = connect(&mut node.stack, &mut host.stack, &device, spec.address).await {
                node.stack.remove(&device).await?;
                return Err(error);
            }
            let pod = Pod { device, source_nat: *source_nat, excluded: excluded.clone() };
            node.pods.insert(spec.address, pod);
        }
        let made = (host.stack.namespace.clone(), host.gone.clone());
        vpc.hosts.insert(spec.address, host);
        Ok(made)
    }

    /// Whether a host is attached.
    #[cfg(test)]
    pub(super) fn has(&self, vpc: &str, address: Ipv4Addr) -> bool {
        self.vpcs.get(vpc).is_some_and(|vpc| vpc.hosts.contains_key(&address))
    }

    /// Takes a host off the network. A node's namespace stays while there are pods on it.
    pub(super) async fn detach(&mut self, vpc: &str, address: Ipv4Addr) {
        let Some(vpc) = self.vpcs.get_mut(vpc) else { return };
        let Some(host) = vpc.hosts.get_mut(&address) else { return };
        host.gone.cancel();
        host.bare = true;
        if !host.pods.is_empty() {
            return;
        }
        let Some(host) = vpc.hosts.remove(&address) else { return };
        for device in host.stack.devices().filter(|_| !matches!(host.spec.kind, HostKind::Pod { .. })) {
            if let Err(error) = vpc.router.remove(device).await {
                tracing::warn!(%error, host = host.spec.name, "a host's link is left");
            }
        }
        let HostKind::Pod { node: on, .. } = &host.spec.kind else { return };
        let Some(node) = vpc.hosts.get_mut(on) else { return };
        if let Some(pod) = node.pods.remove(&address)
            && let Err(error) = node.stack.remove(&pod.device).await
        {
            tracing::warn!(%error, pod = host.spec.name, "a pod's link is left");
        }
        if node.bare && node.pods.is_empty() {
            vpc.hosts.remove(on);
        }
    }

    /// Brings everything up to date.
    pub(super) async fn update(
        &mut self,
        fabric: &Arc<Fabric>,
        services: &Mutex<BTreeMap<String, Arc<ServiceTable>>>,
    ) -> io::Result<()> {
        // A VPC without hosts needs no router, unless it is there already.
        self.vpcs.retain(|id, vpc| fabric.vpcs.contains_key(id) || !vpc.hosts.is_empty());
        let prepared = Prepared::new(Arc::clone(fabric));
        let ids: Vec<String> = self.vpcs.keys().cloned().collect();
        for id in &ids {
            self.links(fabric, id).await?;
        }
        for id in &ids {
            let services = services.lock().get(id).cloned();
            if let Some(vpc) = self.vpcs.get_mut(id) {
                vpc.update(&prepared, id, services.as_deref()).await?;
            }
        }
        Ok(())
    }

    /// Makes and removes the links of a VPC's router.
    async fn links(&mut self, fabric: &Fabric, id: &str) -> io::Result<()> {
        let Some(vpc) = self.vpcs.get_mut(id) else { return Ok(()) };
        let wanted = vpc.view(fabric, id).map(|view| view.devices()).unwrap_or_default();
        let surplus: Vec<String> = vpc.router.devices().filter(|it| !wanted.contains_key(*it)).cloned().collect();
        for device in &surplus {
            vpc.router.remove(device).await?;
            vpc.hosts.values_mut().for_each(|host| host.stack.forget(device));
        }
        for other in self.vpcs.values_mut() {
            surplus.iter().for_each(|device| other.router.forget(device));
        }
        for (device, far) in wanted {
            let Some(mut vpc) = self.vpcs.remove(id) else { return Ok(()) };
            let joined = match &far {
                _ if vpc.router.has(&device) => Ok(()),
                Far::Host(address) => match vpc.hosts.get_mut(address) {
                    Some(host) => host.join(&mut vpc.router, &device).await,
                    None => Ok(()),
                },
                Far::Peering { vpc: other } => match self.vpcs.get_mut(other) {
                    Some(there) => {
                        let region = |vpc: &str| fabric.vpcs.get(vpc).map(|vpc| vpc.region.as_str());
                        let mtu = if region(id) == region(other) { MTU } else { MTU_BETWEEN_REGIONS };
                        Stack::join((&mut vpc.router, &device), (&mut there.router, &device), mtu).await
                    }
                    None => Ok(()),
                },
            };
            self.vpcs.insert(id.to_owned(), vpc);
            joined?;
        }
        Ok(())
    }
}

/// Joins a pod to its node and shows it the way out.
async fn connect(node: &mut Stack, pod: &mut Stack, device: &str, address: Ipv4Addr) -> io::Result<()> {
    Stack::join((node, device), (pod, device), MTU).await?;
    pod.own_once(device, address).await?;
    pod.apply(&node::pod(device)).await
}

impl Attached {
    async fn make(crew: &Crew, spec: HostSpec, bare: bool) -> io::Result<Self> {
        let stack = Stack::make(crew).await?;
        Ok(Self { spec, stack, gone: CancellationToken::new(), bare, pods: BTreeMap::new() })
    }

    /// Joins one of its interfaces to the router, or leaves no link.
    async fn join(&mut self, router: &mut Stack, device: &str) -> io::Result<()> {
        let joined = match Stack::join((router, device), (&mut self.stack, device), MTU).await {
            Ok(()) => self.stack.own_once(device, self.spec.address).await,
            failed => failed,
        };
        if joined.is_err() {
            router.remove(device).await?;
            self.stack.forget(device);
        }
        joined
    }
}

impl Vpc {
    fn view<'f>(&self, fabric: &'f Fabric, id: &'f str) -> Option<View<'f>> {
        let hosts = self.hosts.iter().filter(|(_, host)| !matches!(host.spec.kind, HostKind::Pod { .. }));
        View::new(fabric, id, &hosts.map(|(address, host)| (*address, host.spec.kind.clone())).collect())
    }

    async fn update(&mut self, prepared: &Prepared, id: &str, services: Option<&ServiceTable>) -> io::Result<()> {
        let fabric = prepared.fabric();
        let Some(mut view) = self.view(fabric, id) else { return Ok(()) };
        // A peering connection to a VPC without hosts has no device.
        view.peerings.retain(|_, (device, _)| self.router.has(device));
        let layout = view.layout(&mut self.numbers);
        self.router.apply(&layout).await?;
        for (address, host) in &mut self.hosts {
            let layout = match &host.spec.kind {
                HostKind::Pod { .. } => continue,
                HostKind::Node => {
                    let ports = view.ports.iter().filter(|port| port.host == *address).collect();
                    Node { fabric, vpc: id, address: *address, ports, pods: &host.pods, services }.layout()
                }
                HostKind::LoadBalancer => {
                    let device = host.stack.devices().next().cloned();
                    balancer::layout(prepared, id, *address, device.as_deref())
                }
            };
            host.stack.apply(&layout).await?;
        }
        Ok(())
    }
}
