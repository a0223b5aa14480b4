//! ReplicaSets: as many pods as wanted.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::control_loop::is_not_found;
use super::{Informers, Reconcile, ReconcileError, pods};

/// Creates and deletes the pods of ReplicaSets. Pods are found by owner reference only: orphans are not adopted.
pub struct ReplicaSets {
    /// Client.
    pub client: Client,
    /// What exists.
    pub informers: Arc<Informers>,
}

impl Reconcile for ReplicaSets {
    const NAME: &'static str = "replicaset";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        for set in self.informers.replica_sets.list() {
            if set.metadata.deletion_timestamp.is_none() {
                self.scale(&set).await?;
                self.report(&set).await?;
            }
        }
        Ok(())
    }
}

impl ReplicaSets {
    fn owned(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let pods = self.informers.pods.list().into_iter();
        pods.filter(|pod| pod.namespace() == set.namespace() && pods::is_controlled_by(pod.as_ref(), uid)).collect()
    }

    async fn scale(&self, set: &ReplicaSet) -> Result<(), ReconcileError> {
        let spec = set.spec.clone().unwrap_or_default();
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let mut active: Vec<_> = self.owned(set).into_iter().filter(|pod| pods::is_active(pod)).collect();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let template = spec.template.unwrap_or_default();
        for _ in active.len()..wanted {
            let pod = api.create(&PostParams::default(), &pods::from_template(set, &template)).await?;
            self.informers.pods.observe(pod);
        }
        if active.len() > wanted {
            pods::by_dispensability(&mut active);
            for pod in &active[..active.len() - wanted] {
                match api.delete(&pod.name_any(), &DeleteParams::default()).await {
                    Ok(answer) => {
                        if let Some(pod) = answer.left() {
                            self.informers.pods.observe(pod);
                        }
                    }
                    Err(error) if is_not_found(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    async fn report(&self, set: &ReplicaSet) -> Result<(), ReconcileError> {
        let active: Vec<_> = self.owned(set).into_iter().filter(|pod| pods::is_active(pod)).collect();
        let ready = active.iter().filter(|pod| pods::is_ready(pod)).count();
        let status = json!({
            "replicas": active.len(),
            "fullyLabeledReplicas": active.len(),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": set.metadata.generation,
        });
        if is_status(set.status.as_ref(), &status)? {
            return Ok(());
        }
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({ "status": status }));
        match api.patch_status(&set.name_any(), &PatchParams::default(), &patch).await {
            Ok(set) => self.informers.replica_sets.observe(set),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Whether a status already says what `wanted` does, absent numbers being zero.
pub(super) fn is_status(
    known: Option<&impl serde::Serialize>,
    wanted: &serde_json::Value,
) -> Result<bool, serde_json::Error> {
    let known = known.map(serde_json::to_value).transpose()?.unwrap_or_default();
    let Some(wanted) = wanted.as_object() else { return Ok(false) };
    Ok(wanted.iter().all(|(field, value)| match known.get(field) {
        Some(known) => known == value,
        None => value.is_null() || value.as_u64() == Some(0),
    }))
}
