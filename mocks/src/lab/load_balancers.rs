//! Load balancers on the network: hosts at their interfaces, and health checks that really connect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Mutex;

use super::hosts::Hosts;
use crate::aws::elbv2::{self, Health, HealthCheck};
use crate::aws::{Aws, State};
use crate::clock::{Latencies, SimTime};
use crate::kubernetes::cluster::Tasks;
use crate::network::{FabricSource as _, Host, HostKind, HostSpec, Network as _};

/// How long a health check waits for an answer, on the machine's clock: packets of the kernel's network take their time
/// however fast the lab's clock is. A Network Load Balancer waits ten seconds by default; nothing here is that far away.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Region of operations that look at all regions.
pub(super) const ANY_REGION: &str = "us-east-1";

/// VPC and address of an interface.
type Place = (String, Ipv4Addr);

/// The hosts of all load balancers and the health checks that go out from them.
pub(super) struct LoadBalancerHosts {
    aws: Arc<Aws>,
    hosts: Arc<Hosts>,
    tasks: Tasks,
    /// Locked while they are brought up to date.
    state: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    attached: BTreeMap<Place, Arc<dyn Host>>,
    checks: BTreeMap<HealthCheck, Tasks>,
}

impl LoadBalancerHosts {
    pub(super) fn new(aws: Arc<Aws>, hosts: Arc<Hosts>, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self { aws, hosts, tasks, state: Mutex::default() })
    }

    /// Attaches and detaches hosts and starts and stops checks, as the account says now. Returns when time alone will
    /// change that.
    pub(super) async fn update(&self) -> Option<SimTime> {
        let mut present = self.state.lock().await;
        let (places, checks, next) = self.aws.read(ANY_REGION, |state, context| {
            (
                places(state),
                elbv2::health_checks(state, context.now, &context.latencies),
                next_change(state, context.now, &context.latencies),
            )
        });
        let wanted: BTreeSet<HealthCheck> = checks.into_iter().collect();
        present.checks.retain(|check, task| {
            let stays = wanted.contains(check);
            if !stays {
                task.cancel();
            }
            stays
        });
        let gone: Vec<Place> = present.attached.keys().filter(|place| !places.contains_key(*place)).cloned().collect();
        for place in &gone {
            present.attached.remove(place);
        }
        join_all(gone.iter().map(|(vpc, address)| self.hosts.detach(vpc, *address))).await;
        // All at once, so that the network is brought up to date once for all.
        let missing = places.into_iter().filter(|(place, _)| !present.attached.contains_key(place));
        let attaching = missing.map(async |(place, name)| {
            let host = HostSpec { name, vpc: place.0.clone(), address: place.1, kind: HostKind::LoadBalancer };
            let attached = self.hosts.attach(host).await;
            (place, attached)
        });
        for (place, attached) in join_all(attaching).await {
            match attached {
                Ok(host) => drop(present.attached.insert(place, host)),
                Err(error) => {
                    tracing::warn!(address = %place.1, %error, "an interface of a load balancer is not connected")
                }
            }
        }
        for check in wanted {
            let from = check.from.iter().find_map(|from| present.attached.get(&(check.vpc.clone(), *from))).cloned();
            if let (false, Some(host)) = (present.checks.contains_key(&check), from) {
                let group = self.tasks.child();
                group.spawn(probe(Arc::clone(&self.aws), host, check.clone()));
                present.checks.insert(check, group);
            }
        }
        next
    }

    /// Detaches everything.
    pub(super) async fn clear(&self) {
        let mut present = self.state.lock().await;
        std::mem::take(&mut present.checks).values().for_each(Tasks::cancel);
        let attached = std::mem::take(&mut present.attached);
        join_all(attached.keys().map(|(vpc, address)| self.hosts.detach(vpc, *address))).await;
    }
}

/// Follows the account for ever.
pub(super) async fn follow(load_balancers: Arc<LoadBalancerHosts>) {
    let mut changes = load_balancers.aws.changes();
    let clock = load_balancers.aws.clock().clone();
    loop {
        changes.borrow_and_update();
        let next = load_balancers.update().await;
        let time = async {
            match next {
                Some(next) => clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = time => {}
        }
    }
}

/// The interfaces of load balancers, with names for messages.
fn places(state: &State) -> BTreeMap<Place, String> {
    let mut places = BTreeMap::new();
    for balancer in state.elbv2.load_balancers.values() {
        for zone in &balancer.zones {
            if let Some(address) = state.ec2.interfaces.get(&zone.interface).and_then(|it| it.addresses.first()) {
                let name = format!("{}/{}", balancer.name, zone.availability_zone);
                places.insert((balancer.vpc.clone(), *address), name);
            }
        }
    }
    places
}

/// When the next load balancer becomes active.
fn next_change(state: &State, now: SimTime, latencies: &Latencies) -> Option<SimTime> {
    let active = state.elbv2.load_balancers.values().map(|it| it.created + latencies.load_balancer_provision);
    active.filter(|at| *at > now).min()
}

/// Checks a target again and again: at once, and then at its interval.
async fn probe(aws: Arc<Aws>, host: Arc<dyn Host>, check: HealthCheck) {
    let clock = aws.clock().clone();
    let mut due = clock.now();
    loop {
        let connection = host.connect(SocketAddrV4::new(check.address, check.port));
        let answered = matches!(tokio::time::timeout(TIMEOUT, connection).await, Ok(Ok(_)));
        record(&aws, &check, answered);
        due = clock.now().max(due + check.interval);
        clock.sleep_until(due).await;
    }
}

/// Tells the account, unless that changes nothing: everybody looks again at an account that has changed.
fn record(aws: &Aws, check: &HealthCheck, ok: bool) {
    let says = if ok { Health::Healthy } else { Health::Unhealthy };
    let nothing_new = aws.read(ANY_REGION, |state, _| {
        let target = state.elbv2.target_groups.get(&check.target_group).and_then(|it| it.targets.get(&check.instance));
        target.is_none_or(|target| target.health == says && target.streak == 0)
    });
    if !nothing_new {
        aws.with(ANY_REGION, |state, _| {
            elbv2::record_health_check(state, &check.target_group, &check.instance, ok);
        });
    }
}
