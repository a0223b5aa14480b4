//! The parts of the nginx check on their own: names, connections, TiDB's ports (C2.15, C3.4, C3.5).

use std::net::Ipv4Addr;

use super::cause::Cause;
use super::check::{Finding, Judged, each_cluster, each_direction, none_wrong, not_applicable, unseen};
use super::view::{Seen, View};
use super::{
    Invariant, corefile, corefile_zones, dns_service, kubernetes, load_balancer, load_balancer_targets, namespaces,
    network_acls, nginx, peering, routes, security_groups,
};
use crate::document::{ClauseId, Level};
use crate::observation::{Observation, Probe, ProbeRequest, ProbeResult};
use crate::topology::{ClusterIndex, Topology};

pub(super) const ANSWERS: &str = "dns-answers-peer";
pub(super) const TCP: &str = "tcp-to-peer";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "own-name-resolves",
        title: "every CoreDNS pod answers the cluster's own nginx name with its own pod's address",
        level: Level::Should,
        clauses: &[ClauseId::new(3, 4)],
        causes: &[
            Cause::everywhere(namespaces::DISTINCT),
            Cause::around(kubernetes::CONTEXT),
            Cause::around(corefile::ACCEPTED),
            Cause::around(corefile::DEFAULT_BLOCK),
            Cause::around(corefile::OWN_ZONE),
            Cause::around(dns_service::ENDPOINTS),
            Cause::around(nginx::READY),
            Cause::around(nginx::POD),
            Cause::around(nginx::SERVICE),
        ],
        check: own_name,
    },
    Invariant {
        id: TCP,
        title: "TCP connects to the peer's nginx pod by address",
        level: Level::Should,
        clauses: &[ClauseId::new(3, 4)],
        causes: &[
            Cause::around(peering::ACTIVE),
            Cause::around(routes::TO_PEER),
            Cause::around(routes::NOT_SHADOWED),
            Cause::around(network_acls::ALLOWS),
            Cause::along(security_groups::EGRESS),
            Cause::along(security_groups::INTERFACES),
            Cause::around(nginx::READY),
        ],
        check: tcp,
    },
    Invariant {
        id: ANSWERS,
        title: "every CoreDNS pod answers the peer's nginx name with the peer pod's address",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 15), ClauseId::beyond(2, 15), ClauseId::new(3, 4)],
        causes: &[
            Cause::everywhere(namespaces::DISTINCT),
            Cause::from(kubernetes::CONTEXT),
            Cause::from(corefile::TOP_LEVEL),
            Cause::from(corefile::ACCEPTED),
            Cause::from(corefile::RELOAD),
            Cause::along(corefile_zones::ZONE),
            Cause::along(corefile_zones::ZONE_FORM),
            Cause::along(corefile_zones::UPSTREAMS),
            Cause::along(corefile_zones::FORCE_TCP),
            Cause::around(peering::ACTIVE),
            Cause::around(routes::TO_PEER),
            Cause::around(routes::NOT_SHADOWED),
            Cause::around(network_acls::ALLOWS),
            Cause::along(security_groups::EGRESS),
            Cause::along(load_balancer_targets::OPEN),
            Cause::to(load_balancer::ACTIVE),
            Cause::to(load_balancer::FORM),
            Cause::to(load_balancer_targets::HEALTHY),
            Cause::to(dns_service::ENDPOINTS),
            Cause::to(corefile::DEFAULT_BLOCK),
            Cause::to(corefile::OWN_ZONE),
            Cause::to(nginx::READY),
            Cause::to(nginx::POD),
            Cause::to(nginx::SERVICE),
        ],
        check: answers,
    },
    Invariant {
        id: "tidb-ports",
        title: "packets to TiDB's ports of the peer's nginx pod arrive",
        level: Level::Should,
        clauses: &[ClauseId::new(3, 5)],
        causes: &[
            Cause::along(TCP),
            Cause::along(security_groups::EGRESS),
            Cause::along(security_groups::INTERFACES),
            Cause::around(network_acls::ALLOWS),
        ],
        check: tidb_ports,
    },
];

/// A probe's result in words.
pub(crate) fn tell(result: &ProbeResult) -> String {
    match result {
        ProbeResult::Http { status, .. } => format!("HTTP {status}"),
        ProbeResult::Dns { code, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
            format!("{code} [{}]", addresses.join(", "))
        }
        ProbeResult::Connected => "connected".to_owned(),
        ProbeResult::Refused => "connection refused".to_owned(),
        ProbeResult::TimedOut => "no answer".to_owned(),
        ProbeResult::Unresolved => "the name does not resolve".to_owned(),
        ProbeResult::Error { message } => format!("the probe failed: {message}"),
    }
}

