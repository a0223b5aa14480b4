//! Deployments: rolling from one ReplicaSet to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::control_loop::is_not_found;
use super::replica_sets::is_status;
use super::{Informers, Reconcile, ReconcileError, pods};

const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Keeps one ReplicaSet per pod template and moves the pods to the newest. `minReadySeconds`, pausing, progress deadlines
/// and proportional scaling are not emulated; `revisionHistoryLimit` is.
pub struct Deployments {
    /// Client.
    pub client: Client,
    /// What exists.
    pub informers: Arc<Informers>,
}

impl Reconcile for Deployments {
    const NAME: &'static str = "deployment";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        for deployment in self.informers.deployments.list() {
            if deployment.metadata.deletion_timestamp.is_none() {
                self.roll(&deployment).await?;
            }
        }
        Ok(())
    }
}

impl Deployments {
    async fn roll(&self, deployment: &Deployment) -> Result<(), ReconcileError> {
        let spec = deployment.spec.clone().unwrap_or_default();
        let wanted = spec.replicas.unwrap_or(1);
        let hash = pods::short_hash(&spec.template)?;
        let mut sets = self.owned(deployment);
        let newest = sets.iter().position(|set| set.labels().get(HASH_LABEL) == Some(&hash));
        let new = match newest {
            Some(index) => sets.remove(index),
            None => self.create(deployment, &spec, &hash, &sets).await?,
        };
        let (surge, unavailable) = limits(&spec, wanted);
        let mut others: i32 = sets.iter().map(|set| replicas(set)).sum();
        let new_available = available(&new);
        // Old pods may go as far as enough stay available; those that are not available anyway go first.
        let mut spare =
            (new_available + sets.iter().map(|set| available(set)).sum::<i32>() - (wanted - unavailable)).max(0);
        for set in &sets {
            let have = replicas(set);
            let broken = (have - available(set)).max(0);
            let mut remove = broken;
            let take = spare.min(have - broken);
            spare -= take;
            remove += take;
            if remove > 0 {
                self.scale(set, have - remove).await?;
                others -= remove;
            }
        }
        // Removed pods still count until their end is seen: the surge is about what is wanted, as upstream.
        let room = (wanted + surge - others).max(0);
        let recreate = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
        let target = match recreate {
            true if self.has_pods(&sets) => 0,
            true => wanted,
            false => wanted.min(room.max(if replicas(&new) > wanted { wanted } else { replicas(&new) })),
        };
        if replicas(&new) != target {
            self.scale(&new, target).await?;
        }
        self.forget(&spec, &sets).await?;
        self.report(deployment, &new, &sets, wanted).await
    }

    fn owned(&self, deployment: &Deployment) -> Vec<Arc<ReplicaSet>> {
        let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
        let sets = self.informers.replica_sets.list().into_iter();
        let mut sets: Vec<_> = sets.filter(|set| pods::is_controlled_by(set.as_ref(), uid)).collect();
        sets.sort_by_key(|set| revision(set));
        sets
    }

    fn has_pods(&self, sets: &[Arc<ReplicaSet>]) -> bool {
        let all = self.informers.pods.list();
        sets.iter()
            .filter_map(|set| set.metadata.uid.as_deref())
            .any(|uid| all.iter().any(|pod| pods::is_controlled_by(pod.as_ref(), uid) && !pods::is_finished(pod)))
    }

    async fn create(
        &self,
        deployment: &Deployment,
        spec: &DeploymentSpec,
        hash: &str,
        old: &[Arc<ReplicaSet>],
    ) -> Result<Arc<ReplicaSet>, ReconcileError> {
        let label = BTreeMap::from([(HASH_LABEL.to_owned(), hash.to_owned())]);
        let mut selector = spec.selector.clone();
        selector.match_labels.get_or_insert_default().extend(label.clone());
        let mut template = spec.template.clone();
        template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(label);
        let number = old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
        // At first as many as may be: the first roll after this would only scale it up again.
        let (surge, _) = limits(spec, spec.replicas.unwrap_or(1));
        let others: i32 = old.iter().map(|set| replicas(set)).sum();
        let recreate = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
        let wanted = spec.replicas.unwrap_or(1);
        let count = if recreate && others > 0 { 0 } else { wanted.min(wanted + surge - others).max(0) };
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", deployment.name_any())),
                namespace: deployment.namespace(),
                labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
                annotations: Some(BTreeMap::from([(REVISION.to_owned(), number.to_string())])),
                owner_references: Some(vec![pods::controller_reference(deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(count),
                selector,
                template: Some(template),
                min_ready_seconds: None,
            }),
            status: None,
        };
        let set = self.sets(deployment.namespace()).create(&PostParams::default(), &set).await?;
        self.informers.replica_sets.observe(set.clone());
        Ok(Arc::new(set))
    }

