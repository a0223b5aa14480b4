//! The records of ELBv2, keyed by ARN.

use std::collections::BTreeMap;

use crate::aws::tags::Tags;
use crate::clock::SimTime;

/// Everything of ELBv2's.
#[derive(Debug, Clone, Default)]
pub struct Elbv2 {
    /// Load balancers.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Listeners.
    pub listeners: BTreeMap<String, Listener>,
    /// Target groups.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Interfaces of deleted load balancers, and when they will be gone.
    pub released: Vec<(SimTime, String)>,
}

/// A Network Load Balancer.
#[derive(Debug, Clone)]
pub struct LoadBalancer {
    /// Region.
    pub region: String,
    /// Name.
    pub name: String,
    /// The 16 hexadecimal digits at the end of its ARN and in its DNS name.
    pub id: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// VPC.
    pub vpc: String,
    /// Subnet and interface of each enabled availability zone.
    pub zones: Vec<Zone>,
    /// Security groups; usually none.
    pub security_groups: Vec<String>,
    /// When it was created: it is `provisioning` for a while.
    pub created: SimTime,
    /// Attributes, for example `load_balancing.cross_zone.enabled`.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}

/// A load balancer in one availability zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Availability zone.
    pub availability_zone: String,
    /// Subnet.
    pub subnet: String,
    /// Interface `ELB net/<name>/<id>`.
    pub interface: String,
}

/// A listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Load balancer.
    pub load_balancer: String,
    /// `TCP`.
    pub protocol: String,
    /// Port.
    pub port: u16,
    /// Target group that it forwards to.
    pub target_group: String,
    /// Tags.
    pub tags: Tags,
}

/// A target group of instance targets.
#[derive(Debug, Clone)]
pub struct TargetGroup {
    /// Region.
    pub region: String,
    /// Name.
    pub name: String,
    /// VPC.
    pub vpc: String,
    /// `TCP`.
    pub protocol: String,
    /// Port: the node port.
    pub port: u16,
    /// `instance`.
    pub target_type: String,
    /// How its targets are checked.
    pub health_check: HealthCheckSettings,
    /// Attributes, for example `preserve_client_ip.enabled`.
    pub attributes: BTreeMap<String, String>,
    /// Targets by instance id.
    pub targets: BTreeMap<String, Target>,
    /// Tags.
    pub tags: Tags,
}

/// How targets are checked: TCP connections to the port that gets the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheckSettings {
    /// Seconds from one check to the next.
    pub interval_seconds: u32,
    /// Seconds until a check without an answer has failed.
    pub timeout_seconds: u32,
    /// Successes in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make a healthy target unhealthy.
    pub unhealthy_threshold: u32,
}

/// A registered target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Port, when it overrides the group's.
    pub port: u16,
    /// `initial`, `healthy`, `unhealthy`.
    pub health: Health,
    /// Health checks in a row that speak for the other state.
    pub streak: u32,
}

/// Health of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Being registered: health checks have not decided yet.
    Initial,
    /// Healthy.
    Healthy,
    /// Unhealthy.
    Unhealthy,
}
