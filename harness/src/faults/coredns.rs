//! CoreDNS of cluster 1 as people find it or leave it: what it reloads, serves and runs, and what becomes of its Corefile
//! after the edit ("Configure CoreDNS").

use std::collections::BTreeMap;

use acrossk8s_aws::eks::types::ResolveConflicts;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Fault, ONE, corefiles};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Failure, TaskContext};
use crate::procedure::{World, aws_failure, coredns, kube_failure, load_balancers, nginx};

const BACK_UP: &str = "back-up-coredns/1";
const EDIT: &str = "edit-coredns/1";
const RELOAD: &str = "await-coredns-reload/1";

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "without-reload",
            "CoreDNS has no reload plugin [cluster 1]",
            Diagnosed::at(Own::CorefileReloadMissing, "configmap", ONE),
        )
        .before(
            BACK_UP,
            |context| async move { settle(&context, |corefile| corefiles::without(corefile, "reload")).await },
        )
        .caught_by(&["corefile-reload"])
        .stops(&[RELOAD]),
        Fault::new(
            "reload-once-a-day",
            "CoreDNS looks at its Corefile once a day, and nobody waits so long [cluster 1]",
            Diagnosed::at(Own::CorefileReloadSlow, "configmap", ONE),
        )
        .before(BACK_UP, |context| async move {
            settle(&context, |corefile| corefile.replace("    reload\n", "    reload 24h\n")).await
        })
        .caught_by(&["dns-answers-peer"])
        .stops(&[RELOAD]),
        Fault::new(
            "one-coredns-pod-restarted",
            "CoreDNS looks at its Corefile once a day, and one of its pods is made anew for it [cluster 1]",
            Diagnosed::at(Own::CorefileReloadSlow, "configmap", ONE),
        )
        .before(BACK_UP, |context| async move {
            settle(&context, |corefile| corefile.replace("    reload\n", "    reload 24h\n")).await
        })
        .after(EDIT, |context| async move { restart_one(&context).await })
        .caught_by(&["dns-answers-peer"])
        .stops(&[RELOAD]),
        Fault::new(
            "namespaces-restricted",
            "CoreDNS serves the names of kube-system only [cluster 1]",
            Diagnosed::at(Own::CorefileNameNotServed, "configmap", ONE),
        )
        .before(BACK_UP, |context| async move {
            settle(&context, |corefile| {
                corefile.replace("pods insecure", "namespaces kube-system\n        pods insecure")
            })
            .await
        })
        .needs("await-nginx-name/1", |_| vec![BACK_UP.to_owned()])
        .caught_by(&["own-name-resolves", "dns-answers-peer"])
        .stops(&["await-nginx-name/1"]),
        Fault::new(
            "corefile-reverted",
            "the EKS add-on puts its own Corefile back [cluster 1]",
            Diagnosed::at(Own::CorefileZoneMissing, "configmap", ONE),
        )
        .after(RELOAD, |context| async move { update_add_on(&context).await })
        // What else was edited is gone, too.
        .counts_on(EDIT)
        .caught_by(&["corefile-zone"]),
        Fault::new(
            "back-up-after-the-edit",
            "the back-up of cluster 1 is taken after the edit",
            Diagnosed::NoProbeFails,
        )
        .after(EDIT, |context| async move {
            let config_map = coredns::config_maps(context.world(), ONE).await?.get(coredns::CONFIG_MAP).await;
            let config_map = config_map.map_err(|error| kube_failure("the ConfigMap cannot be read", &error))?;
            let text = serde_saphyr::to_string(&config_map)
                .map_err(|error| Failure::new("the ConfigMap cannot be written").because(error))?;
            context.world().learn(ONE, |facts| facts.coredns_backup = Some(text));
            Ok(())
        })
        .caught_by(&["corefile-backup-before-edit"]),
        Fault::new("empty-back-up", "the back-up of cluster 1 is an empty file", Diagnosed::NoProbeFails)
            .after(EDIT, |context| async move {
                context.world().learn(ONE, |facts| facts.coredns_backup = Some(String::new()));
                Ok(())
            })
            .caught_by(&["corefile-backup"]),
        Fault::new(
            "coredns-scaled-down",
            "CoreDNS of cluster 1 is scaled to nothing",
            Diagnosed::at(Own::CorednsPodsMissing, "deployment", ONE),
        )
        .after(RELOAD, |context| async move { scale_down(&context).await })
        .needs(RELOAD, |_| vec!["await-nginx-name/1".to_owned()])
        .caught_by(&["dns-service-endpoints"]),
    ]
}

