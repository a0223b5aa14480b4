//! A fabric with what it takes to answer fast.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::{Fabric, Interface};

/// Which interface has an address, and which load balancer an interface belongs to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// By VPC, as addresses are unique only within one.
    interfaces: HashMap<String, HashMap<Ipv4Addr, String>>,
    /// ARNs by interface id.
    load_balancers: HashMap<String, String>,
}

impl Index {
    pub(crate) fn new(fabric: &Fabric) -> Self {
        let mut index = Index::default();
        for (id, interface) in &fabric.interfaces {
            let Some(subnet) = fabric.subnets.get(&interface.subnet) else { continue };
            let of_vpc = index.interfaces.entry(subnet.vpc.clone()).or_default();
            for address in &interface.addresses {
                of_vpc.entry(*address).or_insert_with(|| id.clone());
            }
        }
        for (arn, load_balancer) in &fabric.load_balancers {
            for interface in &load_balancer.interfaces {
                index.load_balancers.insert(interface.clone(), arn.clone());
            }
        }
        index
    }

    pub(crate) fn interface<'f>(
        &self,
        fabric: &'f Fabric,
        vpc: &str,
        address: Ipv4Addr,
    ) -> Option<(&'f str, &'f Interface)> {
        let id = self.interfaces.get(vpc)?.get(&address)?;
        fabric.interfaces.get_key_value(id).map(|(id, interface)| (id.as_str(), interface))
    }

    pub(crate) fn load_balancer(&self, interface: &str) -> Option<&str> {
        self.load_balancers.get(interface).map(String::as_str)
    }
}

/// A fabric prepared for many questions: addresses are looked up in constant time.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) index: Index,
}

impl Prepared {
    /// Indexes a fabric once.
    #[must_use]
    pub fn new(fabric: Arc<Fabric>) -> Self {
        let index = Index::new(&fabric);
        Prepared { fabric, index }
    }

    /// The fabric it was made from.
    #[must_use]
    pub fn fabric(&self) -> &Arc<Fabric> {
        &self.fabric
    }

    /// The interface of a VPC that has an address, with its id.
    #[must_use]
    pub fn interface(&self, vpc: &str, address: Ipv4Addr) -> Option<(&str, &Interface)> {
        self.index.interface(&self.fabric, vpc, address)
    }
}
