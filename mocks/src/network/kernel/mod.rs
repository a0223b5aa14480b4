//! The network that the Linux kernel runs: each pod, node, load balancer interface and VPC router is a network namespace,
//! and every packet crosses real routing tables and real nftables rules that follow from the AWS state.
//!
//! ```text
//! pod ── node ── VPC router ── peering ── VPC router ── node ── pod
//!                    │
//!          load balancer interface
//! ```
//!
//! What AWS decides is decided in the router, where no node can touch it: route tables ([`router`]), security groups and
//! network ACLs ([`filter`]). A node has what Linux nodes have: kube-proxy's rules and the VPC CNI's source NAT ([`node`]).
//! Each is computed from the [`Fabric`] as plain data ([`layout`]), and only what differs from before is told to the kernel.
//!
//! Namespaces have no names and are held by open files: they go with the process, whatever ends it.
//!
//! Simplified:
//!
//! - A socket is opened, and a datagram sent, when the kernel has been told all that AWS knew at that moment. A real
//!   program started by hand in a namespace may be some milliseconds ahead of it.
//! - A load balancer chooses among its targets at random for each connection, not by a hash.
//! - Security groups remember every connection, as long as the kernel's conntrack does, per VPC and not per interface. On
//!   AWS a rule that is removed ends no tracked connection either, but those that `0.0.0.0/0` allows in both directions
//!   are not tracked, and end at once (EC2 User Guide, "Security group connection tracking").
//! - "Fragmentation needed" comes from 192.0.0.8, what Linux uses in a router without addresses (RFC 7600); a network ACL
//!   that allows it has to allow it from there. AWS does not say where it comes from.
//! - ICMP messages are not limited in number.
//! - Internet and NAT gateways lead nowhere.

mod balancer;
mod choice;
mod echo;
mod filter;
mod host;
mod layout;
pub mod mounts;
mod namespace;
mod node;
pub mod process;
mod router;
mod stack;
mod state;
pub mod user_namespace;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acrossk8s_vpc::Fabric;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::host::KernelHost;
use self::namespace::{Crew, Namespace};
use self::stack::Stack;
use self::state::State;
use super::{Attempt, FabricSource, Host, HostSpec, Network, ServiceTable, Trial};

/// The kernel's network.
pub struct Kernel {
    shared: Arc<Shared>,
    /// Ends the task that follows the AWS state.
    _following: DropGuard,
}

/// What hosts and their network share.
struct Shared {
    source: Arc<dyn FabricSource>,
    crew: Crew,
    services: Mutex<BTreeMap<String, Arc<ServiceTable>>>,
    /// The fabric that the kernel knows.
    known: Mutex<Option<Arc<Fabric>>>,
    /// Whether something besides the fabric has changed since.
    changed: AtomicBool,
    state: tokio::sync::Mutex<State>,
}

impl Kernel {
    /// Finds out whether the kernel's network can be had here.
    ///
    /// # Errors
    /// Why not: `PermissionDenied` without the right to make network namespaces.
    pub async fn try_out() -> io::Result<()> {
        Stack::try_out(&Crew::start()?).await
    }

    /// The same, of everything that it needs by itself.
    pub async fn try_each() -> Trial {
        let pair = match Crew::start() {
            Ok(crew) => Stack::pair(&crew).await,
            Err(error) => Err(error),
        };
        let namespaces = Attempt::of(&pair);
        let Ok((mut one, mut other)) = pair else { return Trial { namespaces, ..Trial::default() } };
        let links = Attempt::of(&one.try_link(&mut other).await);
        Trial { namespaces, links, filter: Attempt::of(&one.try_filter().await), ..Trial::default() }
    }

    /// A network without hosts that obeys a fabric. To be called within a runtime.
    ///
    /// # Errors
    /// When the kernel does not allow it: `PermissionDenied` without the right to make network namespaces.
    pub async fn new(source: Arc<dyn FabricSource>) -> io::Result<Arc<Self>> {
        let mut changes = source.changes();
        let crew = Crew::start()?;
        // Better now than with the first host.
        Stack::try_out(&crew).await?;
        let shared = Arc::new(Shared {
            source,
            crew,
            services: Mutex::default(),
            known: Mutex::default(),
            changed: AtomicBool::new(false),
            state: tokio::sync::Mutex::default(),
        });
        let end = CancellationToken::new();
        let (following, ended) = (Arc::downgrade(&shared), end.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
                let Some(shared) = following.upgrade() else { return };
                if let Err(error) = shared.sync().await {
                    tracing::warn!(%error, "the kernel's network could not be brought up to date");
                }
            }
        });
        Ok(Arc::new(Self { shared, _following: end.drop_guard() }))
    }
}

/// Does something to its end, even when nobody waits for it any more.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
    tokio::spawn(work).await.map_err(io::Error::other)?
}