/// Another Corefile, past the journal: the ConfigMap goes with the cluster.
async fn change(context: &TaskContext<World>, to: impl Fn(&str) -> String) -> Result<(), Failure> {
    let api = coredns::config_maps(context.world(), ONE).await?;
    let what = "the Corefile cannot be changed";
    let mut config_map = api.get(coredns::CONFIG_MAP).await.map_err(|error| kube_failure(what, &error))?;
    let data = config_map.data.get_or_insert_default();
    let corefile = data.get(coredns::COREFILE).map(|corefile| to(corefile)).unwrap_or_default();
    data.insert(coredns::COREFILE.to_owned(), corefile);
    let replaced = api.replace(coredns::CONFIG_MAP, &PostParams::default(), &config_map).await;
    replaced.map(drop).map_err(|error| kube_failure(what, &error))
}

/// The Corefile as it was found: another one, and CoreDNS serves it.
async fn settle(context: &TaskContext<World>, to: impl Fn(&str) -> String) -> Result<(), Failure> {
    let before = coredns::reloads(context.world(), ONE).await?;
    change(context, to).await?;
    reloaded(context, before).await
}

/// Waits until every CoreDNS pod has reloaded once more.
async fn reloaded(context: &TaskContext<World>, before: BTreeMap<String, usize>) -> Result<(), Failure> {
    let patience = context.world().patience();
    context
        .wait_for("CoreDNS to serve the Corefile", patience.coredns_reload, patience.poll, || async {
            let now = coredns::reloads(context.world(), ONE).await?;
            let reloaded = |(pod, count): (&String, &usize)| before.get(pod).is_none_or(|before| count > before);
            let all = now.iter().all(reloaded);
            Ok(if all { Condition::Ready(()) } else { Condition::NotYet("it did not reload yet".to_owned()) })
        })
        .await
}

async fn scale_down(context: &TaskContext<World>) -> Result<(), Failure> {
    let client = context.world().kubernetes(ONE).await?;
    let deployments: Api<Deployment> = Api::namespaced(client, load_balancers::NAMESPACE);
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    let scaled = deployments.patch("coredns", &PatchParams::default(), &none).await;
    scaled.map_err(|error| kube_failure("CoreDNS cannot be scaled", &error))?;
    let patience = context.world().patience();
    context
        .wait_for("CoreDNS to be gone", patience.pod, patience.poll, || async {
            let left = coredns::coredns_pods(context.world(), ONE).await?.len();
            Ok(if left == 0 { Condition::Ready(()) } else { Condition::NotYet(format!("{left} pods are there")) })
        })
        .await
}

/// Updates the add-on and lets it overwrite what somebody has changed, as the console does by default.
async fn update_add_on(context: &TaskContext<World>) -> Result<(), Failure> {
    let world = context.world();
    let before = coredns::reloads(world, ONE).await?;
    let update = world.aws(ONE)?.eks.update_addon().cluster_name(&world.cluster(ONE).name).addon_name("coredns");
    let updated = update.resolve_conflicts(ResolveConflicts::Overwrite).send().await;
    updated.map_err(|error| aws_failure("the add-on coredns cannot be updated", &error))?;
    reloaded(context, before).await
}

/// Deletes one CoreDNS pod, and waits for the one in its place.
async fn restart_one(context: &TaskContext<World>) -> Result<(), Failure> {
    let world = context.world();
    let pods = coredns::coredns_pods(world, ONE).await?;
    let (count, first) = (pods.len(), pods.into_iter().find_map(|pod| pod.metadata.name).unwrap_or_default());
    let api: Api<Pod> = Api::namespaced(world.kubernetes(ONE).await?, load_balancers::NAMESPACE);
    let deleted = api.delete(&first, &DeleteParams::default()).await;
    deleted.map_err(|error| kube_failure(format!("{first} cannot be deleted"), &error))?;
    let patience = world.patience();
    context
        .wait_for("another CoreDNS pod to be ready", patience.pod, patience.poll, || async {
            let now = coredns::coredns_pods(world, ONE).await?;
            let ready = now.iter().filter(|pod| nginx::is_ready(pod) && pod.metadata.name.as_ref() != Some(&first));
            let ready = ready.count();
            Ok(if ready == count { Condition::Ready(()) } else { Condition::NotYet(format!("{ready} of {count} are")) })
        })
        .await
}
