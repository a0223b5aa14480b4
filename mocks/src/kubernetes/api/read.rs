//! Get and list.
//!
//! Simplified: a list that is continued goes on with the present state instead of the one of its first page; the order by
//! namespace and name keeps it from showing anything twice.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Shared;
use super::object::{self, Object};
use super::request::{Query, Shape, Target};
use super::resources::ResourceType;
use super::selector::{FieldSelector, LabelSelector};
use super::status::ApiError;
use super::table;

/// Which objects of a collection are asked for.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(super) fn of(query: &Query, ty: &ResourceType) -> Result<Self, ApiError> {
        Ok(Self {
            labels: LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(query.get("fieldSelector").unwrap_or_default(), ty)?,
        })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        (self.labels.is_empty() || self.labels.matches(object))
            && (self.fields.is_empty() || self.fields.matches(object))
    }
}

/// An object in the version of the request.
pub(super) fn versioned(target: &Target, object: &Object) -> Value {
    let mut value = object.value().clone();
    if target.version != target.ty.version
        && let Some(map) = value.as_object_mut()
    {
        map.insert("apiVersion".to_owned(), json!(target.api_version()));
    }
    value
}

/// An object as JSON in the form that is asked for.
pub(super) fn rendered(target: &Target, object: &Object, shape: Shape) -> bytes::Bytes {
    match shape {
        Shape::Object if target.version == target.ty.version => object.json(),
        Shape::Object => versioned(target, object).to_string().into(),
        Shape::Table => {
            table::of(&target.ty, std::slice::from_ref(&object.value()), &object.revision().to_string(), None)
                .to_string()
                .into()
        }
        Shape::Metadata => metadata_only(object.value()).to_string().into(),
    }
}

fn metadata_only(value: &Value) -> Value {
    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": value["metadata"] })
}

impl Shared {
    pub(super) fn read(&self, target: &Target) -> Result<Arc<Object>, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        self.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.ty, name))
    }

    /// The list of a collection as JSON.
    pub(super) fn list(&self, target: &Target, query: &Query, shape: Shape) -> Result<String, ApiError> {
        let selection = Selection::of(query, &target.ty)?;
        let limit = query.number("limit")?.and_then(|it| usize::try_from(it).ok()).filter(|it| *it > 0);
        let after = query.get("continue").map(position).transpose()?;
        let (found, revision, more) = self.store.with(|state| {
            let mut found: Vec<Arc<Object>> = Vec::new();
            let mut more = false;
            let all = state.scan(target.table, target.namespace.as_deref(), after);
            for object in all.filter(|it| selection.matches(it.value())) {
                if limit.is_some_and(|limit| found.len() >= limit) {
                    more = true;
                    break;
                }
                found.push(object.clone());
            }
            (found, state.revision().to_string(), more)
        });
        let next = found.last().filter(|_| more).map(|last| {
            let position = format!("{}\n{}", object::namespace(last.value()), object::name(last.value()));
            URL_SAFE_NO_PAD.encode(position)
        });
        let mut metadata = json!({ "resourceVersion": revision });
        if let Some(next) = &next {
            metadata["continue"] = json!(next);
        }
        if shape == Shape::Table {
            let values: Vec<&Value> = found.iter().map(|it| it.value()).collect();
            return Ok(table::of(&target.ty, &values, &revision, next).to_string());
        }
        let (api_version, kind) = match shape {
            Shape::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
            _ => (target.api_version(), target.ty.list_kind.to_string()),
        };
        // Objects are serialised once; a list only strings them together.
        let mut list = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
            Value::from(kind),
            Value::from(api_version)
        );
        for (index, object) in found.iter().enumerate() {
            if index > 0 {
                list.push(',');
            }
            list.push_str(&String::from_utf8_lossy(&rendered(target, object, shape)));
        }
        list.push_str("]}");
        Ok(list)
    }
}

fn position(token: &str) -> Result<(String, String), ApiError> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.split_once('\n'))
        .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .ok_or_else(|| ApiError::bad_request("continue key is not valid"))
}
