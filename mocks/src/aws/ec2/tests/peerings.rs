//! The life of VPC peering connections.

use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::{client, client_with};
use crate::aws::wire::testing::Client;
use crate::clock::Latencies;

const ACCEPT: &str = "AcceptVpcPeeringConnection";
const DELETE: &str = "DeleteVpcPeeringConnection";
const DESCRIBE: &str = "DescribeVpcPeeringConnections";

/// Two VPCs in two regions, a request from the first to the second, and the clients of both regions.
fn requested() -> (Client, Client, String) {
    let west = client();
    let east = west.region("us-east-1");
    let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
    let id = west.peer(&a, &b, "us-east-1");
    (west, east, id)
}

#[test]
fn without_latency_each_answer_shows_the_state_before() {
    let west = client();
    let east = west.region("us-east-1");
    let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
    let request = [("VpcId", a.as_str()), ("PeerVpcId", &b), ("PeerRegion", "us-east-1")];
    let created = west.ec2("CreateVpcPeeringConnection", &request).unwrap();
    assert_eq!(created.text("vpcPeeringConnection/status/code"), "initiating-request");
    assert!(!created.has("vpcPeeringConnection/accepterVpcInfo/cidrBlock"));
    let id = created.text("vpcPeeringConnection/vpcPeeringConnectionId");
    assert_eq!(west.peering_state(&id), "pending-acceptance");
    let accepted = east.ec2(ACCEPT, &[("VpcPeeringConnectionId", &id)]).unwrap();
    assert_eq!(accepted.text("vpcPeeringConnection/status/code"), "provisioning");
    assert_eq!(accepted.text("vpcPeeringConnection/accepterVpcInfo/cidrBlock"), "10.2.0.0/16");
    assert_eq!((west.peering_state(&id), east.peering_state(&id)), ("active".to_owned(), "active".to_owned()));
}

#[test]
fn states_follow_the_clock() {
    let latencies = Latencies {
        peering_request: Duration::from_secs(2),
        peering_provision: Duration::from_secs(5),
        ..Latencies::INSTANT
    };
    let (clock, west) = client_with(latencies);
    let east = west.region("us-east-1");
    let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
    let id = west.peer(&a, &b, "us-east-1");
    let seconds = |seconds| clock.advance(Duration::from_secs(seconds));
    let pcx = [("VpcPeeringConnectionId", id.as_str())];
    assert_eq!(west.peering_state(&id), "initiating-request");
    assert_eq!(east.code(ACCEPT, &pcx), "InvalidStateTransition");
    seconds(2);
    assert_eq!(west.peering_state(&id), "pending-acceptance");
    assert_eq!(east.code(ACCEPT, &pcx), "ok");
    assert_eq!(west.peering_state(&id), "provisioning");
    seconds(5);
    assert_eq!(west.peering_state(&id), "active");
    assert_eq!(east.code(DELETE, &pcx), "ok");
    assert_eq!(west.peering_state(&id), "deleting");
    seconds(2);
    assert_eq!(west.peering_state(&id), "deleted");
    seconds(2 * 3600);
    assert_eq!(west.code(DESCRIBE, &[("VpcPeeringConnectionId.1", &id)]), "InvalidVpcPeeringConnectionID.NotFound");
}

#[test]
fn a_request_expires_after_a_week() {
    let (clock, west) = client_with(Latencies::INSTANT);
    let (a, b) = (west.vpc("10.1.0.0/16"), west.vpc("10.2.0.0/16"));
    let id = west.peer(&a, &b, "us-west-2");
    clock.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(west.peering_state(&id), "expired");
    assert_eq!(west.code(ACCEPT, &[("VpcPeeringConnectionId", &id)]), "InvalidStateTransition");
}

