//! A pod on every node to ask the peers from: the document asks from one pod of each cluster, and a node without the right
//! security group goes unnoticed (C3.5s).

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::clusters::cluster_of;
use super::omission::Omission;
use super::steps::{Each, Phase, Scope, Step};
use super::{World, kube_failure, manifest, nginx};
use crate::engine::{Condition, Done, Failure, TaskContext};

const GAP: Option<&str> = Some("the document checks from one node of each cluster, and another may be cut off");

/// Name of the DaemonSet, and the `app` label of its pods.
pub const DAEMON_SET: &str = "acrossk8s-prober";

/// One prober on each node.
pub static DEPLOY: Step = Step {
    id: "deploy-probers",
    title: "Deploy a prober on every node and wait until all are ready",
    heading: nginx::HEADING,
    clauses: &["C3.5s"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| command(&topology.clusters, scope, "apply"),
    calls: &["kubernetes:apply daemonsets", "kubernetes:get daemonsets"],
    gap: GAP,
    omission: Omission::no_probe_fails().caught_by(&["http-from-every-node"]),
    run: |context, scope| Box::pin(deploy(context, scope)),
};

/// The probers, removed.
pub static DELETE: Step = Step {
    id: "delete-probers",
    title: "Delete the probers",
    heading: nginx::HEADING,
    clauses: &["C3.5s"],
    phase: Phase::CleanUp,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| command(&topology.clusters, scope, "delete"),
    calls: &["kubernetes:delete daemonsets", "kubernetes:list pods"],
    gap: GAP,
    omission: Omission::no_probe_fails().caught_by(&["nginx-removed"]).undoes("deploy-probers"),
    run: |context, scope| Box::pin(delete(context, scope)),
};

fn command(clusters: &[crate::topology::Cluster], scope: Scope, verb: &str) -> Vec<String> {
    nginx::command(clusters, scope, verb, "prober.yaml")
}

/// Selects the probers of a namespace.
pub fn selected() -> ListParams {
    ListParams::default().labels(&format!("app={DAEMON_SET}"))
}

async fn deploy(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let made = manifest::apply_all(&context, index, Some(&cluster.namespace), manifest::PROBER).await?;
    let sets: Api<DaemonSet> = Api::namespaced(world.kubernetes(index).await?, &cluster.namespace);
    let patience = world.patience();
    let what = format!("a prober on every node of {} to be ready", cluster.name);
    context
        .wait_for(&what, patience.pod, patience.poll, || async {
            let read = |error| kube_failure(format!("the probers of {} cannot be read", cluster.name), &error);
            let Some(set) = sets.get_opt(DAEMON_SET).await.map_err(read)? else {
                return Err(Failure::new(format!("the DaemonSet {DAEMON_SET} of {} is gone", cluster.name)));
            };
            let status = set.status.unwrap_or_default();
            let (ready, wanted) = (status.number_ready, status.desired_number_scheduled);
            Ok(if status.observed_generation == set.metadata.generation && ready == wanted {
                Condition::Ready(())
            } else {
                Condition::NotYet(format!("{ready} of {wanted} are ready"))
            })
        })
        .await?;
    Ok(if made { Done::changed() } else { Done::unchanged() })
}

async fn delete(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let client = world.kubernetes(index).await?;
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), &cluster.namespace);
    let changed = match sets.delete(DAEMON_SET, &DeleteParams::default()).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => return Err(kube_failure(format!("the probers of {} cannot be deleted", cluster.name), &error)),
    };
    let pods: Api<Pod> = Api::namespaced(client, &cluster.namespace);
    let patience = world.patience();
    let what = format!("the probers of {} to be gone", cluster.name);
    context
        .wait_for(&what, patience.deletion, patience.poll, || async {
            let left = pods.list(&selected()).await;
            let left = left
                .map_err(|error| kube_failure(format!("the probers of {} cannot be read", cluster.name), &error))?
                .items
                .len();
            Ok(if left == 0 { Condition::Ready(()) } else { Condition::NotYet(format!("{left} are there")) })
        })
        .await?;
    Ok(if changed { Done::changed() } else { Done::unchanged() })
}
