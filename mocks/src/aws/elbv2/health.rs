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
    /// Addresses of the load balancer from which checks come; never none. On AWS each of them checks on its own; it is
    /// enough that one of them does.
    pub from: Vec<Ipv4Addr>,
    /// Address of the target.
    pub address: Ipv4Addr,
    /// Port of the target.
    pub port: u16,
    /// Time between two checks.
    pub interval: Duration,
}

/// An instance that is registered, as far as it takes traffic.
pub(super) struct Receiver {
    pub address: Ipv4Addr,
    pub zone: String,
}

/// Where traffic for an instance goes: to its primary interface. `None` when it does not run.
pub(super) fn receiver(state: &State, instance: &str) -> Option<Receiver> {
    let instance = state.ec2.instances.get(instance).filter(|it| it.state == "running")?;
    Some(Receiver {
        address: *state.ec2.interfaces.get(&instance.interface)?.addresses.first()?,
        zone: state.ec2.subnets.get(&instance.subnet)?.availability_zone.clone(),
    })
}

/// Every check that is due again and again at a time. A target in a zone that the load balancer does not reach is not
/// checked.
pub fn health_checks(state: &State, now: SimTime, latencies: &Latencies) -> Vec<HealthCheck> {
    let mut checks = Vec::new();
    for listener in state.elbv2.listeners.values() {
        let Some(load_balancer) = state.elbv2.load_balancers.get(&listener.load_balancer) else { continue };
        let Some(group) = state.elbv2.target_groups.get(&listener.target_group) else { continue };
        if load_balancer.state(now, latencies) != "active" {
            continue;
        }
        for (instance, target) in &group.targets {
            let Some(receiver) = receiver(state, instance) else { continue };
            let from = addresses(state, load_balancer, &receiver.zone);
            if from.is_empty() {
                continue;
            }
            checks.push(HealthCheck {
                target_group: listener.target_group.clone(),
                instance: instance.clone(),
                vpc: load_balancer.vpc.clone(),
                from,
                address: receiver.address,
                port: target.port,
                interval: Duration::from_secs(group.health_check.interval_seconds.into()),
            });
        }
    }
    checks
}

/// The addresses of a load balancer that send to targets of a zone.
fn addresses(state: &State, load_balancer: &LoadBalancer, zone: &str) -> Vec<Ipv4Addr> {
    let cross_zone = load_balancer.cross_zone();
    let zones = load_balancer.zones.iter().filter(|it| cross_zone || it.availability_zone == zone);
    zones.filter_map(|it| state.ec2.interfaces.get(&it.interface)?.addresses.first().copied()).collect()
}

/// Takes the answer to a check. As many in a row as the group's threshold change the target's health; the first good one
/// makes a new target healthy. Targets that are gone are ignored.
pub fn record_health_check(state: &mut State, target_group: &str, instance: &str, ok: bool) {
    let Some(group) = state.elbv2.target_groups.get_mut(target_group) else { return };
    let settings = group.health_check;
    let Some(target) = group.targets.get_mut(instance) else { return };
    let (says, threshold) = match ok {
        true => (Health::Healthy, settings.healthy_threshold),
        false => (Health::Unhealthy, settings.unhealthy_threshold),
    };
    if target.health == says {
        target.streak = 0;
        return;
    }
    if target.health == Health::Initial && ok {
        // Network Load Balancer guide, "Health checks".
        target.streak = threshold;
    } else {
        target.streak += 1;
    }
    if target.streak >= threshold {
        target.health = says;
        target.streak = 0;
    }
}
