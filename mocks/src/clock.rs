//! The clock of an emulated world: everything that takes time on AWS or in Kubernetes asks it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Time since the lab began, in the emulated world.
pub type SimTime = Duration;

/// A cheap handle on the time of one lab.
///
/// Emulated time runs `scale` times as fast as the machine's, or only when [`Clock::advance`] is called. Only waits for
/// something that does happen (a state that changes, a cache entry that ages, a file that is synced) go through it:
/// time-outs of requests that can never be answered are decided by the network, so a fast clock makes nothing flaky.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    Scaled { start: Instant, scale: f64 },
    Manual { now: watch::Sender<Duration> },
}

impl Clock {
    /// A clock on which `scale` seconds pass in each second of the machine's. Panics unless `scale` is positive.
    pub fn scaled(scale: f64) -> Self {
        assert!(scale > 0.0 && scale.is_finite(), "a clock's scale is a positive number");
        Clock(Arc::new(Inner::Scaled { start: Instant::now(), scale }))
    }

    /// A clock that stands still until it is advanced.
    pub fn manual() -> Self {
        Clock(Arc::new(Inner::Manual { now: watch::Sender::new(Duration::ZERO) }))
    }

    /// The time in the emulated world.
    pub fn now(&self) -> SimTime {
        match &*self.0 {
            Inner::Scaled { start, scale } => start.elapsed().mul_f64(*scale),
            Inner::Manual { now } => *now.borrow(),
        }
    }

    /// Waits until `duration` has passed in the emulated world.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Waits until the emulated world's time is `deadline`.
    pub async fn sleep_until(&self, deadline: SimTime) {
        match &*self.0 {
            Inner::Scaled { start, scale } => {
                tokio::time::sleep_until((*start + deadline.div_f64(*scale)).into()).await;
            }
            Inner::Manual { now } => {
                // The sender lives as long as the clock, so waiting cannot fail.
                let _ = now.subscribe().wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Moves a manual clock forward. Does nothing on a clock that runs by itself.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual { now } = &*self.0 {
            now.send_modify(|now| *now += by);
        }
    }
}

/// How long the emulated AWS takes for what takes time, in emulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// An EKS cluster from CREATING to ACTIVE.
    pub cluster_create: Duration,
    /// A node group from CREATING to ACTIVE.
    pub nodegroup_create: Duration,
    /// A peering connection from initiating-request to pending-acceptance.
    pub peering_request: Duration,
    /// A peering connection from provisioning to active.
    pub peering_provision: Duration,
    /// A Network Load Balancer from provisioning to active.
    pub load_balancer_provision: Duration,
    /// Interfaces of a deleted load balancer until they are gone.
    pub load_balancer_release: Duration,
    /// A deleted cluster or node group until it is gone.
    pub cluster_delete: Duration,
}

impl Latencies {
    /// Nothing takes time: a resource is in its intermediate state in the answer that creates it, and in its final one
    /// in the next.
    pub const INSTANT: Self = Self {
        cluster_create: Duration::ZERO,
        nodegroup_create: Duration::ZERO,
        peering_request: Duration::ZERO,
        peering_provision: Duration::ZERO,
        load_balancer_provision: Duration::ZERO,
        load_balancer_release: Duration::ZERO,
        cluster_delete: Duration::ZERO,
    };

    /// What AWS takes, roughly.
    pub const REALISTIC: Self = Self {
        cluster_create: Duration::from_secs(600),
        nodegroup_create: Duration::from_secs(180),
        peering_request: Duration::from_secs(2),
        peering_provision: Duration::from_secs(5),
        load_balancer_provision: Duration::from_secs(150),
        load_balancer_release: Duration::from_secs(120),
        cluster_delete: Duration::from_secs(600),
    };
}
