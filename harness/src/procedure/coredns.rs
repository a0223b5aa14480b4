//! "Configure CoreDNS": back up the ConfigMap, add a forwarding zone for each other cluster, wait for the reload.

use std::net::Ipv4Addr;

use acrossk8s_corefile::ForwardZone;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams, PostParams};

use super::clusters::cluster_of;
use super::load_balancers::NAMESPACE;
use super::omission::Omission;
use super::resource::{Found, Resource};
use super::steps::{Each, Phase, Scope, Step};
use super::{World, kube_failure};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Done, Failure, TaskContext};
use crate::topology::{Cluster, ClusterIndex, Topology};

const HEADING: &str = "Configure CoreDNS";

/// Name of CoreDNS's ConfigMap.
pub const CONFIG_MAP: &str = "coredns";
/// Key of the Corefile in it.
pub const COREFILE: &str = "Corefile";
/// Labels of CoreDNS's pods.
pub const SELECTOR: &str = "k8s-app=kube-dns";

/// `kubectl get configmap coredns -o yaml`.
pub static BACK_UP: Step = Step {
    id: "back-up-coredns",
    title: "Back up the current CoreDNS configuration",
    heading: HEADING,
    clauses: &["C2.12"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| match scope {
        Scope::Cluster(index) => vec![format!(
            "kubectl --context ${{context_{index}}} -n kube-system get configmap coredns -o yaml > {}-coredns.yaml.bk",
            topology.cluster(index).name
        )],
        _ => Vec::new(),
    },
    calls: &["kubernetes:get configmaps"],
    gap: None,
    omission: Omission::diagnosed(no_zone)
        .caught_by(&["corefile-backup", "corefile-zone"])
        .stops(|_, scope| vec![("edit-coredns", scope)]),
    run: |context, scope| Box::pin(back_up(context, scope)),
};

/// `kubectl edit configmap coredns`.
pub static EDIT: Step = Step {
    id: "edit-coredns",
    title: "Modify the ConfigMap: forward the zones of the other clusters",
    heading: HEADING,
    clauses: &["C2.13", "C2.14", "C2.16"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |topology, scope| match scope {
        Scope::Cluster(index) => std::iter::once(("back-up-coredns", scope))
            .chain(topology.others(index).map(|other| ("get-load-balancer-addresses", Scope::Cluster(other))))
            .collect(),
        _ => Vec::new(),
    },
    commands: |_, scope| vec![format!("kubectl --context ${{context_{scope}}} -n kube-system edit configmap coredns")],
    calls: &["kubernetes:get configmaps", "kubernetes:update configmaps"],
    gap: None,
    omission: Omission::diagnosed(no_zone).caught_by(&["corefile-zone"]),
    run: |context, scope| Box::pin(edit(context, scope)),
};

/// The reload.
pub static AWAIT_RELOAD: Step = Step {
    id: "await-coredns-reload",
    title: "Wait for every CoreDNS pod to reload the configuration",
    heading: HEADING,
    clauses: &["C2.15"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, scope| vec![("edit-coredns", scope)],
    commands: |_, _| vec!["# wait about 30 seconds".to_owned()],
    calls: &["kubernetes:list pods", "kubernetes:get pods/log"],
    gap: None,
    omission: Omission::diagnosed(|topology, scope| {
        Diagnosed::each(Own::CorednsPodOutdated, "pod", scope.clusters(topology))
    })
    .luck(
        "CoreDNS may have reloaded before anybody asks",
        &["dns-answers-peer", "http-to-peer", "http-from-every-node"],
    ),
    run: |context, scope| Box::pin(await_reload(context, scope)),
};

fn no_zone(topology: &Topology, scope: Scope) -> Diagnosed {
    Diagnosed::each(Own::CorefileZoneMissing, "configmap", scope.clusters(topology))
}

/// The zone under which a cluster's names are asked for.
pub fn zone_of(cluster: &Cluster) -> String {
    format!("{}.svc.cluster.local", cluster.namespace)
}

/// The forwarding zones of a cluster: one for each other cluster, to that one's load balancer.
///
/// # Errors
/// When the addresses of a load balancer are not known.
pub fn zones_for(world: &World, index: ClusterIndex) -> Result<Vec<ForwardZone>, Failure> {
    world
        .topology
        .others(index)
        .map(|other| {
            let upstreams = world.known(other).load_balancer_addresses;
            let cluster = world.cluster(other);
            if upstreams.is_empty() {
                return Err(Failure::new(format!("the load balancer addresses of {} are not known", cluster.name)));
            }
            Ok(ForwardZone { zone: zone_of(cluster), port: 53, upstreams })
        })
        .collect()
}

pub(crate) async fn config_maps(world: &World, index: ClusterIndex) -> Result<Api<ConfigMap>, Failure> {
    Ok(Api::namespaced(world.kubernetes(index).await?, NAMESPACE))
}

pub(crate) async fn coredns_pods(world: &World, index: ClusterIndex) -> Result<Vec<Pod>, Failure> {
    let pods: Api<Pod> = Api::namespaced(world.kubernetes(index).await?, NAMESPACE);
    let found = pods.list(&ListParams::default().labels(SELECTOR)).await.map_err(|error| {
        kube_failure(format!("the CoreDNS pods of {} cannot be listed", world.cluster(index).name), &error)
    })?;
    Ok(found.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
}

async fn back_up(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = &world.cluster(index).name;
    let path = world.directory.join(format!("{cluster}-coredns.yaml.bk"));
    // A back-up taken by this run before is from before the edit, and the only one that is.
    if let Ok(backup) = tokio::fs::read_to_string(&path).await {
        world.learn(index, |facts| facts.coredns_backup = Some(backup));
        return Ok(Done::unchanged());
    }
    let what = format!("the CoreDNS configuration of {cluster} cannot be backed up");
    let config_map =
        config_maps(world, index).await?.get(CONFIG_MAP).await.map_err(|error| kube_failure(&what, &error))?;
    let backup = serde_saphyr::to_string(&config_map).map_err(|error| Failure::new(&what).because(error))?;
    tokio::fs::write(&path, &backup)
        .await
        .map_err(|error| Failure::new(&what).because(format!("{}: {error}", path.display())))?;
    world.learn(index, |facts| facts.coredns_backup = Some(backup));
    Ok(Done::changed())
}

async fn edit(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let index = cluster_of(scope)?;
    let zones = zones_for(context.world(), index)?;
    let added = zones.iter().map(|zone| (zone.zone.clone(), zone.upstreams.clone())).collect();
    replace_corefile(&context, index, added, |corefile| {
        acrossk8s_corefile::plan_edit(corefile, &zones).map(|edited| edited.text).map_err(|error| {
            Failure::new(format!("the Corefile of {} cannot be edited", context.world().cluster(index).name))
                .because(error)
        })
    })
    .await
}

/// Replaces the Corefile by what `change` makes of it, noting the edit in the journal first.
pub(crate) async fn replace_corefile(
    context: &TaskContext<World>,
    index: ClusterIndex,
    zones: Vec<(String, Vec<Ipv4Addr>)>,
    change: impl Fn(&str) -> Result<String, Failure>,
) -> Result<Done, Failure> {
    let world = context.world();
    let cluster = world.cluster(index).name.clone();
    let what = format!("the CoreDNS configuration of {cluster} cannot be changed");
    let backup =
        world.known(index).coredns_backup.ok_or_else(|| Failure::new(&what).because("it was not backed up"))?;
    let api = config_maps(world, index).await?;
    let mut config_map = api.get(CONFIG_MAP).await.map_err(|error| kube_failure(&what, &error))?;
    let corefile = config_map
        .data
        .as_ref()
        .and_then(|data| data.get(COREFILE))
        .ok_or_else(|| Failure::new(&what).because("the ConfigMap has no key Corefile"))?;
    let changed = change(corefile)?;
    let there = *corefile == changed;
    let before = reloads(world, index).await?;
    let resource = Resource::CorefileEdit { cluster, backup, zones };
    let find = async { Ok(if there { Found::There(()) } else { Found::Missing }) };
    let make = async {
        config_map.data.get_or_insert_default().insert(COREFILE.to_owned(), changed.clone());
        api.replace(CONFIG_MAP, &PostParams::default(), &config_map)
            .await
            .map(drop)
            .map_err(|error| kube_failure(&what, &error))
    };
    let (_, made) = world.ensure(context.task(), resource, find, make).await?;
    world.learn(index, |facts| {
        facts.corefile_edited = made;
        facts.reloads_before = before;
    });
    Ok(if made { Done::changed() } else { Done::unchanged() })
}

/// How many completed reloads the log of each CoreDNS pod tells of.
pub(crate) async fn reloads(
    world: &World,
    index: ClusterIndex,
) -> Result<std::collections::BTreeMap<String, usize>, Failure> {
    let pods: Api<Pod> = Api::namespaced(world.kubernetes(index).await?, NAMESPACE);
    let mut reloads = std::collections::BTreeMap::new();
    for pod in coredns_pods(world, index).await? {
        let name = pod.metadata.name.unwrap_or_default();
        let log = pods.logs(&name, &LogParams::default()).await.map_err(|error| {
            kube_failure(format!("the log of {name} of {} cannot be read", world.cluster(index).name), &error)
        })?;
        let count = log.lines().filter(|line| line.contains("Reloading complete")).count();
        reloads.insert(name, count);
    }
    Ok(reloads)
}

async fn await_reload(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let known = world.known(index);
    if !known.corefile_edited {
        return Ok(Done::unchanged().note("nothing was edited"));
    }
    let patience = world.patience();
    let cluster = &world.cluster(index).name;
    context
        .wait_for(
            &format!("every CoreDNS pod of {cluster} to reload"),
            patience.coredns_reload,
            patience.poll,
            || async {
                let now = reloads(world, index).await?;
                // A pod that is new since the edit has started with the edited file.
                let waiting: Vec<_> = now
                    .iter()
                    .filter(|(pod, count)| known.reloads_before.get(*pod).is_some_and(|before| *count <= before))
                    .map(|(pod, _)| pod.as_str())
                    .collect();
                Ok(if now.is_empty() {
                    Condition::NotYet("there is no CoreDNS pod".to_owned())
                } else if waiting.is_empty() {
                    Condition::Ready(())
                } else {
                    Condition::NotYet(format!("{} did not reload yet", waiting.join(", ")))
                })
            },
        )
        .await?;
    Ok(Done::changed())
}
