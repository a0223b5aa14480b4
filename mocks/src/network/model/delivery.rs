//! Where a connection or a datagram ends up: through kube-proxy, source NAT, the VPCs and load balancers.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use acrossk8s_vpc::{Arrival, Flow, Prepared, Protocol, Stop, Way, flow_hash, translated_port};
use thiserror::Error;

use super::Shared;
use super::host::Station;
use crate::network::{HostKind, Transport};

/// Where it ends up.
pub(super) struct Delivery {
    pub to: Arc<Station>,
    pub port: u16,
    /// Source as seen there.
    pub source: SocketAddrV4,
    /// What stops the answer, if something does.
    pub unanswerable: Option<Stop>,
    /// Its ways over the VPCs, in order: none within a machine, two through a node port.
    pub ways: Vec<Flow>,
}

/// Why it does not. The text is that of the I/O error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Undelivered {
    /// It arrives, and there is nobody: the sender is told.
    #[error("nothing listens at {0}")]
    Refused(SocketAddrV4),
    /// It, or its answer, is dropped on the way: nobody is told.
    #[error("{to} does not answer: {stop}")]
    Dropped { to: SocketAddrV4, stop: Stop },
    /// The address is an interface's, and no host has it: a pod that is gone.
    #[error("{0} does not answer: its address belongs to no running host")]
    Absent(SocketAddrV4),
    /// It is full.
    #[error("{0} does not answer: its queue is full")]
    Full(SocketAddrV4),
}

impl From<Undelivered> for io::Error {
    fn from(undelivered: Undelivered) -> Self {
        let kind = match undelivered {
            Undelivered::Refused(_) => io::ErrorKind::ConnectionRefused,
            Undelivered::Dropped { .. } | Undelivered::Absent(_) | Undelivered::Full(_) => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, undelivered)
    }
}

/// What kube-proxy knows a protocol by; it does nothing for ICMP.
fn transport(protocol: Protocol) -> Option<Transport> {
    match protocol {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        Protocol::Icmp => None,
    }
}

/// The endpoint of a service for a flow. kube-proxy picks at random and conntrack keeps the pick for the flow; a hash
/// over the flow does both, and picks the same in every run.
fn pick(endpoints: &[SocketAddrV4], flow: &Flow) -> Option<SocketAddrV4> {
    let chosen = flow_hash(flow).checked_rem(endpoints.len() as u64)?;
    endpoints.get(usize::try_from(chosen).ok()?).copied()
}

/// The machine that a host runs on, by the address of its node.
fn machine(station: &Station) -> Option<Ipv4Addr> {
    match station.spec.kind {
        HostKind::Node => Some(station.spec.address),
        HostKind::Pod { node, .. } => Some(node),
        HostKind::LoadBalancer => None,
    }
}

/// The address that kube-proxy puts in the place of a host on its own node when it leads to another one: that of the
/// interface by which a pod's packets leave, which for a pod on a second interface is not the node's.
fn masquerade(fabric: &Prepared, from: &Station, node: Ipv4Addr) -> Ipv4Addr {
    let own = fabric.interface(&from.spec.vpc, from.spec.address).map(|(_, interface)| &interface.addresses);
    own.filter(|own| !own.contains(&node)).and_then(|own| own.first().copied()).unwrap_or(node)
}

impl Shared {
    /// The source address with which a host's packets to an address leave it.
    pub(super) fn source_of(&self, fabric: &Prepared, from: &Station, to: Ipv4Addr) -> Ipv4Addr {
        from.spec.source_for(fabric.fabric(), self.services_of(&from.spec.vpc).as_deref(), to)
    }

    /// Decides about a connection, a datagram or, with ports of no meaning, an echo request from a host's port.
    pub(super) fn deliver(
        &self,
        from: &Arc<Station>,
        source_port: u16,
        to: SocketAddrV4,
        protocol: Protocol,
    ) -> Result<Delivery, Undelivered> {
        let fabric = self.fabric();
        let flow = |source: Ipv4Addr, to: SocketAddrV4| Flow {
            source_port,
            ..Flow::new(from.spec.vpc.as_str(), protocol, source, *to.ip(), to.port())
        };
        if to.ip().is_loopback() || *to.ip() == from.spec.address {
            let way = Passage::direct(&flow(*to.ip(), to), from.spec.address);
            return self.through_node_port(&fabric, from, way, protocol);
        }
        let endpoint = self.through_cluster_address(from, &flow(from.spec.address, to))?;
        let untranslated = flow(from.spec.address, endpoint);
        if *endpoint.ip() == from.spec.address {
            // Its own Service led back to it: kube-proxy puts the node in its place, or the answer would go astray.
            let node = machine(from).unwrap_or(from.spec.address);
            let source = SocketAddrV4::new(node, translated_port(&untranslated));
            let port = endpoint.port();
            return Ok(Delivery { to: from.clone(), port, source, unanswerable: None, ways: Vec::new() });
        }
        let source = self.source_of(&fabric, from, *endpoint.ip());
        let flow = match source == from.spec.address {
            true => untranslated,
            false => Flow { source, source_port: translated_port(&untranslated), ..untranslated },
        };
        let way = self.passage(&fabric, from, &flow)?;
        self.through_node_port(&fabric, from, way, protocol)
    }

