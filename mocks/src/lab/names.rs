//! What the DNS server of a VPC knows.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::hosts::Hosts;
use super::world::World;
use crate::aws::{Aws, State};
use crate::kubernetes::node::private_domain;
use crate::network::{HostKind, HostSpec, Network as _};
use crate::workloads::dns::Server;
use crate::workloads::vpc_resolver::{self, Names};

/// Address of a VPC's DNS server: the base of its block plus two (VPC User Guide, "Amazon DNS server").
pub(super) fn address(block: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(block.network().to_bits().wrapping_add(2))
}

/// The DNS server of a VPC.
pub(super) struct Resolver {
    vpc: String,
    address: Ipv4Addr,
    /// Answers until it is dropped.
    _server: Server,
}

impl Resolver {
    /// Connects the DNS server of a VPC and lets it answer.
    pub(super) async fn start(world: &World, vpc: &str, region: &str, block: Ipv4Net) -> io::Result<Self> {
        let spec = HostSpec {
            name: format!("{vpc}/AmazonProvidedDNS"),
            vpc: vpc.to_owned(),
            address: address(block),
            // It is no node: nothing is translated on its way, as on that of a load balancer.
            kind: HostKind::LoadBalancer,
        };
        let host = world.hosts.attach(spec).await?;
        let names = names(Arc::clone(&world.aws), vpc.to_owned(), region.to_owned());
        match vpc_resolver::start(host.as_ref(), names).await {
            Ok(server) => Ok(Self { vpc: vpc.to_owned(), address: address(block), _server: server }),
            Err(error) => {
                world.hosts.detach(vpc, address(block)).await;
                Err(error)
            }
        }
    }

    /// Whether it is the one with an address.
    pub(super) fn is_at(&self, vpc: &str, address: Ipv4Addr) -> bool {
        self.vpc == vpc && self.address == address
    }

    /// Takes it off the network.
    pub(super) async fn stop(&self, hosts: &Hosts) {
        hosts.detach(&self.vpc, self.address).await;
    }
}

fn names(aws: Arc<Aws>, vpc: String, region: String) -> Names {
    Arc::new(move |name| aws.read(&region, |state, _| lookup(state, &vpc, &region, name)))
}

/// The addresses of a name: those of a load balancer of any region, over all its zones or in one (its name before it), or
/// that of an interface of the VPC by its private DNS name.
fn lookup(state: &State, vpc: &str, region: &str, name: &str) -> Option<Vec<Ipv4Addr>> {
    let primary = |interface: &String| state.ec2.interfaces.get(interface)?.addresses.first().copied();
    for balancer in state.elbv2.load_balancers.values() {
        let own = balancer.dns_name();
        if name == own {
            return Some(balancer.zones.iter().filter_map(|zone| primary(&zone.interface)).collect());
        }
        let zone = name.strip_suffix(&own).and_then(|rest| rest.strip_suffix('.'));
        if let Some(zone) = balancer.zones.iter().find(|it| Some(it.availability_zone.as_str()) == zone) {
            return Some(primary(&zone.interface).into_iter().collect());
        }
    }
    let label = name.strip_suffix(&private_domain(region))?.strip_suffix('.')?;
    let address: Ipv4Addr = label.strip_prefix("ip-")?.replace('-', ".").parse().ok()?;
    let mut interfaces = state.ec2.interfaces.values();
    let known = interfaces.any(|interface| {
        interface.addresses.contains(&address)
            && state.ec2.subnets.get(&interface.subnet).is_some_and(|it| it.vpc == vpc)
    });
    known.then(|| vec![address])
}
