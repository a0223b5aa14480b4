//! Contexts, nodes and the cluster domain (C1.3, C1.4, C1.7).

use super::cause::Cause;
use super::check::{Finding, each_cluster, each_pair, none_wrong, unseen};
use super::clusters::{ACTIVE, NAMES_DISTINCT};
use super::view::View;
use super::{Invariant, nginx};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::Topology;

pub(super) const CONTEXT: &str = "context-works";
pub(super) const NODES_READY: &str = "nodes-ready";
pub(super) const DOMAIN: &str = "cluster-domain";
pub(super) const DISTINCT: &str = "contexts-distinct";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: CONTEXT,
        title: "there is a context for the cluster, and its API answers",
        level: Level::Must,
        clauses: &[ClauseId::new(1, 4)],
        causes: &[Cause::around(ACTIVE)],
        check: context,
    },
    Invariant {
        id: DISTINCT,
        title: "the contexts of the two lead to different clusters",
        level: Level::Should,
        clauses: &[ClauseId::beyond(1, 4)],
        causes: &[Cause::around(NAMES_DISTINCT), Cause::around(CONTEXT)],
        check: distinct,
    },
    Invariant {
        id: NODES_READY,
        title: "as many nodes are Ready as were asked for",
        level: Level::Should,
        clauses: &[ClauseId::beyond(1, 3)],
        causes: &[Cause::around(ACTIVE), Cause::around(CONTEXT)],
        check: nodes_ready,
    },
    Invariant {
        id: DOMAIN,
        title: "pods search cluster.local and ask the cluster's own DNS",
        level: Level::Should,
        clauses: &[ClauseId::new(1, 7)],
        causes: &[Cause::around(CONTEXT), Cause::around(nginx::READY)],
        check: cluster_domain,
    },
];

fn context(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let kubernetes = view.kubernetes(index)?;
        let fields = [
            ("the name of the context", &kubernetes.context),
            ("the URL of the API", &kubernetes.endpoint),
            ("the UID of the namespace kube-system", &kubernetes.uid),
        ];
        let wrong = fields.iter().filter(|(_, value)| value.is_empty()).map(|(what, _)| format!("{what} is empty"));
        none_wrong(
            wrong.collect(),
            "Every kubectl command of the procedure names a context.",
            format!("aws eks update-kubeconfig --name {} --region {}", view.name(index), view.region(index)),
        )
    })
}

fn distinct(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let (a, b) = (view.kubernetes(pair.requester)?, view.kubernetes(pair.accepter)?);
        let same = [
            ("context", &a.context, &b.context),
            ("API endpoint", &a.endpoint, &b.endpoint),
            ("UID of the namespace kube-system", &a.uid, &b.uid),
        ];
        none_wrong(
            same.iter()
                .filter(|(_, a, b)| a == b)
                .map(|(what, value, _)| format!("clusters {pair} have the same {what}: {value}"))
                .collect(),
            "One cluster stands for two: whatever is applied to the second goes to the first again.",
            format!(
                "kubectl config get-contexts, and use the context of each cluster: aws eks update-kubeconfig --name {} \
                 --region {}",
                view.name(pair.accepter),
                view.region(pair.accepter)
            ),
        )
    })
}

fn nodes_ready(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let nodes = &view.kubernetes(index)?.nodes;
        let ready = nodes.iter().filter(|node| node.ready).count();
        let wanted: u64 = view.wanted(index).node_groups.iter().map(|group| u64::from(group.desired_capacity)).sum();
        let mut wrong = Vec::new();
        if (ready as u64) < wanted {
            wrong.push(format!("{ready} of {wanted} nodes of {} are Ready", view.name(index)));
            wrong.extend(nodes.iter().filter(|node| !node.ready).map(|node| format!("{} is not Ready", node.name)));
        }
        none_wrong(
            wrong,
            "CoreDNS and nginx run on these nodes, and the load balancer sends to the Ready ones.",
            format!("kubectl --context {} describe nodes", view.context(index)),
        )
    })
}

fn cluster_domain(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let kubernetes = view.kubernetes(index)?;
        let missing = || unseen(format!("/etc/resolv.conf of the pod sample-nginx of {}", view.name(index)));
        let conf = kubernetes.resolv_conf.as_deref().ok_or_else(missing)?;
        let wanted = [view.zone(index), "svc.cluster.local".to_owned(), "cluster.local".to_owned()];
        let search: Vec<&str> =
            values(conf, "search").last().map(|it| it.split_whitespace().collect()).unwrap_or_default();
        let mut wrong = Vec::new();
        if !search.iter().take(3).eq(wanted.iter()) {
            wrong.push(format!("search is \"{}\" and does not begin with \"{}\"", search.join(" "), wanted.join(" ")));
        }
        let servers: Vec<&str> = values(conf, "nameserver").collect();
        let dns = kubernetes.kube_dns.ok_or_else(|| unseen(format!("the Service kube-dns of {}", view.name(index))))?;
        if servers != [dns.to_string()] {
            wrong.push(format!("nameserver is \"{}\" instead of {dns} of kube-dns", servers.join(" ")));
        }
        none_wrong(
            wrong,
            "The domain of an EKS cluster cannot be changed, and the Corefiles forward zones under cluster.local.",
            format!(
                "kubectl --context {} -n {} exec sample-nginx -- cat /etc/resolv.conf, and make the nodes again with the \
                 kubelet's default clusterDomain and clusterDNS.",
                view.context(index),
                view.wanted(index).namespace
            ),
        )
    })
}

fn values<'a>(conf: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    conf.lines().filter_map(move |line| {
        let rest = line.trim_start().strip_prefix(keyword)?;
        rest.starts_with(char::is_whitespace).then(|| rest.trim())
    })
}