    /// What a sender hears when ICMP says at the end of these ways that nothing takes its request.
    pub(super) fn refused(&self, to: SocketAddrV4, ways: &[Flow]) -> Undelivered {
        let fabric = self.fabric();
        let lost = ways.iter().rev().find_map(|flow| fabric.trace_refusal(flow).outcome.err());
        lost.map_or(Undelivered::Refused(to), |stop| Undelivered::Dropped { to, stop })
    }

    /// Whether an address is on the machine that a host runs on.
    fn is_within(&self, from: &Station, address: Ipv4Addr) -> bool {
        let there = self.station(&from.spec.vpc, address);
        machine(from).is_some() && there.is_some_and(|there| machine(&there) == machine(from))
    }

    /// The way from a host to an address: within the machine, where the kernel forwards and no rule of AWS applies, or
    /// over the VPCs.
    fn passage(&self, fabric: &Prepared, from: &Station, flow: &Flow) -> Result<Passage, Undelivered> {
        if self.is_within(from, flow.destination) {
            return Ok(Passage::direct(flow, flow.destination));
        }
        let trace = fabric.trace_connection(flow);
        match (trace.outcome, trace.arrival) {
            (Ok(()), Some(arrival)) => Ok(Passage { arrival, unanswerable: None, way: Some(flow.clone()) }),
            (Err(stop), Some(arrival)) if stop.way() == Way::Return => {
                Ok(Passage { arrival, unanswerable: Some(stop), way: Some(flow.clone()) })
            }
            (outcome, _) => {
                let to = SocketAddrV4::new(flow.destination, flow.destination_port);
                let stop = outcome.err().ok_or(Undelivered::Absent(to))?;
                tracing::debug!(?flow, %stop, "dropped");
                Err(Undelivered::Dropped { to, stop })
            }
        }
    }

    /// kube-proxy on the sender's node: the address of a Service becomes that of one of its endpoints.
    fn through_cluster_address(&self, from: &Station, flow: &Flow) -> Result<SocketAddrV4, Undelivered> {
        let to = SocketAddrV4::new(flow.destination, flow.destination_port);
        let Some(transport) = transport(flow.protocol).filter(|_| from.spec.kind != HostKind::LoadBalancer) else {
            return Ok(to);
        };
        let services = self.services_of(&from.spec.vpc);
        match services.as_ref().and_then(|services| services.cluster.get(&(*to.ip(), to.port(), transport))) {
            None => Ok(to),
            Some(endpoints) => pick(endpoints, flow).ok_or(Undelivered::Refused(to)),
        }
    }

    /// kube-proxy on the node that is reached: a node port leads to an endpoint, which sees the node as the source.
    fn through_node_port(
        &self,
        fabric: &Prepared,
        from: &Station,
        Passage { arrival, unanswerable, way }: Passage,
        protocol: Protocol,
    ) -> Result<Delivery, Undelivered> {
        let to = SocketAddrV4::new(arrival.address, arrival.port);
        let mut ways = Vec::from_iter(way);
        let reached = self.station(&arrival.vpc, arrival.address).ok_or(Undelivered::Absent(to))?;
        let services = self.services_of(&arrival.vpc).filter(|_| reached.spec.kind == HostKind::Node);
        let endpoints = transport(protocol)
            .and_then(|transport| services.as_ref().and_then(|it| it.node_ports.get(&(arrival.port, transport))));
        let Some(endpoints) = endpoints else {
            let source = SocketAddrV4::new(arrival.source, arrival.source_port);
            return Ok(Delivery { to: reached, port: arrival.port, source, unanswerable, ways });
        };
        let flow = Flow {
            source_port: arrival.source_port,
            ..Flow::new(arrival.vpc.as_str(), protocol, arrival.source, arrival.address, arrival.port)
        };
        // kube-proxy refuses by ICMP, TCP as well.
        let endpoint = pick(endpoints, &flow).ok_or_else(|| self.refused(to, &ways))?;
        let source_port = translated_port(&flow);
        let source = match ways.is_empty() && !self.is_within(&reached, *endpoint.ip()) {
            true => masquerade(fabric, from, arrival.address),
            false => arrival.address,
        };
        let (destination, destination_port) = (*endpoint.ip(), endpoint.port());
        let flow = Flow { source, source_port, destination, destination_port, ..flow };
        let second = self.passage(fabric, &reached, &flow)?;
        ways.extend(second.way);
        let to = self.station(&second.arrival.vpc, second.arrival.address).ok_or(Undelivered::Absent(endpoint))?;
        let source = SocketAddrV4::new(second.arrival.source, second.arrival.source_port);
        let unanswerable = second.unanswerable.or(unanswerable);
        Ok(Delivery { to, port: second.arrival.port, source, unanswerable, ways })
    }
}

/// How far a packet got, before kube-proxy there looks at it.
struct Passage {
    arrival: Arrival,
    unanswerable: Option<Stop>,
    /// Its way over the VPCs, if it was one.
    way: Option<Flow>,
}

impl Passage {
    /// To a host, as nothing lies between.
    fn direct(flow: &Flow, address: Ipv4Addr) -> Self {
        let arrival = Arrival {
            vpc: flow.vpc.clone(),
            address,
            port: flow.destination_port,
            source: flow.source,
            source_port: flow.source_port,
            load_balancer: None,
        };
        Passage { arrival, unanswerable: None, way: None }
    }
}
