//! DaemonSets: one pod on each node.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod, Toleration};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::control_loop::is_not_found;
use super::replica_sets::is_status;
use super::{Informers, Reconcile, ReconcileError, pods, scheduler};

const HASH_LABEL: &str = "controller-revision-hash";

/// Runs a pod of each DaemonSet on each node that it fits. Pods are bound by name instead of through node affinity, and a
/// changed template replaces pods node by node (`maxUnavailable: 1`), unless `updateStrategy` is `OnDelete`.
pub struct DaemonSets {
    /// Client.
    pub client: Client,
    /// What exists.
    pub informers: Arc<Informers>,
}

impl Reconcile for DaemonSets {
    const NAME: &'static str = "daemonset";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let nodes = self.informers.nodes.list();
        for set in self.informers.daemon_sets.list() {
            if set.metadata.deletion_timestamp.is_none() {
                self.sync(&set, &nodes).await?;
            }
        }
        Ok(())
    }
}

impl DaemonSets {
    async fn sync(&self, set: &DaemonSet, nodes: &[Arc<Node>]) -> Result<(), ReconcileError> {
        let spec = set.spec.clone().unwrap_or_default();
        let hash = pods::short_hash(&spec.template)?;
        let mut template = pods::from_template(set, &spec.template);
        template.metadata.labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
        let pod_spec = template.spec.get_or_insert_default();
        let every = |key: &str, effect: &str| Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        pod_spec.tolerations.get_or_insert_default().extend([
            every("node.kubernetes.io/not-ready", "NoExecute"),
            every("node.kubernetes.io/unreachable", "NoExecute"),
            every("node.kubernetes.io/unschedulable", "NoSchedule"),
        ]);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let all = self.informers.pods.list();
        let owned = all.iter().filter(|pod| pods::is_controlled_by(pod.as_ref(), uid));
        let mut by_node: BTreeMap<&str, &Arc<Pod>> =
            owned.filter_map(|pod| pods::node(pod).map(|node| (node, pod))).collect();
        let (mut desired, mut scheduled, mut ready, mut updated) = (0, 0, 0, 0);
        // At most one node is without a ready pod because of an update.
        let may_replace = spec.update_strategy.and_then(|strategy| strategy.type_).as_deref() != Some("OnDelete")
            && by_node.values().all(|pod| pods::is_ready(pod) && pods::is_active(pod));
        let mut replaced = false;
        for node in nodes.iter().filter(|node| scheduler::misfit(&template, node).is_none()) {
            let name = node.name_any();
            desired += 1;
            match by_node.remove(name.as_str()) {
                None => {
                    let mut pod = template.clone();
                    pod.spec.get_or_insert_default().node_name = Some(name);
                    self.informers.pods.observe(api.create(&PostParams::default(), &pod).await?);
                    scheduled += 1;
                    updated += 1;
                }
                Some(pod) => {
                    scheduled += 1;
                    ready += i32::from(pods::is_ready(pod) && pods::is_active(pod));
                    let current = pod.labels().get(HASH_LABEL) == Some(&hash);
                    updated += i32::from(current);
                    let replace = !current && may_replace && !replaced;
                    if (replace || pods::is_finished(pod)) && pod.metadata.deletion_timestamp.is_none() {
                        replaced |= replace;
                        self.delete(&api, pod).await?;
                    }
                }
            }
        }
        let misplaced = by_node.len();
        for pod in by_node.values().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            self.delete(&api, pod).await?;
        }
        let status = json!({
            "currentNumberScheduled": scheduled,
            "desiredNumberScheduled": desired,
            "numberAvailable": ready,
            "numberMisscheduled": misplaced,
            "numberReady": ready,
            "numberUnavailable": desired - ready,
            "updatedNumberScheduled": updated,
            "observedGeneration": set.metadata.generation,
        });
        if is_status(set.status.as_ref(), &status)? {
            return Ok(());
        }
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({ "status": status }));
        match api.patch_status(&set.name_any(), &PatchParams::default(), &patch).await {
            Ok(set) => self.informers.daemon_sets.observe(set),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn delete(&self, api: &Api<Pod>, pod: &Pod) -> Result<(), ReconcileError> {
        match api.delete(&pod.name_any(), &DeleteParams::default()).await {
            Ok(answer) => {
                if let Some(pod) = answer.left() {
                    self.informers.pods.observe(pod);
                }
                Ok(())
            }
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
