//! ELBv2: Network Load Balancers, listeners and target groups.
//!
//! Only Network Load Balancers with instance targets are emulated: what the cloud provider of EKS makes for a Service.

mod errors;
mod fabric;
mod health;
pub(crate) mod listeners;
pub(crate) mod load_balancers;
mod rules;
mod service;
pub mod state;
pub(crate) mod target_groups;
pub mod wire;

pub use fabric::fabric;
pub use health::{HealthCheck, health_checks, record_health_check};
pub use load_balancers::NewLoadBalancer;
pub use service::{Ensured, ServiceLoadBalancer, delete_service_load_balancer, ensure_service_load_balancer};
pub use state::*;
pub use target_groups::NewTargetGroup;

use crate::aws::State;
use crate::clock::SimTime;

/// Removes what a deleted load balancer leaves behind for a while: its interfaces. Returns whether anything was removed.
pub fn reap(state: &mut State, now: SimTime) -> bool {
    let (due, pending): (Vec<_>, Vec<_>) =
        std::mem::take(&mut state.elbv2.released).into_iter().partition(|(at, _)| *at <= now);
    state.elbv2.released = pending;
    for (_, interface) in &due {
        state.ec2.release_interface(interface);
    }
    !due.is_empty()
}

#[cfg(test)]
mod tests;
