//! Failures of the API as `Status` objects, with the reasons, codes and messages of the real server
//! (`k8s.io/apimachinery/pkg/api/errors`).

use axum::body::Body;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::resources::ResourceType;

/// A failed request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Option<Value>,
}

/// One wrong field of an object, as in `field.Error` of apimachinery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    reason: &'static str,
    field: String,
    message: String,
}

impl FieldError {
    /// `FIELD: Invalid value: VALUE: DETAIL`; strings are quoted, lists of strings are as Go prints them.
    pub(super) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let printed = match value.as_array() {
            Some(list) if list.iter().all(Value::is_string) => {
                let list = list.iter().map(ToString::to_string).collect::<Vec<_>>();
                format!("[]string{{{}}}", list.join(", "))
            }
            _ => value.to_string(),
        };
        Self::new("FieldValueInvalid", field, format!("Invalid value: {printed}: {detail}"))
    }

    /// `FIELD: Required value[: DETAIL]`.
    pub(super) fn required(field: impl Into<String>, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        Self::new("FieldValueRequired", field, format!("Required value{separator}{detail}"))
    }

    /// `FIELD: Forbidden: DETAIL`.
    pub(super) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// `FIELD: Duplicate value: VALUE`.
    pub(super) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    /// `FIELD: Unsupported value: VALUE: supported values: "A", "B"`.
    pub(super) fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list = supported.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
        Self::new("FieldValueNotSupported", field, format!("Unsupported value: {value}: supported values: {list}"))
    }

    pub(super) fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        FieldError { reason, field: field.into(), message }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, reason, message: message.into(), details: None }
    }

    fn with_resource(mut self, ty: &ResourceType, name: &str) -> Self {
        let mut details = json!({ "name": name, "kind": ty.plural });
        if !ty.group.is_empty() {
            details["group"] = json!(ty.group);
        }
        self.details = Some(details);
        self
    }

    fn with_causes(mut self, causes: Value) -> Self {
        self.details.get_or_insert_with(|| json!({}))["causes"] = causes;
        self
    }

    pub(super) fn not_found(ty: &ResourceType, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", ty.qualified())).with_resource(ty, name)
    }

    pub(super) fn namespace_not_found(name: &str) -> Self {
        ApiError {
            details: Some(json!({ "name": name, "kind": "namespaces" })),
            ..Self::new(404, "NotFound", format!("namespaces {name:?} not found"))
        }
    }

    pub(super) fn already_exists(ty: &ResourceType, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", ty.qualified())).with_resource(ty, name)
    }

    pub(super) fn conflict(ty: &ResourceType, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", ty.qualified());
        Self::new(409, "Conflict", message).with_resource(ty, name)
    }

    pub(super) fn modified(ty: &ResourceType, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(ty, name, why)
    }

    /// Conflicts of server-side apply: pairs of the field's path and the manager that owns it.
    pub(super) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let (count, plural) = (conflicts.len(), if conflicts.len() == 1 { "conflict" } else { "conflicts" });
        let message = match conflicts {
            [(field, manager)] => format!("Apply failed with 1 conflict: conflict with {manager:?}: {field}"),
            _ => {
                let list = conflicts.iter().map(|(field, manager)| format!("conflict with {manager:?}: {field}"));
                format!("Apply failed with {count} {plural}: {}", list.collect::<Vec<_>>().join("\n"))
            }
        };
        let causes = conflicts.iter().map(|(field, manager)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {manager:?}"), "field": field })
        });
        Self::new(409, "Conflict", message).with_causes(causes.collect())
    }

    pub(super) fn invalid(ty: &ResourceType, name: &str, errors: &[FieldError]) -> Self {
        let kind = if ty.group.is_empty() { ty.kind.to_string() } else { format!("{}.{}", ty.kind, ty.group) };
        let list = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let what = if list.len() == 1 { list.concat() } else { format!("[{}]", list.join(", ")) };
        let mut details = json!({ "name": name, "kind": ty.kind });
        if !ty.group.is_empty() {
            details["group"] = json!(ty.group);
        }
        let causes = errors.iter().map(|e| json!({ "reason": e.reason, "message": e.message, "field": e.field }));
        details["causes"] = causes.collect();
        ApiError { details: Some(details), ..Self::new(422, "Invalid", format!("{kind} {name:?} is invalid: {what}")) }
    }

    pub(super) fn forbidden(ty: &ResourceType, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", ty.qualified())).with_resource(ty, name)
    }

    pub(super) fn namespace_terminating(ty: &ResourceType, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        Self::forbidden(ty, name, &why).with_causes(json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]))
    }

    pub(super) fn disruption_budget(budget: &str) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Self::new(429, "TooManyRequests", message).with_causes(json!([{
            "reason": "DisruptionBudget",
            "message": format!("The disruption budget {budget} does not allow any more disruptions"),
        }]))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(super) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// The `Status` object.
    pub(super) fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "reason": self.reason,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status["code"] = json!(self.code);
        status
    }

    /// The HTTP response.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_value().to_string()));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        if self.code == 429 {
            response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        }
        response
    }
}

/// `Status` of a request that succeeded and has no object to return.
pub(super) fn success(details: Option<Value>) -> Value {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    if let Some(details) = details {
        status["details"] = details;
    }
    status
}