impl Shared {
    /// Tells the kernel what it does not know yet. Cheap when it knows everything.
    ///
    /// Whoever waits may stop waiting (a health check does, after its ten seconds): what has begun is ended all the same,
    /// or what is remembered of the kernel's state would no longer be so.
    async fn sync(self: &Arc<Self>) -> io::Result<()> {
        if self.is_known() {
            return Ok(());
        }
        let this = Arc::clone(self);
        to_its_end(async move { this.catch_up().await }).await
    }

    async fn catch_up(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        if self.is_known() {
            return Ok(());
        }
        self.changed.store(false, Ordering::Release);
        let fabric = self.source.fabric();
        let result = state.update(&fabric, &self.services).await;
        match &result {
            Ok(()) => *self.known.lock() = Some(fabric),
            // It is tried again by whoever comes next.
            Err(_) => self.changed.store(true, Ordering::Release),
        }
        result
    }

    /// Attaches a host, or leaves nothing of it.
    async fn attach(&self, spec: &HostSpec) -> io::Result<(Namespace, CancellationToken)> {
        let attached = self.state.lock().await.attach(&self.crew, spec).await?;
        self.changed.store(true, Ordering::Release);
        if let Err(error) = self.catch_up().await {
            self.state.lock().await.detach(&spec.vpc, spec.address).await;
            return Err(error);
        }
        Ok(attached)
    }

    async fn detach(&self, vpc: &str, address: Ipv4Addr) -> io::Result<()> {
        self.state.lock().await.detach(vpc, address).await;
        self.changed.store(true, Ordering::Release);
        self.catch_up().await
    }

    fn is_known(&self) -> bool {
        let fabric = self.source.fabric();
        !self.changed.load(Ordering::Acquire)
            && self.known.lock().as_ref().is_some_and(|known| Arc::ptr_eq(known, &fabric))
    }
}

#[async_trait]
impl Network for Kernel {
    async fn attach(&self, spec: HostSpec) -> io::Result<Arc<dyn Host>> {
        let (shared, wanted) = (Arc::clone(&self.shared), spec.clone());
        let (namespace, gone) = to_its_end(async move { shared.attach(&wanted).await }).await?;
        Ok(Arc::new(KernelHost::new(Arc::clone(&self.shared), spec, namespace, gone)))
    }

    async fn detach(&self, vpc: &str, address: Ipv4Addr) {
        let (shared, vpc) = (Arc::clone(&self.shared), vpc.to_owned());
        if let Err(error) = to_its_end(async move { shared.detach(&vpc, address).await }).await {
            tracing::warn!(%error, "the kernel's network could not be brought up to date");
        }
    }

    async fn program_services(&self, vpc: &str, services: ServiceTable) {
        self.shared.services.lock().insert(vpc.to_owned(), Arc::new(services));
        self.shared.changed.store(true, Ordering::Release);
        if let Err(error) = self.shared.sync().await {
            tracing::warn!(%error, "kube-proxy's rules are not those that they should be");
        }
    }

    fn kind(&self) -> &'static str {
        "kernel"
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::sync::watch;

    use super::*;
    use crate::network::HostKind;
    use crate::network::tests::kernel_is_allowed;

    /// An account in which nothing is and nothing happens.
    struct Empty(Arc<Fabric>, watch::Sender<()>);

    impl FabricSource for Empty {
        fn fabric(&self) -> Arc<Fabric> {
            Arc::clone(&self.0)
        }

        fn changes(&self) -> watch::Receiver<()> {
            self.1.subscribe()
        }
    }

    /// A network, where it is allowed.
    pub(crate) async fn kernel() -> Option<Arc<Kernel>> {
        let source = Empty(Arc::default(), watch::Sender::new(()));
        if kernel_is_allowed().await { Some(Kernel::new(Arc::new(source)).await.unwrap()) } else { None }
    }

    pub(super) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
        let wait = async {
            while !condition().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect(what);
    }

    /// A health check stops waiting for its connection: what had begun for it is ended all the same.
    #[tokio::test]
    async fn what_has_begun_is_ended_though_nobody_waits() {
        let Some(kernel) = kernel().await else { return };
        let shared = &kernel.shared;
        let busy = shared.state.lock().await;
        assert!(shared.sync().now_or_never().is_none(), "it has to wait");
        drop(busy);
        until("it is brought up to date", async || shared.is_known()).await;

        let busy = shared.state.lock().await;
        let vpc = "vpc-1".to_owned();
        let spec = HostSpec { name: "node".into(), vpc, address: [10, 1, 0, 9].into(), kind: HostKind::Node };
        assert!(kernel.attach(spec).now_or_never().is_none(), "it has to wait");
        drop(busy);
        until("the host is attached", async || shared.state.lock().await.has("vpc-1", [10, 1, 0, 9].into())).await;
    }
}
