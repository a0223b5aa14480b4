//! The clusters' namespaces (C2.13, C3.2s).

use super::cause::Cause;
use super::check::{Finding, each_cluster, each_pair, none_wrong};
use super::view::View;
use super::{Invariant, kubernetes};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::Topology;

pub(super) const DISTINCT: &str = "namespaces-distinct";
pub(super) const EXISTS: &str = "namespace-exists";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: DISTINCT,
        title: "the two clusters use different namespaces",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 13)],
        causes: &[],
        check: distinct,
    },
    Invariant {
        id: EXISTS,
        title: "the cluster's namespace exists",
        level: Level::Should,
        clauses: &[ClauseId::beyond(3, 2)],
        causes: &[Cause::around(kubernetes::CONTEXT)],
        check: exists,
    },
];

fn distinct(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let (a, b) = (view.wanted(pair.requester), view.wanted(pair.accepter));
        let same = (a.namespace == b.namespace).then(|| format!("{} and {} both use {}", a.name, b.name, a.namespace));
        none_wrong(
            same.into_iter().collect(),
            "All EKS clusters have the domain cluster.local, so the namespace is all that tells CoreDNS which cluster to \
             ask: a cluster cannot forward its own namespace, and no other can forward one zone to two clusters.",
            format!(
                "Give {} a namespace of its own, and deploy its TidbCluster there: kubectl --context {} create namespace \
                 NAME",
                b.name,
                view.context(pair.accepter)
            ),
        )
    })
}

fn exists(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let namespace = &view.wanted(index).namespace;
        let missing = !view.kubernetes(index)?.namespaces.contains(namespace);
        none_wrong(
            missing.then(|| format!("{} has no namespace {namespace}", view.name(index))).into_iter().collect(),
            "The document deploys nginx into it and never creates it.",
            format!("kubectl --context {} create namespace {namespace}", view.context(index)),
        )
    })
}
