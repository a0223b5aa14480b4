//! Network ACLs of the cluster's subnets (C2.4).

use super::cause::Cause;
use super::check::{Finding, each_direction, none_wrong, unseen};
use super::rules::acl_stops;
use super::view::View;
use super::{Invariant, clusters};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::Topology;

pub(super) const ALLOWS: &str = "network-acl-allows";

pub(super) const INVARIANTS: &[Invariant] = &[Invariant {
    id: ALLOWS,
    title: "the network ACLs on both sides let the traffic and its answers through",
    level: Level::Should,
    clauses: &[ClauseId::new(2, 4)],
    causes: &[Cause::around(clusters::VPC_KNOWN)],
    check: allows,
}];

fn allows(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let mut wrong = Vec::new();
        let mut acls = Vec::new();
        // An ACL is stateless: what leaves here has to be let in there. The answers are the other direction's finding.
        for (here, there, egress) in [(from, to, true), (to, from, false)] {
            let block = view.wanted(there).cidr_block;
            for subnet in view.cluster_subnets(here)? {
                let acl = view.cluster(here)?.network_acls.iter().find(|acl| acl.subnets.contains(&subnet.id));
                let acl =
                    acl.ok_or_else(|| unseen(format!("the network ACL of {} of {}", subnet.id, view.name(here))))?;
                if let Some(why) = acl_stops(&acl.entries, egress, block) {
                    let way = if egress { "outbound" } else { "inbound" };
                    wrong.push(format!("{} of {}, {way}: {why}", acl.id, subnet.id));
                    acls.push((acl.id.as_str(), view.region(here), egress, block));
                }
            }
        }
        acls.dedup();
        none_wrong(
            wrong,
            "A network ACL knows no connections and denies what no entry allows, whatever the security groups say.",
            acls.iter()
                .map(|(id, region, egress, block)| {
                    let way = if *egress { "--egress" } else { "--ingress" };
                    format!(
                        "aws ec2 create-network-acl-entry --network-acl-id {id} {way} --rule-number 50 --protocol -1 \
                         --cidr-block {block} --rule-action allow --region {region}"
                    )
                })
                .collect::<Vec<_>>()
                .join("\n"),
        )
    })
}
