//! The health checks of Network Load Balancers: real TCP connections from their addresses over the lab's network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::aws::elbv2::{self, HealthCheck};
use crate::clock::{Clock, SimTime};
use crate::network::{Host, HostKind, HostSpec, Network};

/// How long it is waited at the most for the account to change before it is looked whether time alone has brought
/// something new to check, in emulated time: a load balancer becomes active without an operation.
const LOOK: Duration = Duration::from_secs(15);

/// How long a target may take to accept, in emulated time (ELBv2's default for TCP checks). The in-process network
/// decides at once, so this only bounds one that does not.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Any region: health checks are read of the whole account.
const ANYWHERE: &str = "us-east-1";

/// Checks every target again and again, the new ones at once.
pub(super) async fn probe(aws: Arc<Aws>, network: Arc<dyn Network>, clock: Clock) {
    let mut hosts: BTreeMap<(String, Ipv4Addr), Arc<dyn Host>> = BTreeMap::new();
    let mut due: BTreeMap<(String, String), SimTime> = BTreeMap::new();
    let mut changes = aws.changes();
    loop {
        changes.borrow_and_update();
        let checks = aws.read(ANYWHERE, |state, context| elbv2::health_checks(state, context.now, &context.latencies));
        attach(&*network, &mut hosts, &checks).await;
        let key = |check: &HealthCheck| (check.target_group.clone(), check.instance.clone());
        let present: BTreeSet<_> = checks.iter().map(key).collect();
        due.retain(|known, _| present.contains(known));
        let now = clock.now();
        let mut under_way = JoinSet::new();
        for check in checks {
            if due.get(&key(&check)).is_some_and(|at| now < *at) {
                continue;
            }
            due.insert(key(&check), now + check.interval);
            let Some(host) = check.from.first().and_then(|from| hosts.get(&(check.vpc.clone(), *from))).cloned() else {
                continue;
            };
            let clock = clock.clone();
            under_way.spawn(async move {
                let target = SocketAddrV4::new(check.address, check.port);
                let ok = tokio::select! {
                    answer = host.connect(target) => answer.is_ok(),
                    () = clock.sleep(TIMEOUT) => false,
                };
                (check, ok)
            });
        }
        while let Some(result) = under_way.join_next().await {
            if let Ok((check, ok)) = result {
                aws.with(ANYWHERE, |state, _| {
                    elbv2::record_health_check(state, &check.target_group, &check.instance, ok);
                });
            }
        }
        let next = due.values().min().copied().unwrap_or(SimTime::MAX).min(clock.now() + LOOK);
        tokio::select! {
            _ = changes.changed() => {}
            () = clock.sleep_until(next) => {}
        }
    }
}

/// Attaches the addresses of load balancers to the network, and detaches those of load balancers that are gone.
async fn attach(
    network: &dyn Network,
    hosts: &mut BTreeMap<(String, Ipv4Addr), Arc<dyn Host>>,
    checks: &[HealthCheck],
) {
    let wanted: BTreeSet<(String, Ipv4Addr)> =
        checks.iter().flat_map(|check| check.from.iter().map(|from| (check.vpc.clone(), *from))).collect();
    let gone: Vec<_> = hosts.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
    for key in gone {
        hosts.remove(&key);
        network.detach(&key.0, key.1).await;
    }
    for (vpc, address) in wanted {
        if hosts.contains_key(&(vpc.clone(), address)) {
            continue;
        }
        let name = format!("load balancer {address}");
        match network.attach(HostSpec { name, vpc: vpc.clone(), address, kind: HostKind::LoadBalancer }).await {
            Ok(host) => drop(hosts.insert((vpc, address), host)),
            Err(error) => tracing::debug!(%address, %error, "a load balancer is not attached"),
        }
    }
}
