//! Security groups: the one that the document names, and those that the nodes really carry (C2.5, C2.6).

use super::cause::Cause;
use super::check::{Finding, Judged, each_direction, fail, none_wrong, unseen};
use super::rules::{allow_all, have_documented};
use super::view::{Seen, View};
use super::{Invariant, clusters, kubernetes};
use crate::document::{ClauseId, Level};
use crate::observation::{Interface, Observation, SecurityGroup};
use crate::topology::{ClusterIndex, Topology};

pub(super) const RULES: &str = "security-group-rules";
pub(super) const INTERFACES: &str = "interface-security-groups";
pub(super) const EGRESS: &str = "security-group-egress";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: RULES,
        title: "the peer's shared node security group lets all traffic from this cluster in",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 5)],
        causes: &[Cause::around(clusters::VPC_KNOWN)],
        check: rules,
    },
    Invariant {
        id: INTERFACES,
        title: "every node interface of the peer carries a security group that lets this cluster's traffic in",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 5)],
        causes: &[Cause::to(kubernetes::CONTEXT), Cause::to("nodes-ready"), Cause::along(RULES)],
        check: interfaces,
    },
    Invariant {
        id: EGRESS,
        title: "the security groups of the nodes let all traffic to the peer out",
        level: Level::Should,
        clauses: &[ClauseId::new(2, 6)],
        causes: &[Cause::from(kubernetes::CONTEXT), Cause::from("nodes-ready")],
        check: egress,
    },
];

/// The `Name` tag of the group: what the document calls its name. The group's real name has a random end.
fn shared_name(cluster: &str) -> String {
    format!("eksctl-{cluster}-cluster/ClusterSharedNodeSecurityGroup")
}

fn command(view: View<'_>, action: &str, group: &str, at: ClusterIndex, peer: ClusterIndex) -> String {
    format!(
        "aws ec2 authorize-security-group-{action} --group-id {group} --ip-permissions \
         'IpProtocol=-1,IpRanges=[{{CidrIp={}}}]' --region {}",
        view.wanted(peer).cidr_block,
        view.region(at)
    )
}

fn rules(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let groups = &view.cluster(to)?.security_groups;
        if groups.is_empty() {
            return Err(unseen(format!("the security groups of {}", view.name(to))));
        }
        let wanted = shared_name(view.name(to));
        let explanation = format!(
            "The document opens this group for the other clusters; what comes from {} is dropped without it.",
            view.name(from)
        );
        let Some(group) = groups.iter().find(|group| group.name.as_deref() == Some(&wanted)) else {
            return Err(fail(
                [format!("no security group of {} has the Name tag {wanted}", view.name(to))],
                explanation,
                "The cluster was not made by eksctl, or with other names: add the rule to the groups that its nodes carry.",
            ));
        };
        let block = view.wanted(from).cidr_block;
        let missing = (!have_documented(&group.ingress, block))
            .then(|| format!("{} ({wanted}) has no inbound rule for all traffic from {block}", group.id));
        none_wrong(missing.into_iter().collect(), explanation, command(view, "ingress", &group.id, to, from))
    })
}

fn groups_of<'a>(view: View<'a>, index: ClusterIndex, interface: &Interface) -> Seen<Vec<&'a SecurityGroup>> {
    interface.security_groups.iter().map(|id| view.security_group(index, id)).collect()
}

fn list(groups: &[&SecurityGroup]) -> String {
    let name =
        |group: &&SecurityGroup| format!("{} ({})", group.id, group.name.as_deref().unwrap_or(&group.group_name));
    groups.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The groups to add a rule to, each once: EKS's own where the interface carries it, else the first.
fn to_mend<'a>(view: View<'a>, index: ClusterIndex, groups: &[&'a SecurityGroup]) -> Option<&'a str> {
    let own = view.eks(index).ok().and_then(|eks| eks.cluster_security_group.as_deref());
    let carried = groups.iter().find(|group| Some(group.id.as_str()) == own).or(groups.first());
    carried.map(|group| group.id.as_str()).or(own)
}

fn interfaces(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let block = view.wanted(from).cidr_block;
        let (mut wrong, mut remedy) = (Vec::new(), Vec::new());
        for interface in view.node_interfaces(to)? {
            let groups = groups_of(view, to, interface)?;
            if groups.iter().any(|group| allow_all(&group.ingress, block)) {
                continue;
            }
            let instance = interface.instance.as_deref().unwrap_or("no instance");
            wrong.push(format!("{} of {instance} carries {}", interface.id, list(&groups)));
            if let Some(group) = to_mend(view, to, &groups) {
                let command = command(view, "ingress", group, to, from);
                if !remedy.contains(&command) {
                    remedy.push(command);
                }
            }
        }
        none_wrong(
            wrong,
            format!(
                "A security group works on the interfaces that carry it. None of those here lets all traffic from {block} \
                 in, so pods of {} do not reach these nodes' pods. Managed node groups carry the cluster security group \
                 that EKS made, not the ClusterSharedNodeSecurityGroup that the document opens.",
                view.name(from)
            ),
            format!("Add the rule to a group that the interfaces carry:\n{}", remedy.join("\n")),
        )
    })
}

fn egress(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| -> Judged {
        let block = view.wanted(to).cidr_block;
        let (mut wrong, mut remedy) = (Vec::new(), Vec::new());
        for interface in view.node_interfaces(from)? {
            let groups = groups_of(view, from, interface)?;
            if groups.iter().any(|group| allow_all(&group.egress, block)) {
                continue;
            }
            wrong.push(format!("{} carries {}", interface.id, list(&groups)));
            if let Some(group) = to_mend(view, from, &groups) {
                let command = command(view, "egress", group, from, to);
                if !remedy.contains(&command) {
                    remedy.push(command);
                }
            }
        }
        none_wrong(
            wrong,
            format!("No group of these interfaces lets all traffic to {block} out: {} is not reached.", view.name(to)),
            remedy.join("\n"),
        )
    })
}
