//! The nginx check: what is deployed for it, the documented request, the same from every node, and that it is removed
//! (C3.1 to C3.3, C3.5s, C3.6).

use std::collections::BTreeMap;

use super::cause::Cause;
use super::check::{Finding, Judged, each_cluster, each_direction, fail, none_wrong, not_applicable, unseen};
use super::view::View;
use super::{Invariant, corefile_zones, dns, kubernetes, namespaces, network_acls, routes, security_groups};
use crate::document::{ClauseId, Level};
use crate::observation::{Observation, Pod, Probe, ProbeRequest, ProbeResult};
use crate::topology::{ClusterIndex, Topology};

pub(super) const POD: &str = "nginx-pod";
pub(super) const SERVICE: &str = "nginx-service";
pub(super) const READY: &str = "nginx-ready";
pub(super) const HTTP: &str = "http-to-peer";

/// Name of the documented pod.
pub(super) const SAMPLE_NGINX: &str = "sample-nginx";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: POD,
        title: "the pod sample-nginx is as documented",
        level: Level::Must,
        clauses: &[ClauseId::new(3, 1), ClauseId::beyond(3, 1)],
        causes: &[Cause::around(kubernetes::CONTEXT), Cause::around(namespaces::EXISTS)],
        check: pod,
    },
    Invariant {
        id: SERVICE,
        title: "the Service sample-nginx-peer is as documented",
        level: Level::Must,
        clauses: &[ClauseId::new(3, 1), ClauseId::beyond(3, 1)],
        causes: &[Cause::around(kubernetes::CONTEXT), Cause::around(namespaces::EXISTS)],
        check: service,
    },
    Invariant {
        id: READY,
        title: "the pod sample-nginx runs in the cluster's namespace and is Ready",
        level: Level::Must,
        clauses: &[ClauseId::new(3, 2), ClauseId::beyond(3, 2)],
        causes: &[
            Cause::around(kubernetes::CONTEXT),
            Cause::around(namespaces::EXISTS),
            Cause::around(kubernetes::NODES_READY),
            Cause::around(POD),
        ],
        check: ready,
    },
    Invariant {
        id: HTTP,
        title: "curl gets the welcome page of the peer's nginx",
        level: Level::Must,
        clauses: &[ClauseId::new(3, 3)],
        causes: &[
            Cause::around(READY),
            Cause::from(kubernetes::DOMAIN),
            Cause::along(dns::ANSWERS),
            Cause::along(dns::TCP),
            // The pod asks over UDP and the DNS probe over TCP: without force_tcp only the pod's query is lost.
            Cause::along(corefile_zones::FORCE_TCP),
        ],
        check: http,
    },
    Invariant {
        id: "http-from-every-node",
        title: "curl gets the welcome page of the peer's nginx from a pod on every node",
        level: Level::Should,
        clauses: &[ClauseId::beyond(3, 5)],
        causes: &[
            Cause::from(kubernetes::NODES_READY),
            Cause::along(HTTP),
            // One CoreDNS pod that answers may do for the documented request, and not for another.
            Cause::along(dns::ANSWERS),
            Cause::along(security_groups::EGRESS),
            Cause::along(security_groups::INTERFACES),
            Cause::around(routes::TO_PEER),
            Cause::around(routes::NOT_SHADOWED),
            Cause::around(network_acls::ALLOWS),
        ],
        check: from_every_node,
    },
    Invariant {
        id: "nginx-removed",
        title: "the nginx pod, its Service and the probers are deleted after the check",
        level: Level::Must,
        clauses: &[ClauseId::new(3, 6)],
        causes: &[],
        check: removed,
    },
];

const APPLY: &str = "apply -f sample-nginx.yaml";

fn apply(view: View<'_>, index: crate::topology::ClusterIndex) -> String {
    format!("kubectl --context {} -n {} {APPLY}", view.context(index), view.wanted(index).namespace)
}

fn pod(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let namespace = &view.wanted(index).namespace;
        let explanation = "The pod has a name of its own in DNS only with a hostname and with the headless Service's name as subdomain.";
        let Some(Pod { image, hostname, subdomain, .. }) = &view.kubernetes(index)?.nginx else {
            let evidence = format!("{} has no pod {namespace}/sample-nginx", view.name(index));
            return Err(fail([evidence], explanation, apply(view, index)));
        };
        let has = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let fields = [
            ("image", image.clone(), "nginx:1.21.5"),
            ("hostname", has(hostname), "sample-nginx"),
            ("subdomain", has(subdomain), "sample-nginx-peer"),
        ];
        none_wrong(
            fields
                .into_iter()
                .filter(|(_, is, wanted)| is != wanted)
                .map(|(field, is, wanted)| format!("{field} of the pod is {is} instead of {wanted}"))
                .collect(),
            explanation,
            format!(
                "kubectl --context {} -n {namespace} delete pod sample-nginx, then {}",
                view.context(index),
                apply(view, index)
            ),
        )
    })
}