    fn sets(&self, namespace: Option<String>) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &namespace.unwrap_or_default())
    }

    async fn scale(&self, set: &ReplicaSet, to: i32) -> Result<(), ReconcileError> {
        let patch = Patch::Merge(json!({ "spec": { "replicas": to } }));
        let api = self.sets(set.namespace());
        self.informers.replica_sets.observe(api.patch(&set.name_any(), &PatchParams::default(), &patch).await?);
        Ok(())
    }

    /// Deletes the oldest empty ReplicaSets beyond the history limit.
    async fn forget(&self, spec: &DeploymentSpec, old: &[Arc<ReplicaSet>]) -> Result<(), ReconcileError> {
        let keep = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let empty = old
            .iter()
            .filter(|set| replicas(set) == 0 && set.status.as_ref().is_none_or(|status| status.replicas == 0));
        let empty: Vec<_> = empty.collect();
        for set in empty.iter().take(empty.len().saturating_sub(keep)) {
            match self.sets(set.namespace()).delete(&set.name_any(), &DeleteParams::default()).await {
                Ok(_) => {}
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn report(
        &self,
        deployment: &Deployment,
        new: &ReplicaSet,
        old: &[Arc<ReplicaSet>],
        wanted: i32,
    ) -> Result<(), ReconcileError> {
        let count = |of: fn(&ReplicaSet) -> i32| of(new) + old.iter().map(|set| of(set)).sum::<i32>();
        let total = count(|set| set.status.as_ref().map_or(0, |status| status.replicas));
        let up = count(available);
        let updated = new.status.as_ref().map_or(0, |status| status.replicas);
        let enough = up >= wanted - limits(&deployment.spec.clone().unwrap_or_default(), wanted).1;
        let done = updated == wanted && total == wanted && up >= wanted;
        let status = json!({
            "observedGeneration": deployment.metadata.generation,
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": up,
            "availableReplicas": up,
            "unavailableReplicas": (wanted.max(total) - up).max(0),
        });
        let known = deployment.status.as_ref();
        let is = |type_: &str| {
            let conditions = known.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
            conditions
                .iter()
                .find(|condition| condition.type_ == type_)
                .map(|known| (known.status == "True", known.reason.clone()))
        };
        let progress = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
        let same_conditions = is("Available").is_some_and(|(is, _)| is == enough)
            && is("Progressing").is_some_and(|(_, reason)| reason.as_deref() == Some(progress));
        if is_status(known, &status)? && same_conditions {
            return Ok(());
        }
        let now = jiff::Timestamp::now().to_string();
        let condition = |type_: &str, is: bool, reason: &str, message: String| {
            json!({
                "type": type_, "status": if is { "True" } else { "False" }, "reason": reason, "message": message,
                "lastUpdateTime": now, "lastTransitionTime": now,
            })
        };
        let name = new.name_any();
        let conditions = [
            match enough {
                true => condition(
                    "Available",
                    true,
                    "MinimumReplicasAvailable",
                    "Deployment has minimum availability.".into(),
                ),
                false => condition(
                    "Available",
                    false,
                    "MinimumReplicasUnavailable",
                    "Deployment does not have minimum availability.".into(),
                ),
            },
            match done {
                true => condition(
                    "Progressing",
                    true,
                    progress,
                    format!("ReplicaSet \"{name}\" has successfully progressed."),
                ),
                false => condition("Progressing", true, progress, format!("ReplicaSet \"{name}\" is progressing.")),
            },
        ];
        let mut status = status;
        status["conditions"] = Value::from(conditions.to_vec());
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &deployment.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({ "status": status }));
        match api.patch_status(&deployment.name_any(), &PatchParams::default(), &patch).await {
            Ok(deployment) => self.informers.deployments.observe(deployment),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn revision(set: &ReplicaSet) -> u64 {
    set.annotations().get(REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Pods that are available and not about to go.
fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0).min(replicas(set))
}

/// How many pods there may be beyond those wanted, and how many may be missing: `maxSurge` rounded up and
/// `maxUnavailable` rounded down, the latter 1 where both would be 0.
fn limits(spec: &DeploymentSpec, wanted: i32) -> (i32, i32) {
    let strategy = spec.strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return (0, wanted);
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    let resolve = |limit: Option<IntOrString>, up: bool| match limit {
        Some(IntOrString::Int(count)) => count,
        Some(IntOrString::String(percent)) => {
            let percent = percent.trim_end_matches('%').parse().unwrap_or(25);
            (wanted * percent + if up { 99 } else { 0 }) / 100
        }
        None => (wanted * 25 + if up { 99 } else { 0 }) / 100,
    };
    let (surge, unavailable) = (resolve(rolling.max_surge, true), resolve(rolling.max_unavailable, false));
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::default_of_two(None, None, 2, (1, 0))]
    #[case::default_of_ten(None, None, 10, (3, 2))]
    #[case::never_stuck(Some(IntOrString::Int(0)), Some(IntOrString::String("10%".into())), 2, (0, 1))]
    #[case::numbers(Some(IntOrString::Int(1)), Some(IntOrString::Int(2)), 9, (1, 2))]
    fn limits_round_as_upstream(
        #[case] max_surge: Option<IntOrString>,
        #[case] max_unavailable: Option<IntOrString>,
        #[case] wanted: i32,
        #[case] expected: (i32, i32),
    ) {
        let strategy = DeploymentStrategy {
            type_: None,
            rolling_update: Some(RollingUpdateDeployment { max_surge, max_unavailable }),
        };
        let spec = DeploymentSpec { strategy: Some(strategy), ..DeploymentSpec::default() };
        assert_eq!(limits(&spec, wanted), expected);
    }
}
