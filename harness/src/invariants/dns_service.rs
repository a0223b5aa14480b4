//! The Service across-cluster-dns-tcp (C2.7, C2.8).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::cause::Cause;
use super::check::{Finding, each_cluster, fail, none_wrong, unseen};
use super::view::View;
use super::{Invariant, clusters, kubernetes};
use crate::document::{ClauseId, Level};
use crate::observation::{DnsService, Observation};
use crate::topology::Topology;

pub(super) const SERVICE: &str = "dns-service";
pub(super) const ENDPOINTS: &str = "dns-service-endpoints";
pub(super) const HOSTNAME: &str = "dns-service-hostname";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: SERVICE,
        title: "the Service across-cluster-dns-tcp is as documented",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 7)],
        causes: &[Cause::around(kubernetes::CONTEXT)],
        check: service,
    },
    Invariant {
        id: ENDPOINTS,
        title: "the Service has the ready CoreDNS pods as endpoints",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 7)],
        causes: &[Cause::around(kubernetes::CONTEXT), Cause::around(clusters::AUTO_MODE_OFF), Cause::around(SERVICE)],
        check: endpoints,
    },
    Invariant {
        id: HOSTNAME,
        title: "the Service got the host name of a load balancer",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 8)],
        causes: &[Cause::around(SERVICE)],
        check: hostname,
    },
    Invariant {
        id: "dns-service-warnings",
        title: "there are no warnings about the Service",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 8)],
        causes: &[Cause::around(SERVICE), Cause::around(clusters::AUTO_MODE_OFF)],
        check: warnings,
    },
];

/// What the document's `dns-lb.yaml` says, as (field, is, wanted).
fn differences(service: &DnsService) -> Vec<String> {
    let annotation = |name: &str| format!("service.beta.kubernetes.io/aws-load-balancer-{name}");
    let of = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_else(|| "none".to_owned());
    let annotations = [("cross-zone-load-balancing-enabled", "true"), ("type", "nlb"), ("internal", "true")];
    let mut fields = vec![
        ("type".to_owned(), service.kind.clone(), "LoadBalancer"),
        ("label k8s-app".to_owned(), of(&service.labels, "k8s-app"), "kube-dns"),
        ("selector k8s-app".to_owned(), of(&service.selector, "k8s-app"), "kube-dns"),
    ];
    fields.extend(annotations.map(|(name, wanted)| {
        (format!("annotation {}", annotation(name)), of(&service.annotations, &annotation(name)), wanted)
    }));
    let mut wrong: Vec<String> = fields
        .into_iter()
        .filter(|(_, is, wanted)| is != wanted)
        .map(|(field, is, wanted)| format!("{field} is {is} instead of {wanted}"))
        .collect();
    for key in service.selector.keys().filter(|key| *key != "k8s-app") {
        wrong.push(format!("the selector also asks for {key}"));
    }
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|(name, port, protocol, target)| format!("{name} {port}/{protocol} to {target}"))
        .collect();
    if ports != ["dns 53/TCP to 53"] {
        wrong.push(format!("ports are [{}] instead of [dns 53/TCP to 53]", ports.join(", ")));
    }
    wrong
}

fn service(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let explanation = "The other clusters ask this one's CoreDNS through an internal Network Load Balancer, which the \
                           cloud controller makes as the Service and its annotations say.";
        let remedy = format!("kubectl --context {} apply -f dns-lb.yaml", view.context(index));
        match &view.kubernetes(index)?.dns_service {
            Some(service) => none_wrong(differences(service), explanation, remedy),
            None => {
                let evidence = format!("{} has no Service kube-system/across-cluster-dns-tcp", view.name(index));
                Err(fail([evidence], explanation, remedy))
            }
        }
    })
}

fn addresses(addresses: &BTreeSet<Ipv4Addr>) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ")
}

fn endpoints(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let pods = &view.kubernetes(index)?.coredns_pods;
        let ready: BTreeSet<Ipv4Addr> = pods.iter().filter(|pod| pod.ready).filter_map(|pod| pod.address).collect();
        let endpoints = &view.dns_service(index)?.ready_endpoints;
        let mut wrong = Vec::new();
        if ready.is_empty() {
            wrong.push(format!("none of {} CoreDNS pods of {} is ready", pods.len(), view.name(index)));
        }
        if *endpoints != ready {
            wrong.push(format!(
                "ready endpoints are [{}], and ready CoreDNS pods [{}]",
                addresses(endpoints),
                addresses(&ready)
            ));
        }
        none_wrong(
            wrong,
            "A query that the load balancer hands to a node goes on to an endpoint of the Service.",
            format!(
                "kubectl --context {} -n kube-system get pods,endpointslices -l k8s-app=kube-dns",
                view.context(index)
            ),
        )
    })
}

fn hostname(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let service = view.dns_service(index)?;
        match service.hostname.as_deref() {
            Some(hostname) if !hostname.is_empty() => Ok(()),
            _ => Err(fail(
                std::iter::once(".status.loadBalancer.ingress[0].hostname is empty".to_owned())
                    .chain(service.warnings.iter().cloned()),
                "Nothing made a load balancer for the Service, so there are no addresses to forward to.",
                format!(
                    "kubectl --context {} -n kube-system describe service across-cluster-dns-tcp",
                    view.context(index)
                ),
            )),
        }
    })
}

fn warnings(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let warnings =
            &view.dns_service(index).map_err(|_| unseen(format!("events of {}", view.name(index))))?.warnings;
        none_wrong(
            warnings.clone(),
            "The controller tells in its events what it could not do: subnets without free addresses, missing permissions, \
             ambiguous security groups.",
            format!("kubectl --context {} -n kube-system describe service across-cluster-dns-tcp", view.context(index)),
        )
    })
}
