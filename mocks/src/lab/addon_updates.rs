//! Carries the updates of EKS add-ons out in the clusters.
//!
//! Of all that an add-on consists of this is the Corefile of coredns alone: it is what people edit. An update that may
//! overwrite puts the Corefile of the add-on back; one that may not fails where somebody has changed it; one that
//! preserves leaves it. A Corefile in `configurationValues` is the add-on's own, and is put there. Versions of programs
//! stay as they are.
//!
//! Source: EKS user guide, "Update an Amazon EKS add-on" and UpdateAddon, `resolveConflicts`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::addons::{COREDNS, COREFILE};
use super::load_balancers::ANY_REGION;
use super::world::World;
use crate::aws::eks::{Update, UpdateStatus};
use crate::kubernetes::cluster::Cluster;
use crate::network::FabricSource as _;

/// An update that waits to be carried out.
struct Waiting {
    region: String,
    cluster: String,
    id: String,
    update: Update,
    /// What the add-on is configured with.
    configuration: Option<String>,
}

/// Carries updates out for ever.
pub(super) async fn follow(world: Arc<World>) {
    let mut changes = world.aws.changes();
    loop {
        changes.borrow_and_update();
        for it in waiting(&world) {
            let status = match world.cluster(&it.region, &it.cluster) {
                Some(cluster) if it.update.addon == COREDNS => carry_out(&cluster, &it).await,
                _ => UpdateStatus::Successful,
            };
            world.aws.with(&it.region, |state, _| {
                let cluster = state.eks.clusters.get_mut(&(it.region.clone(), it.cluster.clone()));
                if let Some(update) = cluster.and_then(|cluster| cluster.updates.get_mut(&it.id)) {
                    update.status = status;
                }
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn waiting(world: &World) -> Vec<Waiting> {
    world.aws.read(ANY_REGION, |state, _| {
        let mut waiting = Vec::new();
        for ((region, name), cluster) in &state.eks.clusters {
            for (id, update) in cluster.updates.iter().filter(|(_, it)| it.status == UpdateStatus::InProgress) {
                waiting.push(Waiting {
                    region: region.clone(),
                    cluster: name.clone(),
                    id: id.clone(),
                    update: update.clone(),
                    configuration: cluster.addons.get(&update.addon).and_then(|it| it.configuration.clone()),
                });
            }
        }
        waiting
    })
}

async fn carry_out(cluster: &Cluster, it: &Waiting) -> UpdateStatus {
    let configured = it.configuration.as_deref().and_then(|text| serde_saphyr::from_str::<Value>(text).ok());
    let configured = configured.as_ref().and_then(|value| value.get("corefile")?.as_str());
    let own = configured.unwrap_or(COREFILE);
    let conflicts = it.update.params.iter().find(|(kind, _)| *kind == "ResolveConflicts").map(|(_, how)| how.as_str());
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "kube-system");
    let seen = match api.get(COREDNS).await {
        Ok(seen) => seen.data.unwrap_or_default().remove("Corefile"),
        Err(error) => return UpdateStatus::Failed(format!("the ConfigMap {COREDNS} cannot be read: {error}")),
    };
    let is_edited = seen.as_deref() != Some(own);
    match conflicts {
        _ if !is_edited => UpdateStatus::Successful,
        Some("PRESERVE") => UpdateStatus::Successful,
        Some("OVERWRITE") => {
            let corefile = Patch::Merge(json!({ "data": { "Corefile": own } }));
            match api.patch(COREDNS, &PatchParams::default(), &corefile).await {
                Ok(_) => UpdateStatus::Successful,
                Err(error) => UpdateStatus::Failed(format!("the ConfigMap {COREDNS} cannot be written: {error}")),
            }
        }
        _ => UpdateStatus::Failed(format!(
            "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts: ConfigMap \
             {COREDNS} - .data.Corefile"
        )),
    }
}
