//! The configuration of CoreDNS in cluster 1 as people get it wrong ("Configure CoreDNS").

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::corefiles::{self, Wrong};
use super::{Fault, ONE};
use crate::engine::{Condition, Failure, TaskContext};
use crate::procedure::{World, coredns, kube_failure, load_balancers};

const BACK_UP: &str = "back-up-coredns/1";
const EDIT: &str = "edit-coredns/1";
const RELOAD: &str = "await-coredns-reload/1";

pub(super) fn faults() -> Vec<Fault> {
    vec![
        edited("nested-zone", "the zone of cluster 2 is inside the default server block", corefiles::nest_first_zone)
            .caught_by(&["corefile-zones-top-level"])
            .stops(&[RELOAD]),
        edited(
            "missing-force-tcp",
            "the zone of cluster 2 is forwarded without force_tcp",
            corefiles::forward_first_zone_over_udp,
        )
        .caught_by(&["corefile-force-tcp"]),
        edited(
            "wrong-upstreams",
            "the zone of cluster 2 is forwarded to addresses of nobody",
            corefiles::forward_first_zone_astray,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "one-upstream-only",
            "the zone of cluster 2 is forwarded to one address of its load balancer",
            corefiles::forward_first_zone_to_one,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "upstreams-on-another-port",
            "the zone of cluster 2 is forwarded to port 5353",
            corefiles::forward_first_zone_to_another_port,
        )
        .caught_by(&["corefile-upstreams"]),
        edited(
            "too-many-upstreams",
            "the zone of cluster 2 is forwarded to 16 addresses",
            corefiles::forward_first_zone_to_many,
        )
        .caught_by(&["corefile-accepted", "corefile-upstreams"])
        .stops(&[RELOAD]),
        edited("forgotten-zone", "the zone of cluster 2 is forgotten", corefiles::forget_first_zone)
            .caught_by(&["corefile-zone"]),
        edited("misspelt-zone", "the zone of cluster 2 is below svc.cluster.lokal", |topology, corefile, zones| {
            corefiles::documented_after(topology, corefile, zones).replacen(
                "svc.cluster.local:53",
                "svc.cluster.lokal:53",
                1,
            )
        })
        .caught_by(&["corefile-zone"]),
        edited("zone-twice", "the zone of cluster 2 is there twice", corefiles::repeat_first_zone)
            .caught_by(&["corefile-accepted"])
            .stops(&[RELOAD]),
        edited(
            "unknown-plugin",
            "the zone of cluster 2 has a plugin that CoreDNS does not know",
            |topology, corefile, zones| {
                corefiles::documented_after(topology, corefile, zones).replacen(
                    "cache 30\n    forward .",
                    "cache 30\n    forwards .",
                    1,
                )
            },
        )
        .caught_by(&["corefile-accepted"])
        .stops(&[RELOAD]),
        edited("unclosed-block", "the last server block is not closed", |topology, corefile, zones| {
            corefiles::documented_after(topology, corefile, zones).trim_end().trim_end_matches('}').to_owned()
        })
        .caught_by(&["corefile-accepted"])
        .stops(&[RELOAD]),
        edited("cache-for-an-hour", "the zone of cluster 2 is cached for an hour", |topology, corefile, zones| {
            corefiles::documented_after(topology, corefile, zones).replacen(
                "    cache 30\n    forward . 1",
                "    cache 3600\n    forward . 1",
                1,
            )
        })
        .caught_by(&["corefile-zone-form"]),
        edited("own-namespace-forwarded", "the own namespace is forwarded to cluster 2", corefiles::forward_own_zone)
            .caught_by(&["corefile-own-zone"]),
        edited(
            "stray-namespace-forwarded",
            "a namespace of nobody is forwarded to cluster 2",
            corefiles::forward_stray_zone,
        )
        .caught_by(&["corefile-stray-zones"]),
        edited(
            "default-block-modified",
            "the default server block loses its prometheus plugin",
            |topology, corefile, zones| {
                let corefile = corefiles::without(corefile, "prometheus");
                corefiles::documented_after(topology, &corefile, zones)
            },
        )
        .caught_by(&["corefile-default-block"]),
        Fault::new("without-reload", "CoreDNS has no reload plugin [cluster 1]")
            .before(BACK_UP, |context| async move {
                settle(&context, |corefile| corefiles::without(corefile, "reload")).await
            })
            .caught_by(&["corefile-reload"])
            .stops(&[RELOAD]),
        Fault::new(
            "reload-once-a-day",
            "CoreDNS looks at its Corefile once a day, and nobody waits so long [cluster 1]",
        )
        .before(BACK_UP, |context| async move {
            settle(&context, |corefile| corefile.replace("    reload\n", "    reload 24h\n")).await
        })
        .caught_by(&["dns-answers-peer"])
        .stops(&[RELOAD]),
        Fault::new("namespaces-restricted", "CoreDNS serves the names of kube-system only [cluster 1]")
            .before(BACK_UP, |context| async move {
                settle(&context, |corefile| {
                    corefile.replace("pods insecure", "namespaces kube-system\n        pods insecure")
                })
                .await
            })
            .needs("await-nginx-name/1", |_| vec![BACK_UP.to_owned()])
            .caught_by(&["own-name-resolves", "dns-answers-peer"])
            .stops(&["await-nginx-name/1"]),
        Fault::new("corefile-reverted", "the EKS add-on puts its own Corefile back [cluster 1]")
            .after(RELOAD, |context| async move {
                let default = context.world().known(ONE).coredns_backup.unwrap_or_default();
                let default: k8s_openapi::api::core::v1::ConfigMap = serde_saphyr::from_str(&default)
                    .map_err(|error| Failure::new("the back-up cannot be read").because(error))?;
                let corefile = default.data.and_then(|mut data| data.remove(coredns::COREFILE)).unwrap_or_default();
                settle(&context, |_| corefile.clone()).await
            })
            .caught_by(&["corefile-zone"]),
        Fault::new("back-up-after-the-edit", "the back-up of cluster 1 is taken after the edit")
            .after(EDIT, |context| async move {
                let config_map = coredns::config_maps(context.world(), ONE).await?.get(coredns::CONFIG_MAP).await;
                let config_map = config_map.map_err(|error| kube_failure("the ConfigMap cannot be read", &error))?;
                let text = serde_saphyr::to_string(&config_map)
                    .map_err(|error| Failure::new("the ConfigMap cannot be written").because(error))?;
                context.world().learn(ONE, |facts| facts.coredns_backup = Some(text));
                Ok(())
            })
            .caught_by(&["corefile-backup-before-edit"]),
        Fault::new("empty-back-up", "the back-up of cluster 1 is an empty file")
            .after(EDIT, |context| async move {
                context.world().learn(ONE, |facts| facts.coredns_backup = Some(String::new()));
                Ok(())
            })
            .caught_by(&["corefile-backup"]),
        Fault::new("coredns-scaled-down", "CoreDNS of cluster 1 is scaled to nothing")
            .after(RELOAD, |context| async move { scale_down(&context).await })
            .needs(RELOAD, |_| vec!["await-nginx-name/1".to_owned()])
            .caught_by(&["dns-service-endpoints"]),
    ]
}

fn edited(id: &str, title: &str, wrong: Wrong) -> Fault {
    Fault::new(id, format!("{title} [Corefile of cluster 1]"))
        .instead(EDIT, move |context, scope| corefiles::edit(context, scope, wrong))
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
