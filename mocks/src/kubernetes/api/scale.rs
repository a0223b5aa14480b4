//! The scale subresource.

use serde_json::{Value, json};

use super::Shared;
use super::object::{self, Object};
use super::request::{Request, Target, WriteOptions};
use super::resources::ScalePaths;
use super::status::ApiError;

fn paths(target: &Target) -> Result<ScalePaths, ApiError> {
    let version = target.ty.version(&target.version);
    version.and_then(|it| it.scale.clone()).ok_or_else(|| ApiError::not_found(&target.ty, "scale"))
}

fn scale_of(paths: &ScalePaths, object: &Object) -> Value {
    let value = object.value();
    let replicas = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let selector = match &paths.selector {
        Some(pointer) => value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None => {
            let labels = value.pointer("/spec/selector/matchLabels").and_then(Value::as_object).into_iter().flatten();
            labels.map(|(key, it)| format!("{key}={}", it.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",")
        }
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": object::name(value),
            "namespace": object::namespace(value),
            "uid": object::uid(value),
            "resourceVersion": object.revision().to_string(),
            "creationTimestamp": value["metadata"]["creationTimestamp"],
        },
        "spec": { "replicas": replicas(&paths.spec_replicas) },
        "status": { "replicas": replicas(&paths.status_replicas), "selector": selector },
    })
}

impl Shared {
    pub(super) fn read_scale(&self, target: &Target) -> Result<Value, ApiError> {
        Ok(scale_of(&paths(target)?, &*self.read(target)?))
    }

    /// PUT, or a JSON merge patch, of the number of replicas.
    pub(super) fn write_scale(
        &self,
        target: &Target,
        request: &Request,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let paths = paths(target)?;
        let wanted = request.object()?;
        let replicas = wanted.pointer("/spec/replicas").and_then(Value::as_u64);
        let replicas = replicas.ok_or_else(|| ApiError::bad_request("spec.replicas: Required value"))?;
        let plain = Target { subresource: None, ..target.clone() };
        let written = self.update(&plain, options, |current| {
            let mut changed = current.clone();
            let pointer: Vec<&str> = paths.spec_replicas.split('/').filter(|it| !it.is_empty()).collect();
            set(&mut changed, &pointer, json!(replicas));
            Ok(changed)
        })?;
        Ok(scale_of(&paths, &written.object))
    }
}

fn set(value: &mut Value, path: &[&str], to: Value) {
    match path {
        [] => *value = to,
        [first, rest @ ..] => {
            if !value.is_object() {
                *value = json!({});
            }
            if let Some(map) = value.as_object_mut() {
                set(map.entry(*first).or_insert(Value::Null), rest, to);
            }
        }
    }
}