#[rstest]
#[case::overlap("10.1.128.0/17", "us-east-1", Some("us-east-1"))]
#[case::same_block("10.1.0.0/16", "us-east-1", Some("us-east-1"))]
#[case::no_peer_region("10.2.0.0/16", "us-east-1", None)]
#[case::other_peer_region("10.2.0.0/16", "us-east-1", Some("eu-west-1"))]
#[case::no_peer_region_same_region_overlap("10.1.0.0/20", "us-west-2", None)]
fn hopeless_requests_fail_later_with_one_message(
    #[case] cidr: &str,
    #[case] region: &str,
    #[case] peer_region: Option<&str>,
) {
    let latencies = Latencies { peering_request: Duration::from_secs(2), ..Latencies::INSTANT };
    let (clock, west) = client_with(latencies);
    let (a, b) = (west.vpc("10.1.0.0/16"), west.region(region).vpc(cidr));
    let mut request = vec![("VpcId", a.as_str()), ("PeerVpcId", b.as_str())];
    request.extend(peer_region.map(|region| ("PeerRegion", region)));
    let created = west.ec2("CreateVpcPeeringConnection", &request).unwrap();
    let id = created.text("vpcPeeringConnection/vpcPeeringConnectionId");
    assert_eq!(west.peering_state(&id), "initiating-request");
    clock.advance(Duration::from_secs(2));
    let failed = west.ec2(DESCRIBE, &[("VpcPeeringConnectionId.1", &id)]).unwrap();
    let status = failed.at("vpcPeeringConnectionSet/item/status");
    assert_eq!(status.text("code"), "failed");
    assert_eq!(status.text("message"), "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range");
    let error = west.ec2(DELETE, &[("VpcPeeringConnectionId", &id)]).unwrap_err();
    assert_eq!(error.code, "InvalidStateTransition");
    assert_eq!(
        error.message,
        format!("Invalid state transition for {id}, attempted to transition from failed to deleting")
    );
    assert_ne!(west.code(ACCEPT, &[("VpcPeeringConnectionId", &id)]), "ok");
}

#[rstest]
#[case::unknown_accepter("vpc-0123456789abcdef0", None)]
#[case::other_account("own", Some("210987654321"))]
#[case::itself("self", None)]
fn a_wrong_vpc_or_account_fails_later(#[case] accepter: &str, #[case] account: Option<&str>) {
    let west = client();
    let (a, b) = (west.vpc("10.1.0.0/16"), west.vpc("10.2.0.0/16"));
    let accepter = match accepter {
        "own" => b.as_str(),
        "self" => a.as_str(),
        other => other,
    };
    let mut request = vec![("VpcId", a.as_str()), ("PeerVpcId", accepter)];
    request.extend(account.map(|account| ("PeerOwnerId", account)));
    let created = west.ec2("CreateVpcPeeringConnection", &request).unwrap();
    assert_eq!(west.peering_state(&created.text("vpcPeeringConnection/vpcPeeringConnectionId")), "failed");
}

#[test]
fn an_unknown_requester_is_refused_at_once() {
    let west = client();
    let elsewhere = west.region("us-east-1").vpc("10.2.0.0/16");
    let code = |vpc, peer| west.code("CreateVpcPeeringConnection", &[("VpcId", vpc), ("PeerVpcId", peer)]);
    assert_eq!(code(elsewhere.as_str(), elsewhere.as_str()), "InvalidVpcID.NotFound");
    assert_eq!(code(&west.vpc("10.1.0.0/16"), "vpc-x"), "InvalidVpcID.Malformed");
}

#[test]
fn the_same_request_again_gives_the_connection_that_exists() {
    let west = client();
    let east = west.region("us-east-1");
    let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
    let id = west.peer(&a, &b, "us-east-1");
    assert_eq!(west.peer(&a, &b, "us-east-1"), id);
    east.ec2(ACCEPT, &[("VpcPeeringConnectionId", &id)]).unwrap();
    let request = [("VpcId", a.as_str()), ("PeerVpcId", &b), ("PeerRegion", "us-east-1")];
    let again = west.ec2("CreateVpcPeeringConnection", &request).unwrap();
    assert_eq!(again.text("vpcPeeringConnection/vpcPeeringConnectionId"), id);
    assert_eq!(again.text("vpcPeeringConnection/status/code"), "active");
    west.ec2(DELETE, &[("VpcPeeringConnectionId", &id)]).unwrap();
    assert_ne!(west.peer(&a, &b, "us-east-1"), id);
}

#[test]
fn a_request_in_the_other_direction_can_be_made_but_not_accepted() {
    let west = client();
    let east = west.region("us-east-1");
    let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
    let (there, back) = (west.peer(&a, &b, "us-east-1"), east.peer(&b, &a, "us-west-2"));
    assert_ne!(there, back);
    assert_eq!(east.code(ACCEPT, &[("VpcPeeringConnectionId", &there)]), "ok");
    let error = west.ec2(ACCEPT, &[("VpcPeeringConnectionId", &back)]).unwrap_err();
    assert_eq!(error.code, "VpcPeeringConnectionAlreadyExists");
    assert_eq!(error.message, format!("The vpc peering connection identified by {there} already exists."));
}

