//! VPC peering connections (C2.2).

use acrossk8s_vpc::PeeringState;

use super::cause::Cause;
use super::check::{Finding, each_pair, fail, none_wrong, unseen};
use super::view::{Seen, View};
use super::{Invariant, cidr, clusters};
use crate::document::{ClauseId, Level};
use crate::observation::{Observation, Peering};
use crate::topology::{Pair, Topology};

pub(super) const EXISTS: &str = "peering-exists";
pub(super) const ACTIVE: &str = "peering-active";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: EXISTS,
        title: "there is exactly one live peering connection",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 2)],
        causes: &[Cause::around(cidr::DISJOINT), Cause::around(clusters::VPC_KNOWN)],
        check: exists,
    },
    Invariant {
        id: "peering-roles",
        title: "the lower cluster's VPC is the requester",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 2)],
        causes: &[Cause::around(EXISTS)],
        check: roles,
    },
    Invariant {
        id: ACTIVE,
        title: "the peering connection is active",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 2)],
        causes: &[Cause::around(EXISTS)],
        check: active,
    },
    Invariant {
        id: "peering-cidr-blocks",
        title: "the peering connection has the CIDR blocks of the two VPCs",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 2)],
        causes: &[Cause::around(EXISTS), Cause::around(ACTIVE)],
        check: cidr_blocks,
    },
];

/// Whether a connection can carry packets or still come to that. The other states are the end of a connection, and AWS
/// goes on listing it for hours or days (VPC Peering Guide, "VPC peering connection lifecycle").
const fn is_live(state: PeeringState) -> bool {
    use PeeringState::{Active, InitiatingRequest, PendingAcceptance, Provisioning};
    matches!(state, InitiatingRequest | PendingAcceptance | Provisioning | Active)
}

fn describe(peering: &Peering) -> String {
    let state = state_name(peering.state);
    let message = peering.message.as_deref().filter(|message| !message.is_empty());
    let message = message.map(|message| format!(" ({message})")).unwrap_or_default();
    format!("{} from {} to {} is {state}{message}", peering.id, peering.requester_vpc, peering.accepter_vpc)
}

/// AWS's status code.
fn state_name(state: PeeringState) -> &'static str {
    match state {
        PeeringState::InitiatingRequest => "initiating-request",
        PeeringState::PendingAcceptance => "pending-acceptance",
        PeeringState::Provisioning => "provisioning",
        PeeringState::Active => "active",
        PeeringState::Deleting => "deleting",
        PeeringState::Deleted => "deleted",
        PeeringState::Rejected => "rejected",
        PeeringState::Expired => "expired",
        PeeringState::Failed => "failed",
    }
}

/// The live connection of a pair; an active one where there are several.
pub(super) fn live<'a>(view: View<'a>, pair: Pair) -> Seen<&'a Peering> {
    let live = || view.peerings(pair).map(|all| all.into_iter().filter(|it| is_live(it.state)));
    live()?
        .find(|it| it.state == PeeringState::Active)
        .or(live()?.next())
        .ok_or_else(|| unseen(format!("a live peering connection of clusters {pair}")))
}

fn exists(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let all = view.peerings(pair)?;
        let (requester, accepter) = (&view.vpc(pair.requester)?.id, &view.vpc(pair.accepter)?.id);
        let live: Vec<&Peering> = all.iter().copied().filter(|it| is_live(it.state)).collect();
        let (here, there) = (view.region(pair.requester), view.region(pair.accepter));
        match live.as_slice() {
            [_] => Ok(()),
            [] => {
                let mut evidence = vec![format!("no live peering connection between {requester} and {accepter}")];
                evidence.extend(all.iter().map(|it| describe(it)));
                Err(fail(
                    evidence,
                    "Peering is not transitive: without a connection of their own the two VPCs have no way to each other.",
                    format!(
                        "aws ec2 create-vpc-peering-connection --vpc-id {requester} --peer-vpc-id {accepter} \
                         --peer-region {there} --region {here}, then accept it in {there}"
                    ),
                ))
            }
            [keep, rest @ ..] => Err(fail(
                live.iter().map(|it| describe(it)),
                "Routes may point to either connection, and only one of them can become active.",
                rest.iter()
                    .map(|it| {
                        format!(
                            "aws ec2 delete-vpc-peering-connection --vpc-peering-connection-id {} --region {here}",
                            it.id
                        )
                    })
                    .collect::<Vec<_>>()
                    .join("; ")
                    + &format!(" (keeps {})", keep.id),
            )),
        }
    })
}

fn roles(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let peering = live(view, pair)?;
        let requester = &view.vpc(pair.requester)?.id;
        let reversed = peering.requester_vpc != *requester;
        none_wrong(
            reversed
                .then(|| format!("{} was requested by {} instead of {requester}", peering.id, peering.requester_vpc))
                .into_iter()
                .collect(),
            "The document requests from the lower cluster's VPC. Packets pass all the same, but who follows it looks for \
             the connection, and accepts it, in the other region.",
            format!(
                "Nothing needs mending for the traffic; to follow the document, delete it and create it again: aws ec2 \
                 delete-vpc-peering-connection --vpc-peering-connection-id {} --region {}",
                peering.id,
                view.region(pair.requester)
            ),
        )
    })
}

fn active(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let peering = live(view, pair)?;
        if peering.state == PeeringState::Active {
            return Ok(());
        }
        // The accepter's region is the one that takes the call.
        let accepter = match view.vpc(pair.accepter)?.id == peering.accepter_vpc {
            true => pair.accepter,
            false => pair.requester,
        };
        Err(fail(
            [describe(peering)],
            "A connection that is not active carries nothing, and routes through it are blackhole. A request that nobody \
             accepts expires after seven days.",
            format!(
                "aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id {} --region {}",
                peering.id,
                view.region(accepter)
            ),
        ))
    })
}

fn cidr_blocks(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let peering = live(view, pair)?;
        let mut wrong = Vec::new();
        for (role, vpc, has) in [
            ("requester", &peering.requester_vpc, peering.requester_cidr),
            ("accepter", &peering.accepter_vpc, peering.accepter_cidr),
        ] {
            let has = has.ok_or_else(|| unseen(format!("the {role}'s CIDR block of {}", peering.id)))?;
            let index = match *vpc == view.vpc(pair.requester)?.id {
                true => pair.requester,
                false => pair.accepter,
            };
            let wanted = view.wanted(index).cidr_block;
            if has != wanted {
                wrong.push(format!("the {role}'s CIDR block of {} is {has} instead of {wanted}", peering.id));
            }
        }
        none_wrong(
            wrong,
            "The connection carries the blocks it names: the routes' destinations are to be the same.",
            format!(
                "aws ec2 describe-vpc-peering-connections --vpc-peering-connection-ids {} --region {}, and check that it \
                 is the connection of these two VPCs",
                peering.id,
                view.region(pair.requester)
            ),
        )
    })
}
