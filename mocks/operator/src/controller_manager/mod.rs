//! The program `tidb-controller-manager`: leads by a Lease, then reconciles `TidbCluster`s.
//!
//! A leader that loses its Lease exits, as the original does.
//!
//! Simplified:
//!
//! - No metrics on port 6060 but an open port.
//! - One worker, so that a PD or TiDB that does not answer keeps all `TidbCluster`s waiting for as long as a request may take.
//! - What is refused (a scale-in, for example) is a line of the log and no Event.
//! - After PD could not be read its members are unhealthy, and those of peers and the stores stay as they were last seen.
//! - PD's leader is handed to the first member, whatever its health; a member that is gone already keeps PD from shrinking.
//! - A table in a component's `config` is written as JSON.
//! - Conflict and failure to reach the API count alike when the Lease cannot be renewed.

mod lease;
pub mod objects;
pub mod status;
pub mod sync;
#[cfg(test)]
mod tests;

use std::time::Duration;

use acrossk8s_mocks::workloads::Container;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::api;
use lease::{Elector, RETRY};
use sync::{SyncError, Syncer};

/// How often every `TidbCluster` is reconciled without a change.
pub const RESYNC: Duration = Duration::from_secs(5);

/// Selects what the operator makes.
const MANAGED: &str = "app.kubernetes.io/managed-by=tidb-operator";

/// Port of the liveness probe.
const HEALTH_PORT: u16 = 6060;

/// Runs the controller manager until its container has to stop. Returns the exit code.
pub async fn run(container: Container) -> i32 {
    let Some(client) = container.api.clone() else {
        container.log.line("failed to get config: no service account");
        return 1;
    };
    let namespace = container.env.get("NAMESPACE").cloned().unwrap_or_else(|| container.namespace.clone());
    let flag = |name: &str| container.args.iter().find_map(|arg| arg.trim_start_matches('-').strip_prefix(name));
    let scoped = flag("cluster-scoped=") != Some("false");
    let discovery_image = flag("tidb-discovery-image=").unwrap_or(&container.image).to_owned();
    let _health = match container.host.listen(HEALTH_PORT).await {
        Ok(listener) => listener,
        Err(error) => {
            container.log.line(format!("listen tcp :{HEALTH_PORT}: {error}"));
            return 1;
        }
    };
    container.ready.send_replace(true);
    let mut elector = Elector::new(client.clone(), &namespace, &container.pod);
    let clusters: Api<DynamicObject> = if scoped {
        Api::all_with(client.clone(), &api::resource())
    } else {
        Api::namespaced_with(client.clone(), &namespace, &api::resource())
    };
    let syncer = Syncer { container: container.clone(), client: client.clone(), discovery_image };
    let sets: Api<StatefulSet> =
        if scoped { Api::all(client.clone()) } else { Api::namespaced(client.clone(), &namespace) };
    let work = async {
        while !elector.hold(container.clock.now()).await {
            // What is awaited is that another does not renew: nothing tells of what does not happen.
            container.clock.sleep(RETRY).await;
        }
        container.log.line(format!("successfully acquired lease {namespace}/{}", lease::NAME));
        tokio::select! {
            () = reconcile(&syncer, &clusters, sets) => {}
            () = renew(&mut elector, &container) => container.log.line("leader election lost"),
        }
    };
    let code = tokio::select! {
        () = container.stop.cancelled() => 0,
        () = work => 1,
    };
    container.ready.send_replace(false);
    code
}

/// Renews the Lease; ends when another holds it or it ran out.
async fn renew(elector: &mut Elector, container: &Container) {
    let mut held = container.clock.now();
    loop {
        // Renewing is done by the clock: it shows others that this one lives.
        container.clock.sleep(RETRY).await;
        let now = container.clock.now();
        if elector.hold(now).await {
            held = now;
        } else if now.saturating_sub(held) >= lease::RENEW_DEADLINE {
            return;
        }
    }
}

/// Reconciles a `TidbCluster` when it or one of its StatefulSets changes, and all of them on every resync: PD and TiDB,
/// which are asked over the network, tell nobody of their changes.
async fn reconcile(syncer: &Syncer, clusters: &Api<DynamicObject>, sets: Api<StatefulSet>) {
    let container = &syncer.container;
    let own = watcher::Config::default().labels(MANAGED);
    let mut changes = watcher(clusters.clone(), watcher::Config::default()).default_backoff().applied_objects().boxed();
    let mut set_changes = watcher(sets, own).default_backoff().applied_objects().boxed();
    let mut resync = container.clock.now() + RESYNC;
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(object)) => report(container, syncer.sync(object).await),
                Some(Err(error)) => container.log.line(format!("failed to watch TidbClusters: {error}")),
                None => return,
            },
            change = set_changes.next() => match change {
                Some(Ok(set)) => report(container, syncer.sync_owner(&set).await),
                Some(Err(error)) => container.log.line(format!("failed to watch StatefulSets: {error}")),
                None => return,
            },
            () = container.clock.sleep_until(resync) => {
                resync = container.clock.now() + RESYNC;
                match clusters.list(&ListParams::default()).await {
                    Ok(list) => {
                        for object in list.items {
                            report(container, syncer.sync(object).await);
                        }
                    }
                    Err(error) => container.log.line(format!("failed to list TidbClusters: {error}")),
                }
            }
        }
    }
}

fn report(container: &Container, outcome: Result<(), SyncError>) {
    if let Err(error) = outcome {
        container.log.line(format!("TidbCluster: sync failed, requeuing: {error}"));
    }
}
