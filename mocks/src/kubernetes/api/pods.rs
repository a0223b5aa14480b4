//! Subresources of pods that need no node: binding and eviction. Those that do find its kubelet here.

use std::sync::Arc;

use serde_json::{Value, json};

use super::delete::DeleteOptions;
use super::object::{self, object_mut, text};
use super::request::{Request, Target, WriteOptions};
use super::selector::LabelSelector;
use super::status::{ApiError, success};
use super::{Kubelet, KubeletError, Shared};

impl Shared {
    /// POST of a Binding: the scheduler's decision.
    pub(super) fn bind(&self, target: &Target, request: &Request, options: &WriteOptions) -> Result<Value, ApiError> {
        let binding = request.object()?;
        let node = text(&binding, "/target/name").to_owned();
        if node.is_empty() {
            return Err(ApiError::bad_request("target.name: Required value"));
        }
        let name = target.name.as_deref().unwrap_or_default();
        let plain = Target { subresource: None, ..target.clone() };
        self.store.with(|state| {
            let key = plain.key(name);
            let found = state.get(&key).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
            if object::is_deleting(found.value()) {
                return Err(ApiError::conflict(
                    &target.ty,
                    name,
                    &format!("pod {name} is being deleted, cannot be assigned to a host"),
                ));
            }
            let present = text(found.value(), "/spec/nodeName");
            if !present.is_empty() {
                return Err(ApiError::conflict(
                    &target.ty,
                    name,
                    &format!("pod {name} is already assigned to node {present:?}"),
                ));
            }
            let mut pod = found.value().clone();
            object_mut(&mut pod, "spec").insert("nodeName".to_owned(), json!(node));
            let conditions = object_mut(&mut pod, "status").entry("conditions").or_insert_with(|| json!([]));
            if let Some(conditions) = conditions.as_array_mut() {
                conditions.retain(|it| it["type"] != "PodScheduled");
                conditions
                    .push(json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": object::now() }));
            }
            if !options.dry_run {
                state.put(&key, pod);
            }
            Ok(success(None))
        })
    }

    /// POST of an Eviction: a deletion that a disruption budget can refuse.
    pub(super) fn evict(&self, target: &Target, request: &Request) -> Result<Value, ApiError> {
        let eviction = request.object()?;
        let name = target.name.as_deref().unwrap_or_default();
        let plain = Target { subresource: None, ..target.clone() };
        let pod = self.read(&plain)?;
        let budget = self.store.with(|state| {
            let (table, _) = state.resolve("policy", "poddisruptionbudgets")?;
            let budgets = state.scan(table, target.namespace.as_deref(), None);
            budgets
                .map(|it| it.value())
                .filter(|it| LabelSelector::from_value(&it["spec"]["selector"]).matches(pod.value()))
                .find(|it| it.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or_default() < 1)
                .map(|it| object::name(it).to_owned())
        });
        if let Some(budget) = budget {
            return Err(ApiError::disruption_budget(&budget));
        }
        let grace = eviction.pointer("/deleteOptions/gracePeriodSeconds").and_then(Value::as_i64);
        self.delete_key(&target.ty, &plain.key(name), &DeleteOptions { grace, ..DeleteOptions::default() })?;
        Ok(success(None))
    }

    /// The kubelet of a pod's node, and the container that a request means.
    pub(super) fn kubelet_of(
        &self,
        target: &Target,
        container: Option<&str>,
    ) -> Result<(Arc<dyn Kubelet>, Option<String>), ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let plain = Target { subresource: None, ..target.clone() };
        let pod = self.read(&plain)?;
        let containers: Vec<&str> = pod
            .value()
            .pointer("/spec/containers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|it| text(it, "/name"))
            .collect();
        let container = match container {
            Some(wanted) if containers.contains(&wanted) => Some(wanted.to_owned()),
            Some(wanted) => {
                return Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}")));
            }
            None => {
                let annotation = pod.value().pointer("/metadata/annotations/kubectl.kubernetes.io~1default-container");
                let annotated = annotation.and_then(Value::as_str).filter(|it| containers.contains(it));
                annotated.or(containers.first().copied()).map(str::to_owned)
            }
        };
        let node = text(pod.value(), "/spec/nodeName");
        if node.is_empty() {
            return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let kubelet = self.kubelets.read().get(node).cloned();
        let kubelet = kubelet
            .ok_or_else(|| ApiError::internal(format!("Get \"https://{node}:10250\": no kubelet answers there")))?;
        Ok((kubelet, container))
    }
}

/// A kubelet's refusal as the API server passes it on.
pub(super) fn refused(error: &KubeletError) -> ApiError {
    match error {
        KubeletError::ContainerNotFound { .. } | KubeletError::NotRunning { .. } => {
            ApiError::bad_request(error.to_string())
        }
        KubeletError::PodNotFound(_) | KubeletError::PortRefused { .. } | KubeletError::Internal(_) => {
            ApiError::internal(error.to_string())
        }
    }
}
