//! Load balancers as the network's rules see them.

use std::collections::BTreeMap;

use crate::aws::State;
use crate::clock::SimTime;

/// The load balancers of the account at a time, by ARN.
pub fn fabric(_state: &State, _now: SimTime) -> BTreeMap<String, acrossk8s_vpc::LoadBalancer> {
    BTreeMap::new()
}
