//! The network that carries the packets: one trait, so that a lab does not know whether the in-process model or the
//! kernel decides.
//!
//! What is reachable follows from the AWS state (a [`acrossk8s_vpc::Fabric`], read again for each connection and each
//! datagram) and from the services that each cluster's kube-proxy has programmed. Nothing else.

mod breaking;
#[cfg(target_os = "linux")]
pub mod kernel;
pub mod model;
mod trial;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

pub use trial::{Attempt, Trial};

/// Supplies the AWS state that packets obey.
pub trait FabricSource: Send + Sync + 'static {
    /// The present state. Cheap when nothing changed since the last call.
    fn fabric(&self) -> Arc<acrossk8s_vpc::Fabric>;

    /// Is notified whenever the state may have changed by an operation. What time alone changes is not told.
    fn changes(&self) -> tokio::sync::watch::Receiver<()>;
}

/// A network of hosts.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Attaches a host with an address. The address must belong to an interface of its VPC for packets to pass.
    ///
    /// # Errors
    /// `AddrInUse` when another host of the VPC has the address.
    async fn attach(&self, host: HostSpec) -> io::Result<Arc<dyn Host>>;

    /// Detaches a host: its listeners close and its connections break. Unknown hosts are ignored.
    async fn detach(&self, vpc: &str, address: Ipv4Addr);

    /// Replaces what kube-proxy has programmed on the nodes of one VPC.
    async fn program_services(&self, vpc: &str, services: ServiceTable);

    /// A human-readable name of the implementation: `model` or `kernel`.
    fn kind(&self) -> &'static str;
}

/// Which network carries the packets of a lab.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkKind {
    /// The in-process model: needs nothing.
    #[default]
    Model,
    /// The Linux kernel: needs the right to make network namespaces, as root or in a user namespace.
    Kernel,
}

impl std::fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NetworkKind::Model => "model",
            NetworkKind::Kernel => "kernel",
        })
    }
}

impl std::str::FromStr for NetworkKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Model, Self::Kernel]
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| format!("`{name}` is neither `model` nor `kernel`"))
    }
}

/// Where a host is and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// Name for messages, for example `tidb-1/kube-system/coredns-1`.
    pub name: String,
    /// VPC whose address space the address is in.
    pub vpc: String,
    /// The host's address.
    pub address: Ipv4Addr,
    /// What kind of host it is.
    pub kind: HostKind,
}

/// What a host is, which decides the translations on its way out and in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKind {
    /// A node: answers node ports of its cluster's services. Nothing answers at the addresses that its further interfaces
    /// have besides those of pods.
    Node,
    /// A pod on a node. With `source_nat`, packets to addresses outside the VPC leave with the node's address, as the
    /// VPC CNI does by default, except to the `excluded` CIDR blocks (`AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`).
    Pod {
        /// Primary address of the node the pod is on.
        node: Ipv4Addr,
        /// Whether the VPC CNI translates the source (`AWS_VPC_K8S_CNI_EXTERNALSNAT=false`).
        source_nat: bool,
        /// Blocks for which it does not.
        excluded: Vec<ipnet::Ipv4Net>,
    },
    /// An interface of a load balancer: the source of its health checks.
    LoadBalancer,
}

impl HostSpec {
    /// The source address with which a host's packets to an address leave it: the VPC CNI gives those that leave the VPC
    /// the node's address, unless it is told not to.
    fn source_for(&self, fabric: &acrossk8s_vpc::Fabric, services: Option<&ServiceTable>, to: Ipv4Addr) -> Ipv4Addr {
        if to.is_loopback() {
            return to;
        }
        let HostKind::Pod { node, source_nat: true, excluded } = &self.kind else { return self.address };
        let vpc = fabric.vpcs.get(&self.vpc);
        let within = vpc.is_some_and(|vpc| vpc.cidr_blocks.iter().any(|block| block.contains(&to)));
        let service = || services.is_some_and(|services| services.has_cluster_address(to));
        let untranslated = within || excluded.iter().any(|block| block.contains(&to)) || service();
        if untranslated { self.address } else { *node }
    }
}

