//! What a request asks for: its path, query, body and the form of the answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde_json::Value;

use super::resources::ResourceType;
use super::status::ApiError;

/// Query parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Query(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A flag: `true`, `1`, or there without a value, as the API server's own conversion has it.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.iter().find(|(key, _)| key == name).is_some_and(|(_, value)| value != "false" && value != "0")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!("strconv.ParseUint: parsing {text:?}: invalid syntax ({name})"))
                })
            })
            .transpose()
    }
}

/// A request as it was read.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How to write and whom to name for it.
#[derive(Debug, Clone)]
pub(super) struct WriteOptions {
    pub(super) dry_run: bool,
    pub(super) manager: String,
    pub(super) force: bool,
    pub(super) validation: FieldValidation,
}

/// What to do about fields that the type does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl Request {
    pub(super) fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let dry_run = match self.query.get("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => {
                let why = format!(": Invalid value: {other:?}: dryRun: Unsupported value: supported values: \"All\"");
                return Err(ApiError::bad_request(format!("invalid options{why}")));
            }
        };
        let validation = match self.query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => return Err(ApiError::bad_request(format!("fieldValidation: Unsupported value: {other:?}"))),
        };
        let agent = || {
            let agent = self.headers.get(header::USER_AGENT)?.to_str().ok()?;
            agent.split(['/', ' ']).next()
        };
        let manager = self.query.get("fieldManager").or_else(agent).unwrap_or("unknown").to_owned();
        Ok(WriteOptions { dry_run, manager, force: self.query.get("force") == Some("true"), validation })
    }

    /// The body as a JSON or YAML object.
    pub(super) fn object(&self) -> Result<Value, ApiError> {
        if self.content_type() == super::protobuf::MEDIA {
            return super::protobuf::decode(&self.body);
        }
        parse_body(&self.body)
    }

    /// The content type without parameters.
    pub(super) fn content_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// The form that the client prefers among those the server has.
    pub(super) fn shape(&self) -> Result<Shape, ApiError> {
        let accept = self.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.is_empty() {
            return Ok(Shape::Object);
        }
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let media = parameters.next().unwrap_or_default();
            if !["application/json", "application/*", "*/*"].contains(&media) {
                continue;
            }
            match parameters.find_map(|parameter| parameter.strip_prefix("as=")) {
                None => return Ok(Shape::Object),
                Some("Table") => return Ok(Shape::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Shape::Metadata),
                Some(_) => {}
            }
        }
        Err(ApiError::not_acceptable("only the following media types are accepted: application/json"))
    }
}

/// Parses a JSON or YAML object.
pub(super) fn parse_body(body: &[u8]) -> Result<Value, ApiError> {
    let text = || std::str::from_utf8(body).map_err(|error| ApiError::bad_request(error.to_string()));
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(json) => serde_saphyr::from_str::<Value>(text()?).map_err(|yaml| {
            ApiError::bad_request(format!("error parsing the body: as JSON: {json}; as YAML: {yaml}"))
        })?,
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(ApiError::bad_request("couldn't get version/kind; json parse error: the body is no JSON object"))
    }
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Table,
    /// `PartialObjectMetadata`, or a list of them.
    Metadata,
}

/// A resource, or a collection, that a path names.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) table: usize,
    pub(super) ty: Arc<ResourceType>,
    /// The version of the path.
    pub(super) version: String,
    /// None for cluster-scoped types, and for a collection over all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// `apiVersion` of the path.
    pub(super) fn api_version(&self) -> String {
        self.ty.api_version(&self.version)
    }

    pub(super) fn key(&self, name: &str) -> super::store::Key {
        super::store::Key {
            table: self.table,
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }
}

/// A path taken apart: group, version, namespace, resource, name and subresource.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) resource: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Path {
    /// Takes a resource path apart; none for other paths.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').map(decode);
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<String> = parts.collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let (namespace, rest) = match *rest {
            // `namespaces/NAME/status` and `namespaces/NAME/finalize` are subresources of a namespace.
            ["namespaces", _, "status" | "finalize"] if group.is_empty() => (None, &rest[..]),
            ["namespaces", namespace, _, ..] => (Some(namespace.to_owned()), &rest[2..]),
            _ => (None, &rest[..]),
        };
        let (resource, name, subresource) = match *rest {
            [resource] if !resource.is_empty() => (resource, None, None),
            [resource, name] => (resource, Some(name), None),
            [resource, name, subresource] => (resource, Some(name), Some(subresource)),
            _ => return None,
        };
        let (name, subresource) = (name.map(str::to_owned), subresource.map(str::to_owned));
        Some(Path { group, version, namespace, resource: resource.to_owned(), name, subresource })
    }
}

/// Undoes percent-encoding of a path segment. What is no encoding stays.
fn decode(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = segment.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(code)) => {
                decoded.push(code);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/api/v1/pods", "", None, "pods", None, None)]
    #[case("/api/v1/namespaces", "", None, "namespaces", None, None)]
    #[case("/api/v1/namespaces/a", "", None, "namespaces", Some("a"), None)]
    #[case("/api/v1/namespaces/a/status", "", None, "namespaces", Some("a"), Some("status"))]
    #[case("/api/v1/namespaces/a/pods", "", Some("a"), "pods", None, None)]
    #[case("/api/v1/namespaces/a/pods/b/exec", "", Some("a"), "pods", Some("b"), Some("exec"))]
    #[case("/apis/apps/v1/namespaces/a/deployments/d", "apps", Some("a"), "deployments", Some("d"), None)]
    #[case("/apis/g/v1/clusterroles/system%3Anode", "g", None, "clusterroles", Some("system:node"), None)]
    fn paths(
        #[case] path: &str,
        #[case] group: &str,
        #[case] namespace: Option<&str>,
        #[case] resource: &str,
        #[case] name: Option<&str>,
        #[case] subresource: Option<&str>,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let expected = Path {
            group: group.to_owned(),
            version: "v1".to_owned(),
            namespace: owned(namespace),
            resource: resource.to_owned(),
            name: owned(name),
            subresource: owned(subresource),
        };
        assert_eq!(Path::parse(path).unwrap(), expected);
    }

    #[rstest]
    #[case("/")]
    #[case("/healthz")]
    #[case("/api/v1")]
    #[case("/api/v1/namespaces/a/pods/b/c/d")]
    #[case("/apis/apps")]
    fn other_paths(#[case] path: &str) {
        assert_eq!(Path::parse(path), None);
    }

    #[test]
    fn yaml_is_read_as_json_is() {
        assert_eq!(parse_body(b"a:\n  b: [1, x]\n").unwrap(), serde_json::json!({ "a": { "b": [1, "x"] } }));
        assert_eq!(parse_body(b"- 1").unwrap_err().code, 400);
        assert_eq!(parse_body(b"\xff").unwrap_err().code, 400);
    }
}
