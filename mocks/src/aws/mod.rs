//! An emulation of the parts of EC2, ELBv2, EKS and STS that the procedure, its verification and its teardown need.
//!
//! One port serves every region and service: both come from the credential scope of the SigV4 signature. State is apart
//! from the wire: `ec2`, `elbv2`, `eks` and `sts` hold what exists and how it changes, `wire` speaks the protocols.

pub mod ec2;
pub mod eks;
pub mod elbv2;
pub mod error;
pub mod ids;
pub mod sts;
pub mod tags;
pub mod wire;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::{Clock, Latencies};

pub use error::AwsError;

/// The account of the emulation.
pub const ACCOUNT: &str = "123456789012";

/// One emulated AWS account with all its regions.
pub struct Aws {
    clock: Clock,
    latencies: Latencies,
    state: Mutex<State>,
}

/// Everything that exists in the account.
#[derive(Default)]
pub struct State {
    /// Source of fresh ids.
    pub ids: ids::Ids,
    /// VPCs, subnets, route tables, security groups, interfaces, instances, peerings.
    pub ec2: ec2::Ec2,
    /// Network Load Balancers, listeners and target groups.
    pub elbv2: elbv2::Elbv2,
    /// EKS clusters, node groups and add-ons.
    pub eks: eks::Eks,
}

/// What an operation needs beside its input: the region it was sent to and the time.
#[derive(Debug, Clone)]
pub struct Context {
    /// Region of the request.
    pub region: String,
    /// Time of the request in the emulated world.
    pub now: crate::clock::SimTime,
    /// How long things take.
    pub latencies: Latencies,
}

impl Aws {
    /// An empty account.
    pub fn new(clock: Clock, latencies: Latencies) -> Arc<Self> {
        Arc::new(Self { clock, latencies, state: Mutex::default() })
    }

    /// The clock that time-driven states follow.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs an operation on the account's state as a request to `region` would, outside the wire: for the provisioner,
    /// the VPC CNI and the load balancer controller of the lab.
    pub fn with<R>(&self, region: &str, operation: impl FnOnce(&mut State, &Context) -> R) -> R {
        let context = Context { region: region.to_owned(), now: self.clock.now(), latencies: self.latencies };
        operation(&mut self.state.lock(), &context)
    }
}
