//! Load balancers as the network's rules see them.

use std::collections::BTreeMap;

use acrossk8s_vpc as vpc;

use crate::aws::State;
use crate::aws::elbv2::health::receiver;
use crate::aws::elbv2::state::*;
use crate::clock::{Latencies, SimTime};

/// The load balancers of the account at a time, by ARN.
pub fn fabric(state: &State, now: SimTime, latencies: &Latencies) -> BTreeMap<String, vpc::LoadBalancer> {
    let seen = state.elbv2.load_balancers.iter().map(|(arn, load_balancer)| {
        let listeners = state.elbv2.listeners.values().filter(|listener| listener.load_balancer == *arn);
        let seen = vpc::LoadBalancer {
            name: load_balancer.name.clone(),
            vpc: load_balancer.vpc.clone(),
            active: load_balancer.state(now, latencies) == "active",
            interfaces: load_balancer.zones.iter().map(|zone| zone.interface.clone()).collect(),
            cross_zone: load_balancer.cross_zone(),
            listeners: listeners
                .filter_map(|it| Some(listener_of(state, it.port, state.elbv2.target_groups.get(&it.target_group)?)))
                .collect(),
        };
        (arn.clone(), seen)
    });
    seen.collect()
}

fn listener_of(state: &State, port: u16, group: &TargetGroup) -> vpc::Listener {
    let targets = group.targets.iter().filter_map(|(instance, target)| {
        let receiver = receiver(state, instance)?;
        Some(vpc::LoadBalancerTarget {
            address: receiver.address,
            port: target.port,
            availability_zone: receiver.zone,
            healthy: target.health == Health::Healthy,
        })
    });
    vpc::Listener {
        port,
        preserve_client_ip: group.attributes.get("preserve_client_ip.enabled").is_some_and(|it| it == "true"),
        targets: targets.collect(),
    }
}
