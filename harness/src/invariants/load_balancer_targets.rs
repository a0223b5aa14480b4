//! What is behind the load balancer, and whether the peers' queries get there (C2.10s).

use super::cause::Cause;
use super::check::{Finding, Judged, each_cluster, each_direction, none_wrong, unseen};
use super::rules::groups_take_tcp;
use super::view::{Seen, View};
use super::{Invariant, clusters, dns_service, kubernetes, load_balancer, security_groups};
use crate::document::{ClauseId, Level};
use crate::observation::{Interface, Listener, Observation, SecurityGroup};
use crate::topology::{ClusterIndex, Topology};

pub(super) const HEALTHY: &str = "load-balancer-targets";
pub(super) const OPEN: &str = "load-balancer-open";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: HEALTHY,
        title: "the load balancer has a healthy target",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 10)],
        causes: &[
            Cause::around(dns_service::SERVICE),
            Cause::around(load_balancer::EXISTS),
            Cause::around(load_balancer::ACTIVE),
            Cause::around(load_balancer::FORM),
            Cause::around(dns_service::ENDPOINTS),
            Cause::around("nodes-ready"),
        ],
        check: healthy,
    },
    Invariant {
        id: OPEN,
        title: "security groups let this cluster's queries to the peer's load balancer and its targets",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 10)],
        causes: &[
            Cause::to(load_balancer::EXISTS),
            Cause::to(load_balancer::FORM),
            Cause::to(load_balancer::ADDRESSES),
            Cause::to(kubernetes::CONTEXT),
            Cause::to(clusters::VPC_KNOWN),
            Cause::to(HEALTHY),
            Cause::along(security_groups::RULES),
            Cause::along(security_groups::INTERFACES),
        ],
        check: open,
    },
];

fn listener<'a>(view: View<'a>, index: ClusterIndex) -> Seen<&'a Listener> {
    let load_balancer = view.load_balancer(index)?;
    let listener = load_balancer.listeners.iter().find(|it| it.protocol == "TCP" && it.port == 53);
    listener.ok_or_else(|| unseen(format!("the listener on TCP 53 of {}", load_balancer.name)))
}

fn healthy(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let targets = &listener(view, index)?.targets;
        let name = &view.load_balancer(index)?.name;
        if targets.iter().any(|target| target.health == "healthy") {
            return Ok(());
        }
        let mut wrong = vec![format!("none of {} targets of {name} is healthy", targets.len())];
        wrong.extend(targets.iter().map(|target| {
            let why = target.description.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{}:{} is {}{why}", target.id, target.port, target.health)
        }));
        none_wrong(
            wrong,
            "An active load balancer says nothing of what is behind it: queries are answered by healthy targets.",
            format!(
                "kubectl --context {} -n kube-system get pods -l k8s-app=kube-dns -o wide; aws elbv2 \
                 describe-target-health --target-group-arn $(aws elbv2 describe-target-groups --load-balancer-arn {} \
                 --query 'TargetGroups[0].TargetGroupArn' --output text --region {}) --region {}",
                view.context(index),
                view.load_balancer(index)?.arn,
                view.region(index),
                view.region(index)
            ),
        )
    })
}

fn groups<'a>(view: View<'a>, index: ClusterIndex, interface: &Interface) -> Seen<Vec<&'a SecurityGroup>> {
    interface.security_groups.iter().map(|id| view.security_group(index, id)).collect()
}

/// Checks that an interface takes connections to a port from a cluster's block; tells of it when it does not.
fn takes(view: View<'_>, from: ClusterIndex, to: ClusterIndex, it: &Interface, port: u16) -> Seen<Option<String>> {
    let block = view.wanted(from).cidr_block;
    let groups = groups(view, to, it)?;
    Ok((!groups_take_tcp(&groups, block, port)).then(|| {
        let groups = it.security_groups.join(", ");
        format!("{} ({}) carries {groups}, which let no TCP {port} from {block} in", it.id, it.description)
    }))
}

fn open(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let prefix = format!("ELB net/{}/", view.load_balancer(to)?.name);
        let interfaces = &view.cluster(to)?.interfaces;
        let mut wrong = Vec::new();
        for front in interfaces.iter().filter(|it| it.description.starts_with(&prefix)) {
            wrong.extend(takes(view, from, to, front, 53)?);
        }
        // Clients' addresses are kept for instance targets, so the target's own groups have to know them.
        for target in &listener(view, to)?.targets {
            let mut of_target = interfaces.iter().filter(|it| {
                it.instance.as_deref() == Some(&target.id) || it.addresses.iter().any(|it| it.to_string() == target.id)
            });
            let primary =
                of_target.next().ok_or_else(|| unseen(format!("a network interface of target {}", target.id)))?;
            wrong.extend(takes(view, from, to, primary, target.port)?);
        }
        none_wrong(
            wrong,
            format!(
                "Queries of {} to the load balancer of {} are dropped at these interfaces.",
                view.name(from),
                view.name(to)
            ),
            format!(
                "Recreate the Service, whose controller opens its node port (kubectl --context {} apply -f dns-lb.yaml), or \
                 authorize-security-group-ingress for {} on the groups named, in {}.",
                view.context(to),
                view.wanted(from).cidr_block,
                view.region(to)
            ),
        )
    })
}
