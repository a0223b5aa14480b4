//! Scale, binding, eviction and the finalising of namespaces.

use serde_json::{Value, json};

use super::Shared;
use super::delete::DeleteOptions;
use super::object::{self, metadata_mut, object_mut, text};
use super::patch::{Patch, Schema};
use super::request::{Target, WriteOptions};
use super::resources::ScalePaths;
use super::selector::LabelSelector;
use super::status::{ApiError, FieldError};

impl Shared {
    /// `GET …/scale`.
    pub(super) fn scale(&self, target: &Target) -> Result<Value, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let object = self.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
        Ok(scale_of(object.value(), scale_paths(target)?))
    }

    /// `PUT …/scale`.
    pub(super) fn replace_scale(
        &self,
        target: &Target,
        scale: &Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        self.change_scale(target, options, |_| Ok(scale.clone()))
    }

    /// `PATCH …/scale`.
    pub(super) fn patch_scale(
        &self,
        target: &Target,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        self.change_scale(target, options, |current| match patch {
            Patch::Apply(config) => {
                let mut scale = current.clone();
                json_patch::merge(&mut scale, config);
                metadata_mut(&mut scale).shift_remove("resourceVersion");
                Ok(scale)
            }
            patch => patch.patched(current, &Schema::Builtin("Scale")),
        })
    }

    fn change_scale(
        &self,
        target: &Target,
        options: &WriteOptions,
        change: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let paths = scale_paths(target)?;
        let whole = Target { subresource: None, ..target.clone() };
        let written = self.update(&whole, options, |current| {
            let scale = change(&scale_of(current, paths))?;
            let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
            if replicas < 0 {
                let error =
                    FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
                return Err(ApiError::invalid(&target.ty, object::name(current), &[error]));
            }
            let mut changed = current.clone();
            let revision = object::meta(&scale, "resourceVersion");
            if !revision.is_empty() {
                metadata_mut(&mut changed).insert("resourceVersion".to_owned(), json!(revision));
            }
            let mut at = &mut changed;
            let mut steps = paths.spec_replicas.split('/').filter(|step| !step.is_empty()).peekable();
            while let Some(step) = steps.next() {
                if steps.peek().is_none() {
                    if let Some(map) = at.as_object_mut() {
                        map.insert(step.to_owned(), json!(replicas));
                    }
                    break;
                }
                object_mut(at, step);
                match at.get_mut(step) {
                    Some(child) => at = child,
                    None => break,
                }
            }
            Ok(changed)
        })?;
        Ok(scale_of(written.object.value(), paths))
    }

    /// `POST …/pods/NAME/binding`, what a scheduler does.
    pub(super) fn bind(&self, target: &Target, binding: &Value, options: &WriteOptions) -> Result<(), ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let node = text(binding, "/target/name");
        if node.is_empty() {
            return Err(ApiError::invalid(&target.ty, name, &[FieldError::required("target.name", "")]));
        }
        self.store.with(|state| {
            let key = target.key(name);
            let current = state.get(&key).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
            if object::is_deleting(current.value()) {
                let why = format!("pod {name} is being deleted, cannot be assigned to a host");
                return Err(ApiError::conflict(&target.ty, name, &why));
            }
            let assigned = text(current.value(), "/spec/nodeName");
            if !assigned.is_empty() {
                let why = format!("pod {name} is already assigned to node {assigned:?}");
                return Err(ApiError::conflict(&target.ty, name, &why));
            }
            let mut bound = current.value().clone();
            object_mut(&mut bound, "spec").insert("nodeName".to_owned(), json!(node));
            let conditions = object_mut(&mut bound, "status").entry("conditions").or_insert_with(|| json!([]));
            if let Some(conditions) = conditions.as_array_mut() {
                conditions.retain(|condition| text(condition, "/type") != "PodScheduled");
                conditions
                    .push(json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": object::now() }));
            }
            if !options.dry_run {
                state.put(&key, bound);
            }
            Ok(())
        })
    }

    /// `POST …/pods/NAME/eviction`. Refused while a disruption budget of the pod allows no disruption. A budget without
    /// a status, which no controller has looked at, allows it, unlike on the real server; none is used up.
    pub(super) fn evict(&self, target: &Target, eviction: &Value, dry_run: bool) -> Result<(), ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let pod = self.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
        let budget = self.store.with(|state| {
            let (table, _) = state.resolve("policy", "poddisruptionbudgets")?;
            let budgets = state.scan(table, target.namespace.as_deref(), None);
            let exhausted = budgets.map(|budget| budget.value()).find(|budget| {
                budget.pointer("/status/disruptionsAllowed") == Some(&json!(0))
                    && LabelSelector::from_value(&budget["spec"]["selector"]).matches(pod.value())
            });
            exhausted.map(|budget| object::name(budget).to_owned())
        });
        if let Some(budget) = budget {
            return Err(ApiError::disruption_budget(&budget));
        }
        let body = eviction.get("deleteOptions").map(|options| options.to_string()).unwrap_or_default();
        let mut options = DeleteOptions::parse(&super::request::Query::default(), body.as_bytes())?;
        options.dry_run |= dry_run;
        self.delete(&Target { subresource: None, ..target.clone() }, &options).map(drop)
    }
}

fn scale_paths(target: &Target) -> Result<&ScalePaths, ApiError> {
    let scale = target.ty.version(&target.version).and_then(|version| version.scale.as_ref());
    scale.ok_or_else(ApiError::method_not_allowed)
}

/// The `autoscaling/v1` Scale of an object.
fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let selector = match &paths.selector {
        Some(pointer) => text(object, pointer).to_owned(),
        None => LabelSelector::from_value(&object["spec"]["selector"]).to_string(),
    };
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": number(&paths.spec_replicas) },
        "status": { "replicas": number(&paths.status_replicas), "selector": selector },
    })
}
