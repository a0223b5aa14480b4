//! Where a connection or a datagram ends up: through kube-proxy, source NAT, the VPCs and load balancers.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use acrossk8s_vpc::{Arrival, Flow, Prepared, Protocol, Stop, Way, flow_hash};
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

fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
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

impl Shared {
    /// The source address with which a host's packets to an address leave it.
    pub(super) fn source_of(&self, fabric: &Prepared, from: &Station, to: Ipv4Addr) -> Ipv4Addr {
        from.spec.source_for(fabric.fabric(), self.services_of(&from.spec.vpc).as_deref(), to)
    }

    /// Decides about a connection or a datagram from a host's port.
    pub(super) fn deliver(
        &self,
        from: &Arc<Station>,
        source_port: u16,
        to: SocketAddrV4,
        transport: Transport,
    ) -> Result<Delivery, Undelivered> {
        let fabric = self.fabric();
        let flow = |source: Ipv4Addr, to: SocketAddrV4| Flow {
            source_port,
            ..Flow::new(from.spec.vpc.as_str(), protocol(transport), source, *to.ip(), to.port())
        };
        if to.ip().is_loopback() || *to.ip() == from.spec.address {
            let way = Passage::direct(&flow(*to.ip(), to), from.spec.address);
            return self.through_node_port(&fabric, way, source_port, transport);
        }
        let endpoint = self.through_cluster_address(from, &flow(from.spec.address, to), transport)?;
        if *endpoint.ip() == from.spec.address {
            // Its own Service led back to it: kube-proxy puts the node in its place, or the answer would go astray.
            let source = SocketAddrV4::new(machine(from).unwrap_or(from.spec.address), source_port);
            return Ok(Delivery { to: from.clone(), port: endpoint.port(), source, unanswerable: None });
        }
        let source = self.source_of(&fabric, from, *endpoint.ip());
        let way = self.passage(&fabric, from, &flow(source, endpoint))?;
        self.through_node_port(&fabric, way, source_port, transport)
    }

    /// The way from a host to an address: within the machine, where the kernel forwards and no rule of AWS applies, or
    /// over the VPCs.
    fn passage(&self, fabric: &Prepared, from: &Station, flow: &Flow) -> Result<Passage, Undelivered> {
        let there = self.station(&flow.vpc, flow.destination);
        if machine(from).is_some() && there.is_some_and(|there| machine(&there) == machine(from)) {
            return Ok(Passage::direct(flow, flow.destination));
        }
        let trace = fabric.trace_connection(flow);
        match (trace.outcome, trace.arrival) {
            (Ok(()), Some(arrival)) => Ok(Passage { arrival, unanswerable: None }),
            (Err(stop), Some(arrival)) if stop.way() == Way::Return => {
                Ok(Passage { arrival, unanswerable: Some(stop) })
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
    fn through_cluster_address(
        &self,
        from: &Station,
        flow: &Flow,
        transport: Transport,
    ) -> Result<SocketAddrV4, Undelivered> {
        let to = SocketAddrV4::new(flow.destination, flow.destination_port);
        if from.spec.kind == HostKind::LoadBalancer {
            return Ok(to);
        }
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
        Passage { arrival, unanswerable }: Passage,
        source_port: u16,
        transport: Transport,
    ) -> Result<Delivery, Undelivered> {
        let to = SocketAddrV4::new(arrival.address, arrival.port);
        let reached = self.station(&arrival.vpc, arrival.address).ok_or(Undelivered::Absent(to))?;
        let services = self.services_of(&arrival.vpc).filter(|_| reached.spec.kind == HostKind::Node);
        let Some(endpoints) = services.as_ref().and_then(|it| it.node_ports.get(&(arrival.port, transport))) else {
            let source = SocketAddrV4::new(arrival.source, source_port);
            return Ok(Delivery { to: reached, port: arrival.port, source, unanswerable });
        };
        let flow = Flow {
            source_port,
            ..Flow::new(arrival.vpc.as_str(), protocol(transport), arrival.source, arrival.address, arrival.port)
        };
        let endpoint = pick(endpoints, &flow).ok_or(Undelivered::Refused(to))?;
        let flow =
            Flow { source: arrival.address, destination: *endpoint.ip(), destination_port: endpoint.port(), ..flow };
        let second = self.passage(fabric, &reached, &flow)?;
        let to = self.station(&second.arrival.vpc, second.arrival.address).ok_or(Undelivered::Absent(endpoint))?;
        let source = SocketAddrV4::new(second.arrival.source, source_port);
        Ok(Delivery { to, port: second.arrival.port, source, unanswerable: second.unanswerable.or(unanswerable) })
    }
}

/// How far a packet got, before kube-proxy there looks at it.
struct Passage {
    arrival: Arrival,
    unanswerable: Option<Stop>,
}

impl Passage {
    /// To a host, as nothing lies between.
    fn direct(flow: &Flow, address: Ipv4Addr) -> Self {
        let (vpc, source) = (flow.vpc.clone(), flow.source);
        let arrival = Arrival { vpc, address, port: flow.destination_port, source, load_balancer: None };
        Passage { arrival, unanswerable: None }
    }
}
