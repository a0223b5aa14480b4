//! Walking the path of a probe: legs, choices on the way, and exchanges of packets.

use std::net::{Ipv4Addr, SocketAddrV4};

use acrossk8s_vpc::{Arrival, EPHEMERAL_PORT, Flow, Protocol, eligible_targets, flow_hash};

use super::code::{Code, Own};
use super::model::{Cause, Hop, Leg, Mend, Resource, Stopped, Walked};
use super::sight::Sight;
use crate::observation::Pod;
use crate::topology::ClusterIndex;

/// Which way to show where the network chooses one: a CoreDNS pod, an upstream, a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seek {
    /// One that is stopped, since the probe failed.
    Stopped,
    /// One that leads through, since the probe got through.
    Clear,
}

/// A walk from a cluster to a cluster.
pub(super) struct Walk<'s, 'a> {
    pub(super) sight: &'s Sight<'a>,
    pub(super) from: ClusterIndex,
    pub(super) to: ClusterIndex,
    pub(super) seek: Seek,
    pub(super) legs: Vec<Leg>,
}

impl<'a> Walk<'_, 'a> {
    /// Begins a leg; the one before is passed.
    pub(super) fn begin(&mut self, title: String) {
        self.end();
        self.legs.push(Leg { title, hops: Vec::new(), passed: false });
    }

    /// The leg at hand is passed.
    pub(super) fn end(&mut self) {
        if let Some(leg) = self.legs.last_mut() {
            leg.passed = true;
        }
    }

    /// Something is passed.
    pub(super) fn pass(&mut self, hop: Hop) {
        if let Some(leg) = self.legs.last_mut() {
            leg.hops.push(hop);
        }
    }

    /// Walks each of several ways on from here and keeps the one that is sought; of equal ones the first.
    pub(super) fn each<T>(
        &mut self,
        ways: impl IntoIterator<Item = T>,
        mut walk: impl FnMut(&mut Self, T) -> Walked,
    ) -> Walked {
        let before = self.legs.clone();
        let mut kept: Option<(u8, Vec<Leg>, Walked)> = None;
        for way in ways {
            self.legs.clone_from(&before);
            let result = walk(self, way);
            let rank = match (&result, self.seek) {
                (Ok(()), Seek::Clear) | (Err(Stopped::Cause(_)), Seek::Stopped) => 0,
                (Err(Stopped::Unknown(_)), _) => 1,
                (Ok(()), Seek::Stopped) | (Err(Stopped::Cause(_)), Seek::Clear) => 2,
            };
            if kept.as_ref().is_none_or(|(best, ..)| rank < *best) {
                kept = Some((rank, std::mem::take(&mut self.legs), result));
            }
            if rank == 0 {
                break;
            }
        }
        match kept {
            Some((_, legs, result)) => {
                self.legs = legs;
                result
            }
            None => {
                self.legs = before;
                Ok(())
            }
        }
    }

    /// A cause found on the way there.
    pub(super) fn stop(&self, own: Own, at: Resource, explanation: impl Into<String>, mend: Mend) -> Stopped {
        Stopped::Cause(Box::new(Cause {
            code: Code::Own(own),
            way: acrossk8s_vpc::Way::Forward,
            resources: vec![at],
            explanation: explanation.into(),
            mend,
        }))
    }

    /// Sends a packet, and the answer back.
    fn exchange(&mut self, flow: &Flow, from: ClusterIndex, to: ClusterIndex) -> Walked<Arrival> {
        let trace = self.sight.fabric.trace_connection(flow);
        trace.hops.into_iter().for_each(|hop| self.pass(Hop::Network(hop)));
        trace.outcome.map_err(|stop| self.sight.cause_of(&stop, from, to))?;
        trace.arrival.ok_or_else(|| Stopped::unknown(format!("where a packet to {} arrives", flow.destination)))
    }

    /// From a pod of the client's cluster to a port of the peer's.
    pub(super) fn connect(&mut self, pod: &Pod, to: SocketAddrV4) -> Walked {
        let (from, peer) = (self.sight.view.name(self.from), self.sight.view.name(self.to));
        self.begin(format!("pod {} of {from} to {to} of {peer} over TCP", pod.name));
        let source = self.sight.source(self.from, pod, *to.ip())?;
        let vpc = self.sight.view.vpc(self.from)?.id.as_str();
        self.exchange(&Flow::new(vpc, Protocol::Tcp, source, *to.ip(), to.port()), self.from, self.to)?;
        self.end();
        Ok(())
    }

    /// From a pod to a CoreDNS pod of the own cluster, to which kube-proxy takes what is for the Service kube-dns.
    pub(super) fn ask(&mut self, pod: &Pod, server: &Pod) -> Walked {
        let name = self.sight.view.name(self.from);
        self.begin(format!("pod {} of {name} to CoreDNS pod {} over UDP", pod.name, server.name));
        let (source, destination) = (pod.address, server.address);
        let Some((source, destination)) = source.zip(destination) else {
            let reason = format!("the addresses of pods {} and {} are not in the observation", pod.name, server.name);
            return Err(Stopped::Unknown(reason));
        };
        let vpc = self.sight.view.vpc(self.from)?.id.as_str();
        self.exchange(&Flow::new(vpc, Protocol::Udp, source, destination, 53), self.from, self.from)?;
        Ok(())
    }

    /// From a CoreDNS pod through the peer's load balancer to each CoreDNS pod behind it, and on.
    pub(super) fn forward(
        &mut self,
        server: &Pod,
        upstream: SocketAddrV4,
        protocol: Protocol,
        mut on: impl FnMut(&mut Self) -> Walked,
    ) -> Walked {
        let (from, peer) = (self.sight.view.name(self.from), self.sight.view.name(self.to));
        let over = if protocol == Protocol::Udp { "UDP" } else { "TCP" };
        self.begin(format!(
            "CoreDNS pod {} of {from} to {upstream} of the load balancer of {peer} over {over}",
            server.name
        ));
        let source = self.sight.source(self.from, server, *upstream.ip())?;
        let vpc = self.sight.view.vpc(self.from)?.id.as_str();
        let flow = Flow::new(vpc, protocol, source, *upstream.ip(), upstream.port());
        let ports = self.source_ports(&flow)?;
        self.each(ports, |walk, source_port| {
            let arrival = walk.exchange(&Flow { source_port, ..flow.clone() }, walk.from, walk.to)?;
            let endpoints = walk.endpoints(upstream.port())?;
            walk.each(endpoints, |walk, endpoint| {
                walk.node_port(&arrival, endpoint)?;
                on(walk)
            })
        })
    }

    /// For each target that a load balancer can select, a source port for which it does.
    fn source_ports(&self, flow: &Flow) -> Walked<Vec<u16>> {
        let vpc = self.sight.view.vpc(self.to)?.id.as_str();
        let found = self.sight.fabric.load_balancer_for(vpc, flow.destination, flow.destination_port);
        let targets = found.and_then(|it| {
            let fabric = self.sight.fabric.fabric();
            Some(eligible_targets(fabric, it.load_balancer, it.listener?, it.availability_zone).len())
        });
        let count = targets.unwrap_or(0).max(1) as u64;
        let selects = |wanted: u64| {
            let mut ports = EPHEMERAL_PORT..=u16::MAX;
            ports.find(|port| flow_hash(&Flow { source_port: *port, ..flow.clone() }) % count == wanted)
        };
        Ok((0..count).filter_map(selects).collect())
    }

    /// kube-proxy on the target: the node port leads to a CoreDNS pod, which sees the node as the client.
    fn node_port(&mut self, arrival: &Arrival, endpoint: Ipv4Addr) -> Walked {
        self.pass(Hop::NodePort { node: arrival.address, port: arrival.port, endpoint });
        let flow = Flow::new(arrival.vpc.as_str(), Protocol::Tcp, arrival.address, endpoint, 53);
        self.exchange(&flow, self.to, self.to)?;
        self.end();
        Ok(())
    }

    /// kube-proxy takes what is for a Service of its own cluster, whatever else has the address. Which addresses Services
    /// have is not observed: that they have this one is said when nothing else explains a failure.
    pub(super) fn not_a_service(&self, to: Ipv4Addr) -> Walked {
        let view = self.sight.view;
        let seen = view.eks(self.from).ok().and_then(|eks| eks.service_cidr);
        let block = seen.unwrap_or(view.wanted(self.from).service_cidr);
        if !block.contains(&to) {
            return Ok(());
        }
        let name = view.name(self.from);
        let explanation = format!(
            "{to} is within {block}, the service CIDR block of {name}: kube-proxy takes what is for the address of a Service"
        );
        let advice = format!(
            "no command changes a service CIDR block: set kubernetesNetworkConfig.serviceIPv4CIDR of {name} to a block \
             outside every VPC and create the cluster again"
        );
        let at = self.sight.resource("eks-cluster", name, self.from);
        Err(self.stop(Own::ServiceCidrOverlap, at, explanation, Mend::only(advice)))
    }
}
