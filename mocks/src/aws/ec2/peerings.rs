//! VPC peering connections: their states in time, and what changes them.
//!
//! Source: VPC Peering Guide, "VPC peering connection lifecycle".

use std::collections::BTreeMap;
use std::time::Duration;

use acrossk8s_vpc::PeeringState;

use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::state::*;
use crate::aws::ec2::subnets::overlap;
use crate::aws::ids::Ids;
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context};
use crate::clock::{Latencies, SimTime};

const HOUR: Duration = Duration::from_secs(3600);

/// How long a request can be accepted: seven days.
pub const EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

impl Peering {
    /// The state at a time.
    ///
    /// A request that must fail is `failed`, and any other `pending-acceptance`, once it has been checked. Deleting a
    /// connection between regions takes a moment, too.
    pub fn state(&self, now: SimTime, latencies: &Latencies) -> PeeringState {
        if let Some((state, since)) = self.ended {
            return match state {
                PeeringState::Failed if now < since => PeeringState::InitiatingRequest,
                PeeringState::Deleted if now < since => PeeringState::Deleting,
                state => state,
            };
        }
        match self.accepted {
            Some(accepted) if now >= accepted + latencies.peering_provision => PeeringState::Active,
            Some(_) => PeeringState::Provisioning,
            None if now < self.requested + latencies.peering_request => PeeringState::InitiatingRequest,
            None if now >= self.requested + EXPIRY => PeeringState::Expired,
            None => PeeringState::PendingAcceptance,
        }
    }

    /// When the state will change by itself after `now`, if it will.
    pub fn next_change(&self, now: SimTime, latencies: &Latencies) -> Option<SimTime> {
        let changes = match (self.ended, self.accepted) {
            (Some((_, since)), _) => vec![since],
            (None, Some(accepted)) => vec![accepted + latencies.peering_provision],
            (None, None) => vec![self.requested + latencies.peering_request, self.requested + EXPIRY],
        };
        changes.into_iter().find(|at| *at > now)
    }

    /// Whether Describe actions still show it. Both VPCs being one account's, an ended connection stays for two hours,
    /// an expired one for two days.
    pub fn is_visible(&self, now: SimTime) -> bool {
        match (self.ended, self.accepted) {
            (Some((_, since)), _) => now < since + 2 * HOUR,
            (None, None) => now < self.requested + EXPIRY + 48 * HOUR,
            (None, Some(_)) => true,
        }
    }
}

/// What AWS says of a peering connection that failed, whatever the cause.
pub const FAILED_MESSAGE: &str = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range";

/// A request for a peering connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeeringRequest {
    /// The requester VPC, in the region of the request.
    pub requester: String,
    /// The accepter VPC.
    pub accepter: String,
    /// Region of the accepter VPC; that of the request if none is given.
    pub accepter_region: Option<String>,
    /// Account of the accepter VPC; the requester's if none is given.
    pub accepter_account: Option<String>,
    /// Tags, for the region of the request.
    pub tags: Tags,
}

impl Peering {
    /// Whether a VPC is one of its two.
    pub fn has(&self, vpc: &str) -> bool {
        self.requester == vpc || self.accepter == vpc
    }

    /// Whether it is, or may still become, active.
    fn is_live(&self, context: &Context) -> bool {
        matches!(
            self.state(context.now, &context.latencies),
            PeeringState::InitiatingRequest
                | PeeringState::PendingAcceptance
                | PeeringState::Provisioning
                | PeeringState::Active
        )
    }

    /// Whether requests to a region know it. Where the accepter VPC does not exist, only the requester's region does.
    pub fn is_in(&self, region: &str) -> bool {
        self.requester_region == region || (self.accepter_region == region && self.accepter_cidr.is_some())
    }

    fn is_across_regions(&self) -> bool {
        self.requester_region != self.accepter_region
    }
}

