//! Walks a packet to its destination and the answer back, and names what stops them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::walk::{Reached, Walk};
use crate::{Fabric, Hop, Prepared, Protocol, Selector, Stop, Way};

/// Source port of a flow when none is given: the first ephemeral port of Linux.
pub const EPHEMERAL_PORT: u16 = 32_768;

/// A connection or an exchange of datagrams, as its first packet is on the wire: after any translation by the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The VPC that the packet starts in: addresses are unique only within a VPC.
    pub vpc: String,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination port; ignored for ICMP.
    pub destination_port: u16,
    /// Source port, to which answers go; ignored for ICMP.
    pub source_port: u16,
}

impl Flow {
    /// A flow from an ephemeral port.
    #[must_use]
    pub fn new(
        vpc: impl Into<String>,
        protocol: Protocol,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        destination_port: u16,
    ) -> Self {
        Flow { vpc: vpc.into(), source, destination, protocol, destination_port, source_port: EPHEMERAL_PORT }
    }

    /// What rules see of the request.
    pub(crate) fn request(&self) -> Selector {
        Selector::request(self.protocol, self.destination_port)
    }
}

/// The path of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What was passed, in order, on the way to the destination and back.
    pub hops: Vec<Hop>,
    /// Where the packet got to: present when the request arrives, even if the answer does not.
    pub arrival: Option<Arrival>,
    /// Whether the round trip succeeds, or what stops it.
    pub outcome: Result<(), Stop>,
}

/// Where a packet arrives, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The VPC.
    pub vpc: String,
    /// The address: the target's, for a flow through a load balancer.
    pub address: Ipv4Addr,
    /// The port: the target's, for a flow through a load balancer.
    pub port: u16,
    /// Source address as seen there.
    pub source: Ipv4Addr,
    /// Source port as seen there: another one than the flow's when a load balancer gave it its own address.
    pub source_port: u16,
    /// ARN of the load balancer passed, if any.
    pub load_balancer: Option<String>,
}

impl Arrival {
    /// Nothing on the way changed an address.
    fn direct(vpc: &str, flow: &Flow) -> Self {
        Arrival {
            vpc: vpc.to_owned(),
            address: flow.destination,
            port: flow.destination_port,
            source: flow.source,
            source_port: flow.source_port,
            load_balancer: None,
        }
    }
}

/// Traces one flow; see [`Prepared::trace`] for the rules, and for many flows.
#[must_use]
pub fn trace(fabric: &Fabric, flow: &Flow) -> Trace {
    Walk::new(fabric, &Index::new(fabric)).run(flow)
}

/// Traces one connection, through load balancers; see [`Prepared::trace_connection`].
#[must_use]
pub fn trace_connection(fabric: &Fabric, flow: &Flow) -> Trace {
    Walk { load_balance: true, ..Walk::new(fabric, &Index::new(fabric)) }.run(flow)
}

impl Prepared {
    /// Traces a flow to the interface that has its destination address, and the answer back.
    ///
    /// In order: outbound rules of the source interface's security groups; outbound network ACL and route table of its
    /// subnet; the peering connection, which carries only what is for the VPC on its other side; inbound network ACL
    /// of the destination's subnet; the destination interface; inbound rules of its security groups. Then back:
    /// outbound network ACL and route table of the destination's subnet, the peering connection, and the inbound
    /// network ACL of the source's subnet. Security groups are stateful and let the answer pass.
    ///
    /// Within a subnet neither network ACLs nor routes apply. Between two addresses of one instance nothing does. The
    /// resolver of the flow's own VPC is always reachable. A packet that leaves by a gateway reaches nothing modelled.
    #[must_use]
    pub fn trace(&self, flow: &Flow) -> Trace {
        Walk::new(&self.fabric, &self.index).run(flow)
    }

    /// Like [`Prepared::trace`], and on through a Network Load Balancer when the destination is one: to the target it
    /// selects ([`select_target`](crate::select_target)), and back through it.
    ///
    /// With client IP preservation the target's security groups and network ACL see the client's address, and security
    /// group rules that refer to the client's groups do not match. The answer goes back through the load balancer; a
    /// route to the client is required of the load balancer's subnet, and of the target's as well. (AWS does not
    /// document whether the target's subnet needs it; the procedure adds it to both.)
    ///
    /// Source: Network Load Balancer guide, "Client IP preservation" and "Target security groups".
    #[must_use]
    pub fn trace_connection(&self, flow: &Flow) -> Trace {
        Walk { load_balance: true, ..Walk::new(&self.fabric, &self.index) }.run(flow)
    }

    /// Like [`Prepared::trace_connection`], when the answer is ICMP's "port unreachable": what a closed UDP port says, and
    /// kube-proxy for a Service without endpoints. (A closed TCP port answers by TCP.)
    ///
    /// Security groups let it pass as they let every answer pass; a network ACL has to allow it like any other packet.
    #[must_use]
    pub fn trace_refusal(&self, flow: &Flow) -> Trace {
        let walk = Walk::new(&self.fabric, &self.index);
        Walk { load_balance: true, answer: Some(Selector::PORT_UNREACHABLE), ..walk }.run(flow)
    }
}

impl<'f> Walk<'f> {
    fn run(mut self, flow: &Flow) -> Trace {
        let outcome = self.round_trip(flow);
        Trace { hops: self.hops, arrival: self.arrival, outcome }
    }

    fn round_trip(&mut self, flow: &Flow) -> Result<(), Stop> {
        let client = self
            .find(&flow.vpc, flow.source)?
            .ok_or_else(|| Stop::NoSourceInterface { vpc: flow.vpc.clone(), address: flow.source })?;
        self.pass(Way::Forward, client.as_hop());
        let server = match self.reach(&client, flow)? {
            Reached::Interface(server) => server,
            Reached::WithoutNetwork => {
                self.arrival = Some(Arrival::direct(&flow.vpc, flow));
                return Ok(());
            }
        };
        match if self.load_balance { self.load_balancer(&server) } else { None } {
            Some((arn, load_balancer)) => self.balance(arn, load_balancer, &client, &server, flow)?,
            None => self.arrival = Some(Arrival::direct(server.vpc, flow)),
        }
        let answer = self.answer_to(flow.protocol, flow.source_port);
        self.answer(&server, &client, answer)
    }
}
