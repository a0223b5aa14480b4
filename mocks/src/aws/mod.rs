//! An emulation of the parts of EC2, ELBv2, EKS and STS that the procedure, its verification and its teardown need.
//!
//! One port serves every region and service: both come from the credential scope of the SigV4 signature, which is not
//! checked otherwise. State is apart from the wire: `ec2`, `elbv2`, `eks` and `sts` hold what exists and how it changes,
//! `wire` speaks the protocols.

pub mod ec2;
pub mod eks;
pub mod elbv2;
pub mod error;
pub mod ids;
pub mod sts;
pub mod tags;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::{Clock, Latencies, SimTime};
use crate::network::FabricSource;

pub use error::AwsError;
pub use wire::calls::Call;
pub use wire::faults::Fault;
pub use wire::scope::Service;

/// The account of the emulation.
pub const ACCOUNT: &str = "123456789012";

/// One emulated AWS account with all its regions.
pub struct Aws {
    clock: Clock,
    latencies: Latencies,
    state: Mutex<State>,
    /// Counts changes of `state`; written only while it is locked.
    generation: AtomicU64,
    changed: watch::Sender<()>,
    fabric: Mutex<Option<CachedFabric>>,
    faults: Mutex<wire::faults::Faults>,
    calls: Mutex<Vec<Call>>,
    requests: AtomicU64,
}

/// A fabric and how long it stands.
struct CachedFabric {
    generation: u64,
    /// When time alone will change it.
    until: Option<SimTime>,
    fabric: Arc<acrossk8s_vpc::Fabric>,
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
    pub now: SimTime,
    /// How long things take.
    pub latencies: Latencies,
}

impl Aws {
    /// An empty account: no default VPCs.
    pub fn new(clock: Clock, latencies: Latencies) -> Arc<Self> {
        Arc::new(Self {
            clock,
            latencies,
            state: Mutex::default(),
            generation: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            fabric: Mutex::default(),
            faults: Mutex::default(),
            calls: Mutex::default(),
            requests: AtomicU64::new(0),
        })
    }

    /// The clock that time-driven states follow.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs an operation on the account's state as a request to `region` would, outside the wire: for the provisioner,
    /// the VPC CNI and the load balancer controller of the lab.
    pub fn with<R>(&self, region: &str, operation: impl FnOnce(&mut State, &Context) -> R) -> R {
        self.run(region, true, operation)
    }

    /// Reads the account's state as a request to `region` would. Cheaper for those who ask for the fabric afterwards
    /// than [`Aws::with`], which has to assume a change.
    pub fn read<R>(&self, region: &str, operation: impl FnOnce(&State, &Context) -> R) -> R {
        self.run(region, false, |state, context| operation(state, context))
    }

    fn run<R>(&self, region: &str, changes: bool, operation: impl FnOnce(&mut State, &Context) -> R) -> R {
        let mut state = self.state.lock();
        let context = self.context(region);
        let reaped = elbv2::reap(&mut state, context.now) | eks::reap(&mut state, &context);
        let result = operation(&mut state, &context);
        if changes || reaped {
            self.generation.fetch_add(1, Ordering::Release);
            self.changed.send_replace(());
        }
        result
    }

    fn context(&self, region: &str) -> Context {
        Context { region: region.to_owned(), now: self.clock.now(), latencies: self.latencies }
    }

    /// Puts a fault into the answers on the wire. In-process operations are never hit.
    pub fn inject(&self, fault: Fault) {
        self.faults.lock().add(fault);
    }

    /// Removes all faults that were put in.
    pub fn clear_faults(&self) {
        self.faults.lock().clear();
    }

    /// The requests that reached a service on the wire so far, in order, failed ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// A fresh request id in AWS's form.
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("acc05588-0000-4000-8000-{number:012x}")
    }
}

impl FabricSource for Aws {
    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn fabric(&self) -> Arc<acrossk8s_vpc::Fabric> {
        let mut cached = self.fabric.lock();
        let now = self.clock.now();
        if let Some(cached) = &*cached
            && cached.generation == self.generation.load(Ordering::Acquire)
            && cached.until.is_none_or(|until| now < until)
        {
            return Arc::clone(&cached.fabric);
        }
        let mut state = self.state.lock();
        // Again, with the state locked: an operation may have been timed after the first look at the clock.
        let now = self.clock.now();
        elbv2::reap(&mut state, now);
        let generation = self.generation.load(Ordering::Acquire);
        let (fabric, until) = ec2::fabric(&state, now, &self.latencies);
        drop(state);
        let fabric = Arc::new(fabric);
        *cached = Some(CachedFabric { generation, until, fabric: Arc::clone(&fabric) });
        fabric
    }
}
