//! Health checks: what is to be probed, and what the answers make of a target. The probing itself crosses the network
//! and is somebody else's.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::aws::State;
use crate::aws::elbv2::state::*;
use crate::clock::{Latencies, SimTime};

/// A target that an active load balancer checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HealthCheck {
    /// Target group.
    pub target_group: String,
    /// Instance.
    pub instance: String,
    /// VPC.
    pub vpc: String,
    /// Addresses of the load balancer: one of them sends the check.
    pub from: Vec<Ipv4Addr>,
    /// Address of the target.
    pub address: Ipv4Addr,
    /// Port of the target.
    pub port: u16,
    /// Time between two checks.
    pub interval: Duration,
}

/// Every check that is due again and again at a time.
pub fn health_checks(state: &State, now: SimTime, latencies: &Latencies) -> Vec<HealthCheck> {
    let address_of = |interface: &str| state.ec2.interfaces.get(interface).and_then(|it| it.addresses.first().copied());
    let mut checks = Vec::new();
    for listener in state.elbv2.listeners.values() {
        let Some(load_balancer) = state.elbv2.load_balancers.get(&listener.load_balancer) else { continue };
        let Some(group) = state.elbv2.target_groups.get(&listener.target_group) else { continue };
        if load_balancer.state(now, latencies) != "active" {
            continue;
        }
        let from: Vec<_> = load_balancer.zones.iter().filter_map(|zone| address_of(&zone.interface)).collect();
        for (instance, target) in &group.targets {
            let address = state.ec2.instances.get(instance).and_then(|it| address_of(&it.interface));
            let Some(address) = address else { continue };
            checks.push(HealthCheck {
                target_group: listener.target_group.clone(),
                instance: instance.clone(),
                vpc: load_balancer.vpc.clone(),
                from: from.clone(),
                address,
                port: target.port,
                interval: Duration::from_secs(group.interval_seconds.into()),
            });
        }
    }
    checks
}

/// Takes the answer to a check. As many in a row as the group's threshold change the target's health; the first of all
/// decide about a new target. Targets that are gone are ignored.
pub fn record_health_check(state: &mut State, target_group: &str, instance: &str, ok: bool) {
    let Some(group) = state.elbv2.target_groups.get_mut(target_group) else { return };
    let threshold = group.threshold.max(1);
    let Some(target) = group.targets.get_mut(instance) else { return };
    let says = if ok { Health::Healthy } else { Health::Unhealthy };
    if target.health == says {
        target.streak = 0;
        return;
    }
    target.streak += 1;
    // A new target counts as healthy after its first good check (Network Load Balancer guide, "Health checks").
    if target.streak >= threshold || (ok && target.health == Health::Initial) {
        target.health = says;
        target.streak = 0;
    }
}