#[test]
fn a_request_is_accepted_in_the_accepters_region() {
    let (west, east, id) = requested();
    let pcx = [("VpcPeeringConnectionId", id.as_str())];
    let error = west.ec2(ACCEPT, &pcx).unwrap_err();
    assert_eq!(error.code, "OperationNotPermitted");
    assert_eq!(
        error.message,
        format!(
            "Incorrect region (us-west-2) specified for this request. VPC peering connection {id} must be accepted in \
             region us-east-1"
        )
    );
    assert_eq!(west.code("RejectVpcPeeringConnection", &pcx), "OperationNotPermitted");
    assert_eq!(east.code(ACCEPT, &pcx), "ok");
    assert_eq!(east.code(ACCEPT, &pcx), "InvalidStateTransition");
    assert_eq!(east.code("RejectVpcPeeringConnection", &pcx), "InvalidStateTransition");
}

#[test]
fn a_rejected_request_stays_visible_and_cannot_be_deleted() {
    let (west, east, id) = requested();
    let pcx = [("VpcPeeringConnectionId", id.as_str())];
    assert_eq!(east.code("RejectVpcPeeringConnection", &pcx), "ok");
    assert_eq!(west.peering_state(&id), "rejected");
    assert_eq!(west.code(DELETE, &pcx), "InvalidStateTransition");
}

#[test]
fn a_deleted_connection_stays_visible_and_cannot_be_deleted_again() {
    let (west, east, id) = requested();
    let pcx = [("VpcPeeringConnectionId", id.as_str())];
    east.ec2(ACCEPT, &pcx).unwrap();
    assert_eq!(east.code(DELETE, &pcx), "ok");
    assert_eq!((west.peering_state(&id), east.peering_state(&id)), ("deleted".to_owned(), "deleted".to_owned()));
    assert_eq!(west.code(DELETE, &pcx), "InvalidStateTransition");
    assert_eq!(east.code(ACCEPT, &pcx), "InvalidStateTransition");
}

#[test]
fn both_regions_see_a_connection_and_a_third_does_not() {
    let (west, east, id) = requested();
    let third = west.region("eu-west-1");
    let pcx = [("VpcPeeringConnectionId.1", id.as_str())];
    assert_eq!([west.code(DESCRIBE, &pcx), east.code(DESCRIBE, &pcx)], ["ok", "ok"]);
    let error = third.ec2(DESCRIBE, &pcx).unwrap_err();
    assert_eq!(error.code, "InvalidVpcPeeringConnectionID.NotFound");
    assert_eq!(error.message, format!("The vpcPeeringConnection ID '{id}' does not exist"));
    assert_eq!(third.code(DELETE, &[("VpcPeeringConnectionId", &id)]), "InvalidVpcPeeringConnectionID.NotFound");
    assert!(third.ec2(DESCRIBE, &[]).unwrap().at("vpcPeeringConnectionSet").children.is_empty());
    let malformed = [("VpcPeeringConnectionId.1", "pcx-0123")];
    assert_eq!(west.code(DESCRIBE, &malformed), "InvalidVpcPeeringConnectionId.Malformed");
}

#[test]
fn tags_belong_to_one_region() {
    let (west, east, id) = requested();
    let tags =
        |client: &Client| client.ec2(DESCRIBE, &[]).unwrap().at("vpcPeeringConnectionSet/item/tagSet").children.len();
    west.ec2("CreateTags", &[("ResourceId.1", id.as_str()), ("Tag.1.Key", "run"), ("Tag.1.Value", "1")]).unwrap();
    assert_eq!((tags(&west), tags(&east)), (1, 0));
    let filter = [("Filter.1.Name", "tag:run"), ("Filter.1.Value.1", "1")];
    assert_eq!(west.ec2(DESCRIBE, &filter).unwrap().at("vpcPeeringConnectionSet").children.len(), 1);
    assert!(east.ec2(DESCRIBE, &filter).unwrap().at("vpcPeeringConnectionSet").children.is_empty());
    assert_eq!(east.ec2("DescribeTags", &[]).unwrap().at("tagSet").children.len(), 0);
}

