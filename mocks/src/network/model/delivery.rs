//! Where a connection or a datagram ends up: through kube-proxy, source NAT, the VPCs and load balancers.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use acrossk8s_vpc::{Arrival, Flow, Prepared, Protocol};
use rand::seq::IndexedRandom as _;

use super::Shared;
use super::host::Station;
use crate::network::{HostKind, Transport};

/// Where it ends up.
pub(super) struct Delivery {
    pub to: Arc<Station>,
    pub port: u16,
    /// Source as seen there.
    pub source: SocketAddrV4,
}

/// Why it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// It arrives, and there is nobody: the sender is told.
    Refused,
    /// It, or its answer, is dropped on the way: nobody is told.
    Dropped,
}

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    }
}

/// The source address with which a host's packets to an address leave it: the VPC CNI gives those that leave the VPC the
/// node's address, unless it is told not to.
pub(super) fn source_of(fabric: &Prepared, from: &Station, to: Ipv4Addr) -> Ipv4Addr {
    let HostKind::Pod { node, source_nat: true, excluded } = &from.spec.kind else { return from.spec.address };
    let vpc = fabric.fabric().vpcs.get(&from.spec.vpc);
    let within = vpc.is_some_and(|vpc| vpc.cidr_blocks.iter().any(|block| block.contains(&to)));
    if within || excluded.iter().any(|block| block.contains(&to)) { from.spec.address } else { *node }
}

impl Shared {
    /// Decides about a connection or a datagram from a host's port.
    pub(super) fn deliver(
        &self,
        from: &Arc<Station>,
        source_port: u16,
        to: SocketAddrV4,
        transport: Transport,
    ) -> Result<Delivery, Undelivered> {
        if to.ip().is_loopback() || *to.ip() == from.spec.address {
            return Ok(Delivery {
                to: from.clone(),
                port: to.port(),
                source: SocketAddrV4::new(*to.ip(), source_port),
            });
        }
        let to = self.through_cluster_address(from, to, transport)?;
        let fabric = self.fabric();
        let source = source_of(&fabric, from, *to.ip());
        let flow =
            Flow { source_port, ..Flow::new(from.spec.vpc.as_str(), protocol(transport), source, *to.ip(), to.port()) };
        let arrival = arrive(&fabric, &flow)?;
        self.through_node_port(&fabric, arrival, source_port, transport)
    }

    /// kube-proxy on the sender's node: the address of a Service becomes that of one of its endpoints.
    fn through_cluster_address(
        &self,
        from: &Station,
        to: SocketAddrV4,
        transport: Transport,
    ) -> Result<SocketAddrV4, Undelivered> {
        if from.spec.kind == HostKind::LoadBalancer {
            return Ok(to);
        }
        let services = self.services_of(&from.spec.vpc);
        match services.as_ref().and_then(|services| services.cluster.get(&(*to.ip(), to.port(), transport))) {
            None => Ok(to),
            Some(endpoints) => endpoints.choose(&mut rand::rng()).copied().ok_or(Undelivered::Refused),
        }
    }

    /// kube-proxy on the node that is reached: a node port leads to an endpoint, which sees the node as the source.
    fn through_node_port(
        &self,
        fabric: &Prepared,
        arrival: Arrival,
        source_port: u16,
        transport: Transport,
    ) -> Result<Delivery, Undelivered> {
        let services = self.services_of(&arrival.vpc);
        let reached = self.station(&arrival.vpc, arrival.address);
        let is_node = reached.as_ref().is_some_and(|station| station.spec.kind == HostKind::Node);
        let endpoints =
            services.as_ref().filter(|_| is_node).and_then(|it| it.node_ports.get(&(arrival.port, transport)));
        let Some(endpoints) = endpoints else {
            // The address is an interface's, and nobody has it: a pod that is gone.
            let to = reached.ok_or(Undelivered::Dropped)?;
            return Ok(Delivery { to, port: arrival.port, source: SocketAddrV4::new(arrival.source, source_port) });
        };
        let endpoint = endpoints.choose(&mut rand::rng()).copied().ok_or(Undelivered::Refused)?;
        let node = arrival.address;
        let flow = Flow {
            source_port,
            ..Flow::new(arrival.vpc.as_str(), protocol(transport), node, *endpoint.ip(), endpoint.port())
        };
        let arrival = arrive(fabric, &flow)?;
        let to = self.station(&arrival.vpc, arrival.address).ok_or(Undelivered::Dropped)?;
        Ok(Delivery { to, port: arrival.port, source: SocketAddrV4::new(arrival.source, source_port) })
    }
}

fn arrive(fabric: &Prepared, flow: &Flow) -> Result<Arrival, Undelivered> {
    let trace = fabric.trace_connection(flow);
    match (trace.outcome, trace.arrival) {
        (Ok(()), Some(arrival)) => Ok(arrival),
        (outcome, _) => {
            tracing::debug!(?flow, ?outcome, "dropped");
            Err(Undelivered::Dropped)
        }
    }
}
