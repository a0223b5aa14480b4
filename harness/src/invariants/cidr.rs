//! CIDR blocks that must not overlap (C1.2).

use ipnet::Ipv4Net;

use super::Invariant;
use super::check::{Finding, Judged, each_cluster, each_pair, none_wrong};
use super::view::View;
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::{ClusterIndex, Topology, overlap};

pub(super) const DISJOINT: &str = "cidr-blocks-disjoint";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: DISJOINT,
        title: "the CIDR blocks of the two VPCs do not overlap",
        level: Level::Must,
        clauses: &[ClauseId::new(1, 2)],
        causes: &[],
        check: disjoint,
    },
    Invariant {
        id: "service-cidr-disjoint",
        title: "the cluster's service CIDR block overlaps no VPC",
        level: Level::Should,
        clauses: &[ClauseId::beyond(1, 2)],
        causes: &[],
        check: service_disjoint,
    },
];

/// The wanted block and those that the VPC has, each once.
fn blocks(view: View<'_>, index: ClusterIndex) -> Vec<Ipv4Net> {
    let mut blocks = vec![view.wanted(index).cidr_block];
    for block in view.cidr_blocks(index) {
        if !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    blocks
}

fn disjoint(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let (a, b) = (pair.requester, pair.accepter);
        let mut wrong = Vec::new();
        for mine in blocks(view, a) {
            for theirs in blocks(view, b).into_iter().filter(|theirs| overlap(mine, *theirs)) {
                wrong.push(format!("{mine} of {} overlaps {theirs} of {}", view.name(a), view.name(b)));
            }
        }
        none_wrong(
            wrong,
            "AWS lets the peering of VPCs with overlapping blocks fail, and an address in both blocks would be local on \
             either side.",
            format!(
                "A VPC's block cannot be changed: give {} another vpc.cidr, delete the cluster (eksctl delete cluster \
                 --name {} --region {} --wait) and create it again.",
                view.name(b),
                view.name(b),
                view.region(b)
            ),
        )
    })
}

fn service_disjoint(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| -> Judged {
        let seen = view.eks(index).ok().and_then(|eks| eks.service_cidr);
        let service = seen.unwrap_or(view.wanted(index).service_cidr);
        let mut wrong = Vec::new();
        for other in topology.indices() {
            for block in blocks(view, other).into_iter().filter(|block| overlap(*block, service)) {
                wrong.push(format!("service CIDR block {service} overlaps {block} of {}", view.name(other)));
            }
        }
        none_wrong(
            wrong,
            format!(
                "kube-proxy of {} takes packets to its service CIDR block for Services, so what has an address in there \
                 cannot be reached.",
                view.name(index)
            ),
            format!(
                "A service CIDR block cannot be changed: set kubernetesNetworkConfig.serviceIPv4CIDR of {} to a block \
                 outside every VPC and create the cluster again.",
                view.name(index)
            ),
        )
    })
}
