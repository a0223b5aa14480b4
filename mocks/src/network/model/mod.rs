//! The in-process network: the rules of `acrossk8s-vpc` decide for each connection and each datagram, and tokio's pipes
//! and channels carry the bytes.
//!
//! Simplified, and told apart from the kernel's network by it:
//!
//! - A round trip is decided as a whole when it begins. A connection that is established, or the answer to a datagram,
//!   goes on when a route is deleted under it. A connection breaks when the host of one of its ends is detached, not when
//!   a node or a load balancer in between goes.
//! - A drop is known at once: whoever would wait for an answer that cannot come is told `TimedOut` without waiting, and
//!   the error says what stopped the packet.
//! - Between the hosts of one node nothing of AWS applies: a pod reaches the pods of its node, and its node, whatever the
//!   security groups say.
//! - kube-proxy and load balancers choose by a hash over the flow rather than at random: the same in every run.
//! - A translated source gets a port by a hash over the flow rather than at random. Only UDP sources then get yet another
//!   one where two flows would look alike; TCP connections are told apart by the pipe they are.
//! - What a socket exchanged is remembered until it is closed, not for conntrack's 30 or 120 seconds.
//! - There is no loss, no delay, no MTU (a datagram of any size passes), no ICMP but echoes and refusals, and no
//!   connecting to a port that `listen(0)` or `bind(0)` picked without being told it.

mod conntrack;
mod delivery;
mod host;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use acrossk8s_vpc::{Fabric, Prepared};
use async_trait::async_trait;
use parking_lot::Mutex;

use self::host::{ModelHost, Station};
use super::{FabricSource, Host, HostSpec, Network, ServiceTable};

/// The in-process network.
pub struct Model(Arc<Shared>);

/// What all hosts of a network share.
struct Shared {
    source: Arc<dyn FabricSource>,
    prepared: Mutex<Option<Arc<Prepared>>>,
    hosts: Mutex<BTreeMap<(String, Ipv4Addr), Arc<Station>>>,
    services: Mutex<BTreeMap<String, Arc<ServiceTable>>>,
    conntrack: Mutex<conntrack::Conntrack>,
}

impl Model {
    /// A network without hosts that obeys a fabric.
    pub fn new(source: Arc<dyn FabricSource>) -> Arc<Self> {
        Arc::new(Self(Arc::new(Shared {
            source,
            prepared: Mutex::default(),
            hosts: Mutex::default(),
            services: Mutex::default(),
            conntrack: Mutex::default(),
        })))
    }
}

#[cfg(test)]
impl Model {
    /// How many exchanges of datagrams were begun by sockets that are open.
    pub(super) fn open_exchanges(&self) -> usize {
        self.0.conntrack.lock().open()
    }
}

impl Shared {
    /// The fabric of this moment, indexed; the same as before while nothing changed.
    fn fabric(&self) -> Arc<Prepared> {
        let fabric: Arc<Fabric> = self.source.fabric();
        let mut prepared = self.prepared.lock();
        match &*prepared {
            Some(known) if Arc::ptr_eq(known.fabric(), &fabric) => known.clone(),
            _ => prepared.insert(Arc::new(Prepared::new(fabric))).clone(),
        }
    }

    fn station(&self, vpc: &str, address: Ipv4Addr) -> Option<Arc<Station>> {
        self.hosts.lock().get(&(vpc.to_owned(), address)).cloned()
    }

    fn services_of(&self, vpc: &str) -> Option<Arc<ServiceTable>> {
        self.services.lock().get(vpc).cloned()
    }
}

#[async_trait]
impl Network for Model {
    async fn attach(&self, host: HostSpec) -> io::Result<Arc<dyn Host>> {
        let key = (host.vpc.clone(), host.address);
        let mut hosts = self.0.hosts.lock();
        if let Some(there) = hosts.get(&key) {
            let message = format!("{} of {} is {}'s already", host.address, host.vpc, there.spec.name);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        let station = Arc::new(Station::new(host));
        hosts.insert(key, station.clone());
        Ok(Arc::new(ModelHost::new(self.0.clone(), station)))
    }

    async fn detach(&self, vpc: &str, address: Ipv4Addr) {
        if let Some(station) = self.0.hosts.lock().remove(&(vpc.to_owned(), address)) {
            station.leave();
            self.0.conntrack.lock().forget(vpc, address);
        }
    }

    async fn program_services(&self, vpc: &str, services: ServiceTable) {
        self.0.services.lock().insert(vpc.to_owned(), Arc::new(services));
    }

    fn kind(&self) -> &'static str {
        "model"
    }
}
