//! A network that remembers its hosts, so that one can ask what is left on it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::network::{Host, HostSpec, Network, NetworkNamespace, ServiceTable};

/// A network and the hosts on it.
pub(super) struct Hosts {
    network: Arc<dyn Network>,
    attached: Mutex<BTreeMap<(String, Ipv4Addr), Attached>>,
}

/// A host on the network.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) spec: HostSpec,
    pub(super) namespace: Option<NetworkNamespace>,
}

impl Hosts {
    pub(super) fn new(network: Arc<dyn Network>) -> Arc<Self> {
        Arc::new(Self { network, attached: Mutex::default() })
    }

    /// The hosts by VPC and address.
    pub(super) fn attached(&self) -> BTreeMap<(String, Ipv4Addr), Attached> {
        self.attached.lock().clone()
    }
}

#[async_trait]
impl Network for Hosts {
    async fn attach(&self, host: HostSpec) -> io::Result<Arc<dyn Host>> {
        let (key, spec) = ((host.vpc.clone(), host.address), host.clone());
        let attached = self.network.attach(host).await?;
        self.attached.lock().insert(key, Attached { spec, namespace: attached.namespace() });
        Ok(attached)
    }

    async fn detach(&self, vpc: &str, address: Ipv4Addr) {
        self.network.detach(vpc, address).await;
        self.attached.lock().remove(&(vpc.to_owned(), address));
    }

    async fn program_services(&self, vpc: &str, services: ServiceTable) {
        self.network.program_services(vpc, services).await;
    }

    fn kind(&self) -> &'static str {
        self.network.kind()
    }
}
