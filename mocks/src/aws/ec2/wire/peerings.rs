//! VPC peering connections on the wire.

use acrossk8s_vpc::PeeringState;

use super::listing::{Candidate, Listing, many, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::peerings::{EXPIRY, state_code, state_message};
use crate::aws::ec2::resource::Kind;
use crate::aws::ec2::{Peering, PeeringRequest};
use crate::aws::tags::Tags;
use crate::aws::wire::params::Params;
use crate::aws::wire::time::iso8601;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

static NO_TAGS: Tags = Tags::new();

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let request = PeeringRequest {
        requester: params.require("VpcId")?.to_owned(),
        accepter: params.require("PeerVpcId")?.to_owned(),
        accepter_region: params.get("PeerRegion").map(str::to_owned),
        accepter_account: params.get("PeerOwnerId").map(str::to_owned),
        tags: tags::specified(params, Kind::PEERING, &[])?,
    };
    let before = state.ec2.peerings.len();
    let id = state.ec2.create_peering(&mut state.ids, context, request)?;
    let new = state.ec2.peerings.len() > before;
    let peering = state.ec2.peerings.get(&id).ok_or_else(|| Kind::PEERING.not_found(&id))?;
    // What exists already is shown as it is.
    let shown = if new { PeeringState::InitiatingRequest } else { peering.state(context.now, &context.latencies) };
    Ok(vec![Element::new("vpcPeeringConnection", xml(context, &id, peering, shown))])
}

pub(super) fn accept(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("VpcPeeringConnectionId")?;
    state.ec2.accept_peering(context, id)?;
    let peering = state.ec2.peering(context, id)?;
    Ok(vec![Element::new("vpcPeeringConnection", xml(context, id, peering, PeeringState::Provisioning))])
}

pub(super) fn reject(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.reject_peering(context, params.require("VpcPeeringConnectionId")?)?;
    done()
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_peering(context, params.require("VpcPeeringConnectionId")?)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeVpcPeeringConnections",
        ids: "VpcPeeringConnectionId",
        set: "vpcPeeringConnectionSet",
        filters: &[
            "accepter-vpc-info.cidr-block",
            "accepter-vpc-info.owner-id",
            "accepter-vpc-info.vpc-id",
            "expiration-time",
            "requester-vpc-info.cidr-block",
            "requester-vpc-info.owner-id",
            "requester-vpc-info.vpc-id",
            "status-code",
            "status-message",
            "vpc-peering-connection-id",
        ],
    };
    let ec2 = &state.ec2;
    let state_of = |peering: &Peering| peering.state(context.now, &context.latencies);
    let field = |id: &str, peering: &Peering, name: &str| match name {
        "accepter-vpc-info.cidr-block" => many(peering.accepter_cidr),
        "accepter-vpc-info.owner-id" | "requester-vpc-info.owner-id" => one(ACCOUNT),
        "accepter-vpc-info.vpc-id" => one(&peering.accepter),
        "expiration-time" => one(iso8601(peering.requested + EXPIRY)),
        "requester-vpc-info.cidr-block" => one(peering.requester_cidr),
        "requester-vpc-info.vpc-id" => one(&peering.requester),
        "status-code" => one(state_code(state_of(peering))),
        "status-message" => one(state_message(state_of(peering))),
        _ => one(id),
    };
    let known = ec2.peerings.iter().filter(|(_, peering)| ec2.knows(context, peering));
    let candidates = known.map(|(id, peering)| Candidate { id, record: peering, tags: local_tags(context, peering) });
    let exists = |id: &str| -> Result<(), AwsError> { ec2.peering(context, id).map(drop) };
    listing.answer(params, candidates, exists, field, |id, peering| xml(context, id, peering, state_of(peering)))
}

fn local_tags<'a>(context: &Context, peering: &'a Peering) -> &'a Tags {
    peering.tags.get(&context.region).unwrap_or(&NO_TAGS)
}

fn xml(context: &Context, id: &str, peering: &Peering, state: PeeringState) -> Vec<Element> {
    // What the accepter VPC's block is, the requester learns when it is accepted.
    let accepter_cidr = peering.accepter_cidr.filter(|_| peering.accepted.is_some());
    let accepter = vpc_info(&peering.accepter, &peering.accepter_region, accepter_cidr);
    let requester = vpc_info(&peering.requester, &peering.requester_region, Some(peering.requester_cidr));
    let mut fields = vec![
        Element::text("vpcPeeringConnectionId", id),
        Element::new("requesterVpcInfo", requester),
        Element::new("accepterVpcInfo", accepter),
        Element::new(
            "status",
            vec![Element::text("code", state_code(state)), Element::text("message", state_message(state))],
        ),
        tag_set(local_tags(context, peering)),
    ];
    if matches!(state, PeeringState::InitiatingRequest | PeeringState::PendingAcceptance) {
        fields.push(Element::text("expirationTime", iso8601(peering.requested + EXPIRY)));
    }
    fields
}

fn vpc_info(vpc: &str, region: &str, cidr_block: Option<ipnet::Ipv4Net>) -> Vec<Element> {
    let mut fields =
        vec![Element::text("ownerId", ACCOUNT), Element::text("vpcId", vpc), Element::text("region", region)];
    if let Some(cidr_block) = cidr_block {
        let options = ["allowDnsResolutionFromRemoteVpc", "allowEgressFromLocalClassicLinkToRemoteVpc"];
        fields.extend([
            Element::text("cidrBlock", cidr_block),
            Element::items("cidrBlockSet", [vec![Element::text("cidrBlock", cidr_block)]]),
            Element::new("peeringOptions", options.map(|option| Element::text(option, false)).into()),
        ]);
    }
    fields
}