fn service(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let explanation = "The headless Service is what makes the pod's own name resolve to the pod's address.";
        let Some(service) = &view.kubernetes(index)?.nginx_service else {
            let evidence =
                format!("{} has no Service {}/sample-nginx-peer", view.name(index), view.wanted(index).namespace);
            return Err(fail([evidence], explanation, apply(view, index)));
        };
        let mut wrong = Vec::new();
        if !service.headless {
            wrong.push("clusterIP is not None".to_owned());
        }
        let selector = BTreeMap::from([("app".to_owned(), "sample-nginx".to_owned())]);
        if service.selector != selector {
            wrong.push(format!("the selector is {:?} instead of app=sample-nginx", service.selector));
        }
        if service.ports != [80] {
            wrong.push(format!("the ports are {:?} instead of 80", service.ports));
        }
        none_wrong(wrong, explanation, apply(view, index))
    })
}

fn ready(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let pod = view.nginx(index)?;
        let namespace = &view.wanted(index).namespace;
        let mut wrong = Vec::new();
        if !pod.ready {
            wrong.push(format!("{namespace}/sample-nginx of {} on {} is not Ready", view.name(index), pod.node));
        }
        if pod.address.is_none() {
            wrong.push(format!("{namespace}/sample-nginx of {} has no address", view.name(index)));
        }
        none_wrong(
            wrong,
            "It is both ends of the check: it asks and it answers; DNS does not name a pod that is not Ready.",
            format!("kubectl --context {} -n {namespace} describe pod sample-nginx", view.context(index)),
        )
    })
}

/// Whether a URL is the documented one for a name; the port may be left out, for 80 is HTTP's own.
fn is_documented(url: &str, name: &str) -> bool {
    let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.strip_suffix(":80").unwrap_or(rest) == name)
}

/// The last documented request from a pod of one cluster to another: an earlier one may be from before CoreDNS reloaded.
pub(super) fn request<'a>(view: View<'a>, from: ClusterIndex, pod: &str, to: ClusterIndex) -> Option<&'a Probe> {
    let name = view.nginx_name(to);
    let asked = view.probes(from, to).filter(|probe| match &probe.request {
        ProbeRequest::Http { pod: asker, url } => asker == pod && is_documented(url, &name),
        _ => false,
    });
    asked.last()
}

/// What is wrong with the answer to the documented request.
fn wrong_page(view: View<'_>, to: ClusterIndex, probe: &Probe) -> Vec<String> {
    let mut wrong = Vec::new();
    match &probe.result {
        ProbeResult::Http { status, welcome, remote, .. } => {
            if *status != 200 || !welcome {
                let page = if *welcome { "nginx's welcome page" } else { "another page" };
                wrong.push(format!("HTTP {status} with {page}"));
            }
            if let (Some(remote), Ok(pod)) = (remote, view.nginx_address(to))
                && *remote != pod
            {
                wrong.push(format!("{remote} answered, and the pod of {} has {pod}", view.name(to)));
            }
        }
        other => wrong.push(format!("after {} ms: {}", probe.millis, dns::tell(other))),
    }
    wrong
}

fn curl(view: View<'_>, from: ClusterIndex, pod: &str, to: ClusterIndex) -> String {
    format!(
        "kubectl --context {} -n {} exec {pod} -- curl -v http://{}:80",
        view.context(from),
        view.wanted(from).namespace,
        view.nginx_name(to)
    )
}

fn http(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let missing = || unseen(format!("the request from {} to http://{}:80", view.name(from), view.nginx_name(to)));
        let probe = request(view, from, SAMPLE_NGINX, to).ok_or_else(missing)?;
        none_wrong(
            wrong_page(view, to, probe),
            format!(
                "This is the document's own check: without it {} and {} are not connected.",
                view.name(from),
                view.name(to)
            ),
            curl(view, from, SAMPLE_NGINX, to),
        )
    })
}

fn from_every_node(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let kubernetes = view.kubernetes(from)?;
        if kubernetes.nodes.is_empty() {
            return Err(unseen(format!("the nodes of {}", view.name(from))));
        }
        let mut wrong = Vec::new();
        let mut remedy = String::new();
        for node in &kubernetes.nodes {
            let missing =
                || unseen(format!("the request from {} of {} to {}", node.name, view.name(from), view.name(to)));
            let prober = kubernetes.probers.iter().find(|pod| pod.node == node.name).ok_or_else(missing)?;
            let probe = request(view, from, &prober.name, to).ok_or_else(missing)?;
            let found = wrong_page(view, to, probe);
            if !found.is_empty() {
                remedy = curl(view, from, &prober.name, to);
            }
            wrong.extend(found.into_iter().map(|what| format!("from {}: {what}", node.name)));
        }
        none_wrong(
            wrong,
            "TiDB's pods may be on any node: one that is cut off shows only when something is scheduled there.",
            format!("compare the security groups and the subnet of the node with the others', then {remedy}"),
        )
    })
}

fn removed(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let left = view.cluster(index)?.left_after_check.as_ref();
        let left = left.ok_or_else(|| not_applicable("the check is not cleaned up yet"))?;
        let namespace = &view.wanted(index).namespace;
        none_wrong(
            left.iter().map(|what| format!("{what} is still in {namespace} of {}", view.name(index))).collect(),
            "What is left takes the names and the place of the next check.",
            format!("kubectl --context {} -n {namespace} delete -f sample-nginx.yaml", view.context(index)),
        )
    })
}