/// Transport protocol of a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What kube-proxy programs on every node of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceTable {
    /// Cluster address, port and protocol to ready endpoints (address and port).
    pub cluster: BTreeMap<(Ipv4Addr, u16, Transport), Vec<SocketAddrV4>>,
    /// Node port and protocol to ready endpoints. The source becomes the node's address
    /// (`externalTrafficPolicy: Cluster`).
    pub node_ports: BTreeMap<(u16, Transport), Vec<SocketAddrV4>>,
}

impl ServiceTable {
    /// Whether an address is that of a Service, on any port.
    fn has_cluster_address(&self, address: Ipv4Addr) -> bool {
        self.cluster.range((address, 0, Transport::Tcp)..).next().is_some_and(|((first, ..), _)| *first == address)
    }
}

/// A byte stream that a connection carries.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A boxed byte stream.
pub type BoxStream = Box<dyn Stream>;

/// A network namespace of the Linux kernel. It has no name: another process of the same user finds it through the one
/// that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkNamespace {
    /// The open file that holds it, in the process of the network: `/proc/<pid>/fd/<descriptor>`.
    pub descriptor: i32,
    /// Its inode, the number in `net:[4026532000]`: by the time that it is opened, the descriptor may be another's.
    pub inode: u64,
}

/// An end of the network: sockets are opened here.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// The host's own address.
    fn address(&self) -> Ipv4Addr;

    /// The kernel's namespace that it is. None on a network that has no namespaces.
    fn namespace(&self) -> Option<NetworkNamespace> {
        None
    }

    /// The address the other end would see for a connection to `to`.
    fn source_for(&self, to: Ipv4Addr) -> Ipv4Addr;

    /// Listens for TCP connections.
    ///
    /// # Errors
    /// `AddrInUse` when the port is taken.
    async fn listen(&self, port: u16) -> io::Result<Box<dyn Listener>>;

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// `ConnectionRefused` when the packet arrives and nothing listens; `TimedOut` when the packet or its answer is
    /// dropped. An implementation that knows that no answer can come says so without waiting.
    async fn connect(&self, to: SocketAddrV4) -> io::Result<BoxStream>;

    /// Binds a UDP socket; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse` when the port is taken.
    async fn bind(&self, port: u16) -> io::Result<Box<dyn Datagram>>;

    /// Sends an ICMP echo request and waits for the reply.
    ///
    /// # Errors
    /// `TimedOut` when the request or the reply is dropped. An implementation that knows that no reply can come says so
    /// without waiting.
    async fn echo(&self, to: Ipv4Addr) -> io::Result<()>;

    /// The means to run real programs where the host is: `None` where no kernel carries its packets.
    #[cfg(target_os = "linux")]
    fn place(&self) -> Option<kernel::process::Place> {
        None
    }
}

/// Accepts TCP connections.
#[async_trait]
pub trait Listener: Send + Sync {
    /// The next connection, with the source address as seen here.
    ///
    /// # Errors
    /// `NotConnected` when the host has been detached.
    async fn accept(&self) -> io::Result<(BoxStream, SocketAddrV4)>;
}

/// A UDP socket.
#[async_trait]
pub trait Datagram: Send + Sync {
    /// Sends one datagram. A drop on the way is not an error.
    ///
    /// # Errors
    /// `NotConnected` when the host has been detached.
    async fn send_to(&self, payload: &[u8], to: SocketAddrV4) -> io::Result<()>;

    /// Receives one datagram, with the source address as seen here.
    ///
    /// # Errors
    /// `NotConnected` when the host has been detached; `ConnectionRefused` when a datagram sent from here met a closed
    /// port; `TimedOut` when a datagram sent from here, or the answer to it, is known to have been dropped.
    async fn recv_from(&self) -> io::Result<(Vec<u8>, SocketAddrV4)>;
}

#[cfg(test)]
pub(crate) mod tests;
