//! The scheduler: which node a pod runs on.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Binding, Node, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, Pod, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::control_loop::{is_conflict, is_not_found};
use super::events::{Recorder, Severity};
use super::{Informers, Key, Reconcile, ReconcileError, key_of, pods};

/// Binds pods to nodes: `nodeName`, `nodeSelector`, required node affinity, taints and `unschedulable`. Among the nodes
/// that fit, the one with the fewest pods of the same controller and then the fewest pods at all. Resources, pod affinity
/// and topology spread constraints are not looked at.
pub struct Scheduler {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    /// Pods reported as unschedulable, with what was said.
    reported: BTreeMap<Key, String>,
    /// Uids of pods that were bound and that the watch has not brought back yet, with their nodes.
    assumed: BTreeMap<String, String>,
}

impl Scheduler {
    /// A scheduler.
    pub fn new(client: Client, informers: Arc<Informers>, recorder: Recorder) -> Self {
        Self { client, informers, recorder, reported: BTreeMap::new(), assumed: BTreeMap::new() }
    }

    /// Binds a pod. Returns whether it is bound now.
    async fn bind(&self, pod: &Pod, node: &Node) -> Result<bool, ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        let binding = Binding {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: pod.namespace(), ..ObjectMeta::default() },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.name_any()),
                ..ObjectReference::default()
            },
        };
        let answer: Result<Status, _> =
            api.create_subresource("binding", &name, &PostParams::default(), &binding).await;
        match answer {
            // Gone, being deleted, or bound by another scheduler: the watch will tell.
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(true),
        }
    }

    async fn report(&mut self, pod: &Pod, message: String) -> Result<(), ReconcileError> {
        if self.reported.get(&key_of(pod)) == Some(&message) {
            return Ok(());
        }
        self.recorder.event("default-scheduler", pod, Severity::Warning, "FailedScheduling", message.as_str());
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": jiff::Timestamp::now().to_string(),
        });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        match api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await {
            Err(error) if !is_not_found(&error) => return Err(error.into()),
            _ => {}
        }
        self.reported.insert(key_of(pod), message);
        Ok(())
    }
}

impl Reconcile for Scheduler {
    const NAME: &'static str = "scheduler";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let mut all = self.informers.pods.list();
        self.reported.retain(|key, _| all.iter().any(|pod| key_of(pod.as_ref()) == *key));
        let nodes = self.informers.nodes.list();
        let waits = |uid: &String| all.iter().any(|pod| pods::node(pod).is_none() && pod.uid().as_ref() == Some(uid));
        self.assumed.retain(|uid, _| waits(uid));
        for pod in &mut all {
            if let Some(node) = pod.uid().and_then(|uid| self.assumed.get(&uid)) {
                *pod = on_node(pod, node);
            }
        }
        for index in 0..all.len() {
            let pod = Arc::clone(&all[index]);
            let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
            if pods::node(&pod).is_some()
                || !pods::is_active(&pod)
                || scheduler.is_some_and(|name| name != "default-scheduler")
            {
                continue;
            }
            match choose(&pod, &nodes, &all) {
                Ok(node) => {
                    if self.bind(&pod, node).await? {
                        self.assumed.insert(pod.uid().unwrap_or_default(), node.name_any());
                    }
                    all[index] = on_node(&pod, &node.name_any());
                }
                Err(message) => self.report(&pod, message).await?,
            }
        }
        Ok(())
    }
}

/// The pod as it is once it is bound.
fn on_node(pod: &Pod, node: &str) -> Arc<Pod> {
    let mut bound = pod.clone();
    bound.spec.get_or_insert_default().node_name = Some(node.to_owned());
    Arc::new(bound)
}

/// The best node for a pod, or why there is none, in the scheduler's words.
fn choose<'a>(pod: &Pod, nodes: &'a [Arc<Node>], all: &[Arc<Pod>]) -> Result<&'a Node, String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for node in nodes {
        match misfit(pod, node) {
            None => fitting.push(node.as_ref()),
            Some(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| &owner.uid);
    let load = |node: &Node| {
        let name = node.name_any();
        let here = all.iter().filter(|other| pods::node(other) == Some(&name) && !pods::is_finished(other));
        let siblings =
            here.clone().filter(|other| owner.is_some_and(|uid| pods::is_controlled_by(other.as_ref(), uid)));
        (siblings.count(), here.count(), name)
    };
    fitting.into_iter().min_by_key(|node| load(node)).ok_or_else(|| {
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        match reasons.is_empty() {
            true => "no nodes available to schedule pods".to_owned(),
            false => format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", ")),
        }
    })
}

