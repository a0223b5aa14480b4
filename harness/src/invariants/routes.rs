//! Routes between the VPCs (C2.3, C2.4).

use super::cause::Cause;
use super::check::{Finding, Judged, each_direction, none_wrong};
use super::view::View;
use super::{Invariant, cidr, clusters, peering};
use crate::document::{ClauseId, Level};
use crate::observation::{Observation, Route};
use crate::topology::{ClusterIndex, Pair, Topology};

pub(super) const TO_PEER: &str = "route-to-peer";
pub(super) const NOT_SHADOWED: &str = "route-not-shadowed";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: TO_PEER,
        title: "every route table of the cluster's subnets has an active route to the peer through their peering",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 3)],
        causes: &[
            Cause::touching(cidr::DISJOINT),
            Cause::around(clusters::VPC_KNOWN),
            Cause::around(peering::EXISTS),
            Cause::around(peering::ACTIVE),
        ],
        check: to_peer,
    },
    Invariant {
        id: NOT_SHADOWED,
        title: "no more specific route leads part of the peer's CIDR block elsewhere",
        level: Level::Should,
        clauses: &[ClauseId::new(2, 4)],
        causes: &[Cause::touching(cidr::DISJOINT), Cause::around(clusters::VPC_KNOWN), Cause::around(peering::EXISTS)],
        check: not_shadowed,
    },
];

fn pair_of(from: ClusterIndex, to: ClusterIndex) -> Pair {
    if from < to { Pair { requester: from, accepter: to } } else { Pair { requester: to, accepter: from } }
}

fn to_peer(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| routes_of(view, from, to))
}

fn routes_of(view: View<'_>, from: ClusterIndex, to: ClusterIndex) -> Judged {
    let destination = view.wanted(to).cidr_block;
    // Without a connection there is nothing to point to, but a missing route is missing all the same.
    let peering = peering::live(view, pair_of(from, to)).ok();
    let target = peering.map_or_else(|| format!("${{vpc_peering_id_{from}{to}}}"), |it| it.id.clone());
    let (mut wrong, mut remedy) = (Vec::new(), Vec::new());
    for (table, subnets) in view.cluster_route_tables(from)? {
        let table_name = format!("{} ({})", table.id, table.name.as_deref().unwrap_or("no name"));
        let found: Vec<&Route> = table.routes.iter().filter(|route| route.destination == destination).collect();
        let command = |action: &str| {
            format!(
                "aws ec2 {action} --route-table-id {} --destination-cidr-block {destination} \
                 --vpc-peering-connection-id {target} --region {}",
                table.id,
                view.region(from)
            )
        };
        match found.as_slice() {
            [] => {
                wrong.push(format!("{table_name} of {} has no route to {destination}", subnets.join(", ")));
                remedy.push(command("create-route"));
            }
            [route] => {
                let before = wrong.len();
                if peering.is_none_or(|it| it.id != route.target) {
                    wrong.push(format!("{table_name}: {destination} goes to {} instead of {target}", route.target));
                    remedy.push(command("replace-route"));
                }
                if route.state != "active" {
                    wrong.push(format!("{table_name}: the route {destination} to {} is {}", route.target, route.state));
                }
                if route.origin != "CreateRoute" {
                    wrong.push(format!("{table_name}: the route {destination} comes from {}", route.origin));
                }
                if wrong.len() > before && remedy.is_empty() {
                    remedy.push(format!(
                        "aws ec2 describe-vpc-peering-connections --vpc-peering-connection-ids {target} --region {}",
                        view.region(from)
                    ));
                }
            }
            several => {
                wrong.push(format!("{table_name} has {} routes to {destination}", several.len()));
                remedy.push(command("replace-route"));
            }
        }
    }
    none_wrong(
        wrong,
        format!(
            "A subnet sends by its own route table, so packets from {} to {}, and its answers to what comes from there, \
             are lost in the subnets named.",
            view.name(from),
            view.name(to)
        ),
        remedy.join("\n"),
    )
}

fn not_shadowed(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let block = view.wanted(to).cidr_block;
        let target = peering::live(view, pair_of(from, to)).ok().map(|it| it.id.as_str());
        let (mut wrong, mut remedy) = (Vec::new(), Vec::new());
        for (table, _) in view.cluster_route_tables(from)? {
            for route in table.routes.iter().filter(|route| {
                route.destination != block
                    && block.contains(&route.destination)
                    && target.is_none_or(|target| route.target != target)
            }) {
                wrong.push(format!("{}: {} goes to {}", table.id, route.destination, route.target));
                remedy.push(match route.target.as_str() {
                    "local" => format!("{} is the VPC's own: {} needs another block", route.destination, view.name(to)),
                    _ => format!(
                        "aws ec2 delete-route --route-table-id {} --destination-cidr-block {} --region {}",
                        table.id,
                        route.destination,
                        view.region(from)
                    ),
                });
            }
        }
        none_wrong(
            wrong,
            format!(
                "The longest prefix wins: these addresses of {} are not reached through the peering.",
                view.name(to)
            ),
            remedy.join("\n"),
        )
    })
}