impl Ec2 {
    /// The peering connection with an id, as requests to a region see it.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionId.Malformed`, `InvalidVpcPeeringConnectionID.NotFound`.
    pub fn peering(&self, context: &Context, id: &str) -> Result<&Peering, AwsError> {
        let peering = self.peerings.get(id).filter(|peering| self.knows(context, peering));
        peering.ok_or_else(|| Kind::PEERING.not_found(id))
    }

    /// Whether a request to the region sees the peering connection now.
    pub fn knows(&self, context: &Context, peering: &Peering) -> bool {
        peering.is_in(&context.region)
            && peering.is_visible(context.now)
            && context.now >= peering.requested + self.visibility_delay
    }

    /// Requests a peering connection. A request that can come to nothing is not refused: the connection becomes `failed`.
    /// That is so for an accepter VPC that does not exist in the region (the region of the request, unless the request
    /// names another), for one of another account, for overlapping CIDR blocks, and so for a VPC with itself. A request
    /// that was made before gives the connection that exists; one in the other direction makes another.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound` for the requester VPC; `InvalidVpcID.Malformed`;
    /// `OutstandingVpcPeeringConnectionLimitExceeded`.
    pub fn create_peering(
        &mut self,
        ids: &mut Ids,
        context: &Context,
        request: PeeringRequest,
    ) -> Result<String, AwsError> {
        let requester_cidr = find(&self.vpcs, &context.region, &request.requester)?.cidr_block;
        Kind::VPC.check(&request.accepter)?;
        let accepter_region = request.accepter_region.unwrap_or_else(|| context.region.clone());
        let own_account = request.accepter_account.is_none_or(|account| account == ACCOUNT);
        let accepter = self.vpcs.get(&request.accepter).filter(|vpc| own_account && vpc.region == accepter_region);
        let accepter_cidr = accepter.map(|vpc| vpc.cidr_block);
        let existing = self.peerings.iter().find(|(_, other)| {
            other.requester == request.requester
                && other.accepter == request.accepter
                && other.accepter_region == accepter_region
                && other.accepter_cidr.is_some() == accepter_cidr.is_some()
                && other.is_live(context)
        });
        if let Some((id, _)) = existing {
            return Ok(id.clone());
        }
        let outstanding = self.peerings.values().filter(|other| {
            other.requester_region == context.region && other.accepted.is_none() && other.is_live(context)
        });
        if outstanding.count() >= self.quotas.outstanding_peerings {
            return Err(AwsError::client(
                "OutstandingVpcPeeringConnectionLimitExceeded",
                "The maximum number of outstanding VPC peering connection requests has been reached.",
            ));
        }
        let fails = accepter_cidr.is_none_or(|cidr| overlap(cidr, requester_cidr));
        let checked = context.now + context.latencies.peering_request;
        let id = ids.resource(Kind::PEERING.prefix);
        let peering = Peering {
            requester: request.requester,
            requester_region: context.region.clone(),
            requester_cidr,
            accepter: request.accepter,
            accepter_region,
            accepter_cidr,
            requested: context.now,
            accepted: None,
            ended: fails.then_some((PeeringState::Failed, checked)),
            tags: BTreeMap::from([(context.region.clone(), request.tags)]),
        };
        self.peerings.insert(id.clone(), peering);
        Ok(id)
    }