#[test]
fn a_new_connection_may_be_unknown_for_a_while() {
    let (clock, west) = client_with(Latencies::INSTANT);
    let (a, b) = (west.vpc("10.1.0.0/16"), west.vpc("10.2.0.0/16"));
    west.aws.with("us-west-2", |state, _| state.ec2.visibility_delay = Duration::from_secs(3));
    let id = west.peer(&a, &b, "us-west-2");
    let table = west.route_table(&a);
    let route =
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.2.0.0/16"), ("VpcPeeringConnectionId", &id)];
    for action in [(DESCRIBE, ("VpcPeeringConnectionId.1", id.as_str())), (ACCEPT, ("VpcPeeringConnectionId", &id))] {
        assert_eq!(west.code(action.0, &[action.1]), "InvalidVpcPeeringConnectionID.NotFound");
    }
    assert_eq!(west.code("CreateRoute", &route), "InvalidVpcPeeringConnectionID.NotFound");
    clock.advance(Duration::from_secs(3));
    assert_eq!([west.code("CreateRoute", &route), west.peering_state(&id)], ["ok", "pending-acceptance"]);
}

#[test]
fn requests_that_nobody_answers_are_limited() {
    let west = client();
    west.aws.with("us-west-2", |state, _| state.ec2.quotas.vpcs = 100);
    let a = west.vpc("10.1.0.0/16");
    for n in 0..25 {
        west.peer(&a, &west.vpc(&format!("10.{}.0.0/16", 10 + n)), "us-west-2");
    }
    let request = [("VpcId", a.as_str()), ("PeerVpcId", &west.vpc("10.99.0.0/16"))];
    assert_eq!(west.code("CreateVpcPeeringConnection", &request), "OutstandingVpcPeeringConnectionLimitExceeded");
}

#[test]
fn a_wanted_expiry_date_is_shown_only_while_pending() {
    let (west, east, id) = requested();
    let item = |client: &Client| client.ec2(DESCRIBE, &[]).unwrap().at("vpcPeeringConnectionSet/item").clone();
    assert_eq!(item(&west).text("expirationTime"), "2026-01-08T00:00:00.000Z");
    east.ec2(ACCEPT, &[("VpcPeeringConnectionId", &id)]).unwrap();
    assert!(!item(&west).has("expirationTime"));
}

proptest! {
    /// Whatever is done in whatever order and region: states only move forward, and two VPCs never have two connections
    /// that are active.
    #[test]
    fn states_only_move_forward(steps in proptest::collection::vec((0..5_u8, any::<bool>(), any::<bool>(), 0..4_u64), 1..25)) {
        let latencies = Latencies {
            peering_request: Duration::from_secs(1),
            peering_provision: Duration::from_secs(2),
            ..Latencies::INSTANT
        };
        let (clock, west) = client_with(latencies);
        let east = west.region("us-east-1");
        let (a, b) = (west.vpc("10.1.0.0/16"), east.vpc("10.2.0.0/16"));
        let mut ids: Vec<(String, usize)> = Vec::new();
        let rank = |state: &str| [
            "initiating-request", "pending-acceptance", "provisioning", "active", "deleting", "rejected", "expired", "failed", "deleted",
        ].iter().position(|known| *known == state).unwrap();
        for (action, in_west, newest, wait) in steps {
            let client = if in_west { &west } else { &east };
            let id = if newest { ids.last() } else { ids.first() }.map(|(id, _)| id.clone()).unwrap_or_default();
            let pcx = [("VpcPeeringConnectionId", id.as_str())];
            match action {
                0 => { client.code(ACCEPT, &pcx); }
                1 => { client.code("RejectVpcPeeringConnection", &pcx); }
                2 => { client.code(DELETE, &pcx); }
                _ => {
                    let made = if in_west { west.peer(&a, &b, "us-east-1") } else { east.peer(&b, &a, "us-west-2") };
                    if !ids.iter().any(|(id, _)| *id == made) {
                        ids.push((made, 0));
                    }
                }
            }
            clock.advance(Duration::from_secs(wait));
            let mut active = 0;
            for (id, seen) in &mut ids {
                let state = west.peering_state(id);
                prop_assert_eq!(&east.peering_state(id), &state);
                prop_assert!(rank(&state) >= *seen, "{} went back to {}", id, state);
                *seen = rank(&state);
                active += usize::from(state == "active");
            }
            prop_assert!(active <= 1);
        }
    }
}
