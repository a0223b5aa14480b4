//! Get and list.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Shared;
use super::object::{self, Object, text};
use super::request::{Query, Request, Shape, Target};
use super::selector::{FieldSelector, LabelSelector};
use super::status::ApiError;
use super::table;

/// What a list or watch selects.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) labels: LabelSelector,
    pub(super) fields: FieldSelector,
}

impl Selection {
    /// From `labelSelector` and `fieldSelector`; the name of a path selects as well.
    pub(super) fn parse(target: &Target, query: &Query) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?;
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default(), &target.ty)?;
        Ok(Selection { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// A JSON response.
pub(super) fn respond(code: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An object as the target's version has it, in the form asked for.
pub(super) fn render(target: &Target, object: &Object, shape: Shape) -> Bytes {
    let value = object.value();
    match shape {
        Shape::Table => {
            table::of(target, &[object], &json!({ "resourceVersion": object::meta(value, "resourceVersion") }))
        }
        Shape::Metadata => Bytes::from(metadata_only(value).to_string()),
        Shape::Object => {
            let api_version = target.api_version();
            if text(value, "/apiVersion") == api_version {
                return object.json();
            }
            let mut value = value.clone();
            value["apiVersion"] = json!(api_version);
            Bytes::from(value.to_string())
        }
    }
}

fn metadata_only(value: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"] })
}

/// Position in a chunked list.
struct Continue {
    /// Revision of the first chunk, which a watch starts from: later changes come again, none is lost.
    revision: u64,
    after: (String, String),
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!([self.revision, self.after.0, self.after.1]).to_string())
    }

    fn decode(token: &str) -> Result<Self, ApiError> {
        let invalid = || ApiError::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (revision, namespace, name) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        Ok(Continue { revision, after: (namespace, name) })
    }
}

impl Shared {
    pub(super) fn get(&self, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let object = self.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
        Ok(respond(StatusCode::OK, render(target, &object, request.shape()?)))
    }

    pub(super) fn list(&self, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let query = &request.query;
        let selection = Selection::parse(target, query)?;
        let shape = request.shape()?;
        let limit =
            query.number("limit")?.filter(|limit| *limit > 0).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let at = query.get("continue").map(Continue::decode).transpose()?;
        let wanted = query.number("resourceVersion")?.unwrap_or_default();
        let exact = query.get("resourceVersionMatch") == Some("Exact");
        let (mut objects, revision) = self.store.with(|state| {
            let current = state.revision();
            let revision = at.as_ref().map_or(current, |at| at.revision);
            if wanted > current {
                let mut error = ApiError::internal(format!("Too large resource version: {wanted}, current: {current}"));
                (error.code, error.reason) = (504, "Timeout");
                return Err(error);
            }
            // The past is not kept: a list of an exact revision can only be had of the present one.
            if exact && wanted != current {
                return Err(ApiError::expired("The resourceVersion for the provided list is too old."));
            }
            if at.is_some() && state.changes_since(target.table, revision).is_err() {
                return Err(ApiError::expired(
                    "The provided continue parameter is too old to display a consistent list result. You must start a \
                     new list without the continue parameter.",
                ));
            }
            let after = at.map(|at| at.after);
            let matching = state
                .scan(target.table, target.namespace.as_deref(), after)
                .filter(|object| selection.matches(object.value()));
            // One more than asked for tells whether there are more.
            let objects: Vec<_> =
                matching.take(limit.map_or(usize::MAX, |limit| limit.saturating_add(1))).cloned().collect();
            Ok((objects, revision))
        })?;
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if let Some(limit) = limit.filter(|limit| objects.len() > *limit) {
            objects.truncate(limit);
            if let Some(last) = objects.last() {
                let value = last.value();
                let after = (object::namespace(value).to_owned(), object::name(value).to_owned());
                metadata["continue"] = json!(Continue { revision, after }.encode());
            }
        }
        let objects: Vec<&Object> = objects.iter().map(|object| &**object).collect();
        Ok(respond(StatusCode::OK, render_list(target, &objects, &metadata, shape)))
    }
}

/// A list in the form asked for, from the serialised objects.
pub(super) fn render_list(target: &Target, objects: &[&Object], metadata: &Value, shape: Shape) -> Bytes {
    let (kind, api_version) = match shape {
        Shape::Table => return table::of(target, objects, metadata),
        Shape::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
        Shape::Object => (&*target.ty.list_kind, target.api_version()),
    };
    let items: Vec<Bytes> = objects.iter().map(|object| render(target, object, shape)).collect();
    let mut list = Vec::with_capacity(128 + items.iter().map(|item| item.len() + 1).sum::<usize>());
    let head = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata }).to_string();
    list.extend_from_slice(head.trim_end_matches('}').as_bytes());
    // The metadata's own brace.
    list.extend_from_slice(b"},\"items\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(item);
    }
    list.extend_from_slice(b"]}");
    Bytes::from(list)
}
