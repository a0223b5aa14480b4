//! What a diagnosis looks things up in: the observation, and its networks as one fabric.

use std::net::Ipv4Addr;
use std::sync::Arc;

use acrossk8s_corefile::ForwardZone;
use acrossk8s_vpc::Prepared;
use ipnet::Ipv4Net;

use super::model::{Resource, Stopped, Walked};
use crate::invariants::{Shortfall, View, keeps_pod_address};
use crate::observation::{ClusterObservation, Observation, Peering, Pod, fabric};
use crate::topology::{ClusterIndex, Pair, Topology};

/// An observation prepared for diagnoses.
pub struct Sight<'a> {
    pub(super) view: View<'a>,
    pub(super) fabric: Prepared,
}

impl From<Shortfall> for Stopped {
    fn from(shortfall: Shortfall) -> Self {
        match shortfall {
            Shortfall::Unseen { what } => Self::Unknown(format!("{what} is not in the observation")),
            Shortfall::Fail(failure) => Self::Unknown(failure.evidence.join("; ")),
            Shortfall::NotApplicable { reason } => Self::Unknown(reason),
        }
    }
}

impl<'a> Sight<'a> {
    /// Prepares an observation.
    pub fn new(topology: &'a Topology, observation: &'a Observation) -> Self {
        let fabric = Prepared::new(Arc::new(fabric(topology, observation)));
        Self { view: View::new(topology, observation), fabric }
    }

    /// The cluster of which something is.
    pub(super) fn owner(&self, is: impl Fn(&ClusterObservation) -> bool) -> Option<ClusterIndex> {
        self.view.topology.indices().find(|index| self.view.cluster(*index).is_ok_and(&is))
    }

    /// The cluster with a VPC.
    pub(super) fn of_vpc(&self, id: &str) -> Option<ClusterIndex> {
        self.owner(|cluster| cluster.vpc.as_ref().is_some_and(|vpc| vpc.id == id))
    }

    /// A resource of a cluster.
    pub(super) fn resource(&self, kind: &'static str, id: impl Into<String>, of: ClusterIndex) -> Resource {
        Resource { kind, id: id.into(), cluster: Some(self.view.name(of).to_owned()) }
    }

    /// Nothing, when a part of a cluster's Kubernetes was read; what is missing of it then does not exist.
    pub(super) fn was_read(&self, index: ClusterIndex, part: &str) -> Walked {
        let unread = &self.view.observation.unread;
        match unread.iter().find(|it| it.cluster == Some(index.0) && it.what == part) {
            Some(it) => Err(Stopped::Unknown(format!("{part} of {} was not read: {}", self.view.name(index), it.why))),
            None => Ok(()),
        }
    }

    /// Nothing, when a part of AWS was read in a cluster's region.
    pub(super) fn region_was_read(&self, index: ClusterIndex, part: &str) -> Walked {
        let what = format!("{part} in {}", self.view.region(index));
        match self.view.observation.unread.iter().find(|it| it.what == what) {
            Some(it) => Err(Stopped::Unknown(format!("{what} were not read: {}", it.why))),
            None => Ok(()),
        }
    }

    /// The source address with which a pod's packets to an address leave its node.
    ///
    /// Source: amazon-vpc-cni-k8s, README: what stays in the VPC keeps the pod's address.
    pub(super) fn source(&self, index: ClusterIndex, pod: &Pod, to: Ipv4Addr) -> Walked<Ipv4Addr> {
        let address = pod.address.ok_or_else(|| {
            Stopped::unknown(format!(
                "the address of pod {} of {} is not in the observation",
                pod.name,
                self.view.name(index)
            ))
        })?;
        let vpc = self.view.vpc(index)?;
        if vpc.cidr_blocks.iter().any(|block| block.contains(&to)) {
            return Ok(address);
        }
        self.was_read(index, "the DaemonSet aws-node")?;
        let kubernetes = self.view.kubernetes(index)?;
        if keeps_pod_address(&kubernetes.aws_node_env, Ipv4Net::from(to)) {
            return Ok(address);
        }
        let node = kubernetes.nodes.iter().find(|node| node.name == pod.node);
        node.map(|node| node.address).ok_or_else(|| {
            Stopped::unknown(format!("the node {} of {} is not in the observation", pod.node, self.view.name(index)))
        })
    }

    /// The peering connection between two clusters that is nearest to carrying packets.
    pub(super) fn peering(&self, a: ClusterIndex, b: ClusterIndex) -> Option<&'a Peering> {
        let found = self.view.peerings(Pair::of(a, b)?).ok()?;
        // The states are in the order of their lives; after `active` only ends follow.
        found.into_iter().min_by_key(|it| match it.state {
            acrossk8s_vpc::PeeringState::Active => 0,
            acrossk8s_vpc::PeeringState::Provisioning => 1,
            acrossk8s_vpc::PeeringState::PendingAcceptance => 2,
            acrossk8s_vpc::PeeringState::InitiatingRequest => 3,
            _ => 4,
        })
    }

    /// The CIDR block of a cluster in which an address is; the wanted one when none of its VPC's has it.
    pub(super) fn block_with(&self, index: ClusterIndex, address: Ipv4Addr) -> Ipv4Net {
        let blocks = self.view.cidr_blocks(index);
        blocks.into_iter().find(|it| it.contains(&address)).unwrap_or(self.view.wanted(index).cidr_block)
    }

    /// The documented server block for a cluster's zone, if its load balancer was seen.
    pub(super) fn server_block(&self, to: ClusterIndex) -> Option<String> {
        let upstreams = self.view.load_balancer(to).ok()?.addresses.clone();
        let zone = self.view.zone(to);
        (!upstreams.is_empty()).then(|| ForwardZone { zone, port: 53, upstreams }.block())
    }
}