/// Asks of every CoreDNS pod of `from` the name of nginx in `to`, and tells what answers otherwise than with its address.
fn wrong_answers(view: View<'_>, from: ClusterIndex, to: ClusterIndex) -> Seen<Vec<String>> {
    let wanted = view.nginx_address(to)?;
    let name = view.nginx_name(to);
    let pods = &view.kubernetes(from)?.coredns_pods;
    if pods.is_empty() {
        return Err(unseen(format!("CoreDNS pods of {}", view.name(from))));
    }
    let mut wrong = Vec::new();
    for pod in pods {
        let asked = |probe: &&Probe| match &probe.request {
            ProbeRequest::Dns { server, name: asked } => *server == pod.name && asked.trim_end_matches('.') == name,
            _ => false,
        };
        // The last answer counts: an earlier one may be from before the reload.
        let missing = || unseen(format!("the answer of {} of {} for {name}", pod.name, view.name(from)));
        let probe = view.probes(from, to).filter(asked).last().ok_or_else(missing)?;
        match &probe.result {
            ProbeResult::Dns { code, addresses } if code == "NOERROR" && *addresses == [wanted] => {}
            other => wrong.push(format!("{} says {} for {name} instead of {wanted}", pod.name, tell(other))),
        }
    }
    let block = view.wanted(to).cidr_block;
    if !block.contains(&wanted) {
        wrong.push(format!("{wanted} of the pod is not within {block} of {}", view.name(to)));
    }
    Ok(wrong)
}

fn dig(view: View<'_>, from: ClusterIndex, to: ClusterIndex) -> String {
    format!(
        "kubectl --context {} -n kube-system port-forward POD 5353:53, and dig +tcp -p 5353 @127.0.0.1 {}; kubectl \
         --context {} -n kube-system logs -l k8s-app=kube-dns",
        view.context(from),
        view.nginx_name(to),
        view.context(from)
    )
}

fn own_name(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        none_wrong(
            wrong_answers(view, index, index)?,
            "The edit of the Corefile must not cost the cluster its own names.",
            dig(view, index, index),
        )
    })
}

fn answers(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        none_wrong(
            wrong_answers(view, from, to)?,
            format!(
                "Pods of {} find the components of {} by name, and which CoreDNS pod they ask is left to chance: each of \
                 them has to have reloaded and to get an answer.",
                view.name(from),
                view.name(to)
            ),
            dig(view, from, to),
        )
    })
}

/// The last result of connecting to each port of an address, by port.
fn connections(view: View<'_>, from: ClusterIndex, to: ClusterIndex, at: Ipv4Addr) -> Vec<(u16, &ProbeResult)> {
    let mut found: Vec<(u16, &ProbeResult)> = Vec::new();
    for probe in view.probes(from, to) {
        let ProbeRequest::Tcp { address, port } = probe.request else { continue };
        if address != at {
            continue;
        }
        match found.iter_mut().find(|(known, _)| *known == port) {
            Some(known) => known.1 = &probe.result,
            None => found.push((port, &probe.result)),
        }
    }
    found
}

fn nc(view: View<'_>, from: ClusterIndex, at: Ipv4Addr, port: u16) -> String {
    format!(
        "kubectl --context {} -n {} exec sample-nginx -- curl -v --connect-timeout 5 telnet://{at}:{port}",
        view.context(from),
        view.wanted(from).namespace
    )
}

fn tcp(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let at = view.nginx_address(to)?;
        let missing = || unseen(format!("a connection from {} to {at}:80 of {}", view.name(from), view.name(to)));
        let connections = connections(view, from, to, at);
        let (_, result) = connections.into_iter().find(|(port, _)| *port == 80).ok_or_else(missing)?;
        let wrong = match result {
            ProbeResult::Connected => None,
            other => Some(format!("{at}:80: {}", tell(other))),
        };
        none_wrong(
            wrong.into_iter().collect(),
            "TiDB's components connect to each other's pod addresses: the way there and back has to be open whatever DNS \
             says.",
            nc(view, from, at, 80),
        )
    })
}

fn tidb_ports(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let at = view.nginx_address(to)?;
        let tried: Vec<_> = connections(view, from, to, at).into_iter().filter(|(port, _)| *port != 80).collect();
        let Some((first, _)) = tried.first() else {
            return Err(not_applicable("no connection to TiDB's ports was tried"));
        };
        // Nothing listens there yet. A refusal has come back from the pod, so packets pass both ways.
        let closed = tried.iter().filter(|(_, it)| !matches!(it, ProbeResult::Connected | ProbeResult::Refused));
        none_wrong(
            closed.map(|(port, result)| format!("{at}:{port}: {}", tell(result))).collect(),
            "PD, TiKV and TiDB of the clusters speak to each other on these ports, and a rule for port 80 alone would pass \
             the nginx check.",
            nc(view, from, at, *first),
        )
    })
}
