//! VPC peering connections: their states in time.
//!
//! Source: VPC Peering Guide, "VPC peering connection lifecycle".

use std::time::Duration;

use acrossk8s_vpc::PeeringState;

use crate::aws::ec2::Peering;
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