/// Why a pod cannot run on a node, if it cannot.
pub fn misfit(pod: &Pod, node: &Node) -> Option<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let node_spec = node.spec.clone().unwrap_or_default();
    let tolerated = |taint: &Taint| {
        spec.tolerations.iter().flatten().any(|toleration| {
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let key = toleration.key.as_deref().unwrap_or_default();
            let exists = toleration.operator.as_deref() == Some("Exists");
            (effect.is_empty() || effect == taint.effect)
                && (key == taint.key || (key.is_empty() && exists))
                && (exists
                    || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
        })
    };
    if node_spec.unschedulable == Some(true) {
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if !tolerated(&taint) {
            return Some("node(s) were unschedulable".to_owned());
        }
    }
    let taints = node_spec.taints.unwrap_or_default();
    let hard = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    if let Some(taint) = taints.iter().filter(hard).find(|taint| !tolerated(taint)) {
        let value = taint.value.as_deref().unwrap_or_default();
        return Some(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key));
    }
    let labels = node.labels();
    let selector = spec.node_selector.unwrap_or_default();
    let selected = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec.affinity.and_then(|affinity| affinity.node_affinity);
    let required = required.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution);
    let affine = required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, node)));
    (!selected || !affine).then(|| "node(s) didn't match Pod's node affinity/selector".to_owned())
}

fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // A term without requirements matches nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|required| holds(required, node.labels().get(&required.key)))
        && fields.iter().all(|required| required.key == "metadata.name" && holds(required, Some(&node.name_any())))
}

fn holds(required: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = required.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let compare = |order| {
        let (have, than) = (value.and_then(number), values.first().and_then(number));
        have.zip(than).is_some_and(|(have, than)| have.cmp(&than) == order)
    };
    match required.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, spec: Value, labels: Value) -> Arc<Node> {
        let object = json!({ "metadata": { "name": name, "labels": labels }, "spec": spec });
        serde_json::from_value(object).map(Arc::new).expect("a node")
    }

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).expect("a pod")
    }

    #[rstest]
    #[case::anything(json!({}), json!({}), None)]
    #[case::selector(
        json!({ "nodeSelector": { "zone": "b" } }), json!({}), Some("node(s) didn't match Pod's node affinity/selector")
    )]
    #[case::taint(
        json!({}), json!({ "taints": [{ "key": "dedicated", "value": "pd", "effect": "NoSchedule" }] }),
        Some("node(s) had untolerated taint {dedicated: pd}")
    )]
    #[case::tolerated(
        json!({ "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "pd", "effect": "NoSchedule" }] }),
        json!({ "taints": [{ "key": "dedicated", "value": "pd", "effect": "NoSchedule" }] }), None
    )]
    #[case::all_tolerated(
        json!({ "tolerations": [{ "operator": "Exists" }] }),
        json!({ "unschedulable": true, "taints": [{ "key": "x", "effect": "NoExecute" }] }), None
    )]
    #[case::preference_only(
        json!({}), json!({ "taints": [{ "key": "x", "effect": "PreferNoSchedule" }] }), None
    )]
    #[case::cordoned(json!({}), json!({ "unschedulable": true }), Some("node(s) were unschedulable"))]
    fn a_pod_fits_or_the_reason_is_named(
        #[case] pod_spec: Value,
        #[case] node_spec: Value,
        #[case] expected: Option<&str>,
    ) {
        let node = node("a", node_spec, json!({ "zone": "a" }));
        assert_eq!(misfit(&pod(pod_spec), &node).as_deref(), expected);
    }

    #[test]
    fn pods_spread_and_reasons_are_counted() {
        let nodes = [node("a", json!({}), json!({})), node("b", json!({}), json!({}))];
        let taken = Arc::new(pod(json!({ "nodeName": "a", "containers": [] })));
        let chosen = choose(&pod(json!({})), &nodes, &[taken]).map(|node| node.name_any());
        assert_eq!(chosen.as_deref(), Ok("b"));
        let nowhere = choose(&pod(json!({ "nodeSelector": { "k": "v" } })), &nodes, &[]).map(|_| ());
        assert_eq!(
            nowhere,
            Err("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.".to_owned())
        );
    }
}