    /// Accepts a request, in the accepter's region.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `OperationNotPermitted` in another region; `InvalidStateTransition`
    /// unless it is `pending-acceptance`; `VpcPeeringConnectionAlreadyExists` where the two VPCs have one that was
    /// accepted; `ActiveVpcPeeringConnectionPerVpcLimitExceeded`.
    pub fn accept_peering(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let peering = self.pending(context, id, "accepted", "provisioning")?;
        let accepted = |other: &&Peering| other.accepted.is_some() && other.is_live(context);
        let rival = self.peerings.iter().filter(|(_, other)| accepted(other));
        let mut rival = rival.filter(|(_, other)| other.has(&peering.requester) && other.has(&peering.accepter));
        if let Some((other, _)) = rival.next() {
            return Err(AwsError::client(
                "VpcPeeringConnectionAlreadyExists",
                format!("The vpc peering connection identified by {other} already exists."),
            ));
        }
        for vpc in [&peering.requester, &peering.accepter] {
            let active = self.peerings.values().filter(accepted).filter(|other| other.has(vpc)).count();
            if active >= self.quotas.active_peerings {
                return Err(AwsError::client(
                    "ActiveVpcPeeringConnectionPerVpcLimitExceeded",
                    format!("The maximum number of active VPC peering connections of {vpc} has been reached."),
                ));
            }
        }
        self.peerings.entry(id.to_owned()).and_modify(|peering| peering.accepted = Some(context.now));
        Ok(())
    }

    /// Rejects a request, in the accepter's region.
    ///
    /// # Errors
    /// As for [`Ec2::accept_peering`], without those about other connections.
    pub fn reject_peering(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        self.pending(context, id, "accepted or rejected", "rejected")?;
        let end = (PeeringState::Rejected, context.now);
        self.peerings.entry(id.to_owned()).and_modify(|peering| peering.ended = Some(end));
        Ok(())
    }

    /// Deletes a peering connection or a request for one, in either region. Routes to it stay, as `blackhole`.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `InvalidStateTransition` where it has failed or ended.
    pub fn delete_peering(&mut self, context: &Context, id: &str) -> Result<(), AwsError> {
        let peering = self.peering(context, id)?;
        let state = peering.state(context.now, &context.latencies);
        if !matches!(state, PeeringState::PendingAcceptance | PeeringState::Provisioning | PeeringState::Active) {
            return Err(invalid_transition(id, state, "deleting"));
        }
        // Between regions it takes about as long as a request does to get there.
        let delay = if peering.is_across_regions() { context.latencies.peering_request } else { SimTime::ZERO };
        let end = (PeeringState::Deleted, context.now + delay);
        self.peerings.entry(id.to_owned()).and_modify(|peering| peering.ended = Some(end));
        Ok(())
    }

    fn pending(&self, context: &Context, id: &str, what: &str, next: &str) -> Result<&Peering, AwsError> {
        let peering = self.peering(context, id)?;
        let state = peering.state(context.now, &context.latencies);
        if peering.accepter_region != context.region {
            return Err(AwsError::client(
                "OperationNotPermitted",
                format!(
                    "Incorrect region ({}) specified for this request. VPC peering connection {id} must be {what} in \
                     region {}",
                    context.region, peering.accepter_region
                ),
            ));
        }
        if state != PeeringState::PendingAcceptance {
            return Err(invalid_transition(id, state, next));
        }
        Ok(peering)
    }
}

fn invalid_transition(id: &str, from: PeeringState, to: &str) -> AwsError {
    AwsError::client(
        "InvalidStateTransition",
        format!("Invalid state transition for {id}, attempted to transition from {} to {to}", state_code(from)),
    )
}

/// The code of a state, as AWS writes it.
pub fn state_code(state: PeeringState) -> &'static str {
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

/// What AWS says beside a state.
pub fn state_message(state: PeeringState) -> String {
    match state {
        PeeringState::InitiatingRequest => format!("Initiating Request to {ACCOUNT}"),
        PeeringState::PendingAcceptance => format!("Pending Acceptance by {ACCOUNT}"),
        PeeringState::Provisioning => "Provisioning".to_owned(),
        PeeringState::Active => "Active".to_owned(),
        PeeringState::Deleting => "Deleting".to_owned(),
        PeeringState::Deleted => format!("Deleted by {ACCOUNT}"),
        PeeringState::Rejected => "Inactive".to_owned(),
        PeeringState::Expired => "Expired".to_owned(),
        PeeringState::Failed => FAILED_MESSAGE.to_owned(),
    }
}
