//! Discovery: versions, groups and resources, aggregated (v2) and legacy, and as much of OpenAPI as `kubectl` needs.
//!
//! The OpenAPI documents name the resources and the parameters that are supported, not the schemas: `kubectl` leaves
//! validation to the server (`fieldValidation`), falls back to its own types for strategic merge patches, and
//! `kubectl explain` has nothing to show.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::Shared;
use super::read::respond;
use super::resources::{ResourceType, Version};

/// Content type of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Every verb of a resource, sorted.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

type Groups = IndexMap<String, IndexMap<String, Vec<Arc<ResourceType>>>>;

impl Shared {
    /// Answers the paths that are no resources.
    pub(super) fn discover(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let json = |value: Value| Some(respond(StatusCode::OK, value.to_string()));
        match *parts {
            ["version"] => json(version(&self.config.version)),
            ["healthz" | "readyz" | "livez", ..] => {
                let mut response = Response::new(Body::from("ok"));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                Some(response)
            }
            [""] => json(json!({ "paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2",
                "/openapi/v3", "/readyz", "/version"] })),
            ["api"] if wants_aggregated(headers) => Some(aggregated(&self.groups(), true)),
            ["apis"] if wants_aggregated(headers) => Some(aggregated(&self.groups(), false)),
            ["api"] => json(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
            ["apis"] => {
                let groups = self.groups();
                let groups = groups.iter().filter(|(group, _)| !group.is_empty());
                let groups: Vec<Value> = groups.map(|(group, versions)| api_group(group, versions)).collect();
                json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
            }
            ["apis", group] => {
                let groups = self.groups();
                let mut value = api_group(group, groups.get(group)?);
                value["kind"] = json!("APIGroup");
                value["apiVersion"] = json!("v1");
                json(value)
            }
            ["api", version] => json(resource_list("", version, self.groups().get("")?.get(version)?)),
            ["apis", group, version] => json(resource_list(group, version, self.groups().get(group)?.get(version)?)),
            // The document as protocol buffers: field 1 is the version of Swagger. JSON is not asked for by kubectl.
            ["openapi", "v2"] => {
                let protobuf = headers
                    .get(header::ACCEPT)
                    .and_then(|accept| accept.to_str().ok())
                    .is_some_and(|accept| accept.contains("protobuf"));
                if !protobuf {
                    let info = json!({ "title": "Kubernetes", "version": self.config.version });
                    return json(json!({ "swagger": "2.0", "info": info, "paths": {} }));
                }
                let mut response = Response::new(Body::from(&b"\x0a\x032.0"[..]));
                let media = HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
                response.headers_mut().insert(header::CONTENT_TYPE, media);
                Some(response)
            }
            ["openapi", "v3"] => {
                let mut paths = Map::new();
                for (group, versions) in self.groups() {
                    for (version, types) in versions {
                        let path =
                            if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                        // Clients cache by the hash: it follows from what the document says.
                        let hash = types.iter().map(|ty| &*ty.plural).collect::<Vec<_>>().join("-");
                        paths.insert(
                            path.clone(),
                            json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }),
                        );
                    }
                }
                json(json!({ "paths": paths }))
            }
            ["openapi", "v3", "api", version] => json(openapi("", version, self.groups().get("")?.get(version)?)),
            ["openapi", "v3", "apis", group, version] => {
                json(openapi(group, version, self.groups().get(group)?.get(version)?))
            }
            _ => None,
        }
    }

    /// Types by group and version, the preferred version of a group first.
    fn groups(&self) -> Groups {
        let mut groups = Groups::new();
        for (_, ty) in self.store.with(|state| state.types()) {
            for version in &ty.served {
                let versions = groups.entry(ty.group.to_string()).or_default();
                versions.entry(version.name.to_string()).or_default().push(ty.clone());
            }
        }
        groups
    }
}

fn version(git_version: &str) -> Value {
    let mut numbers = git_version.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next().unwrap_or_default(),
        "minor": numbers.next().unwrap_or_default(),
        "gitVersion": git_version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|range| {
        let mut parameters = range.split(';').map(str::trim);
        parameters.any(|p| p == "as=APIGroupDiscoveryList") && range.contains("v=v2") && !range.contains("v2beta1")
    })
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn api_group(group: &str, versions: &IndexMap<String, Vec<Arc<ResourceType>>>) -> Value {
    let entry = |version: &String| json!({ "groupVersion": group_version(group, version), "version": version });
    let entries: Vec<Value> = versions.keys().map(entry).collect();
    json!({ "name": group, "preferredVersion": entries.first(), "versions": entries })
}

/// Subresources of a type in a version: path, kind with group and version if another, verbs.
fn subresources(ty: &ResourceType, version: &str) -> Vec<(String, Value, Vec<&'static str>)> {
    let own = json!({ "group": ty.group, "version": version, "kind": ty.kind });
    let change = || vec!["get", "patch", "update"];
    let Version { status, scale, .. } = match ty.version(version) {
        Some(version) => version,
        None => return Vec::new(),
    };
    let mut all = Vec::new();
    if *status {
        all.push(("status".to_owned(), own, change()));
    }
    if scale.is_some() {
        all.push(("scale".to_owned(), json!({ "group": "autoscaling", "version": "v1", "kind": "Scale" }), change()));
    }
    for (path, kind) in ty.subresources {
        let verbs = match *path {
            "log" => vec!["get"],
            "exec" | "portforward" => vec!["create", "get"],
            "finalize" => vec!["update"],
            _ => vec!["create"],
        };
        let group = if *path == "eviction" { "policy" } else { "" };
        all.push(((*path).to_owned(), json!({ "group": group, "version": "v1", "kind": kind }), verbs));
    }
    all
}

fn aggregated(groups: &Groups, core: bool) -> Response<Body> {
    let items: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, types)| {
                    let resources: Vec<Value> = types.iter().map(|ty| aggregated_resource(ty, version)).collect();
                    json!({ "version": version, "freshness": "Current", "resources": resources })
                })
                .collect();
            json!({ "metadata": { "name": group, "creationTimestamp": null }, "versions": versions })
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    let mut response = respond(StatusCode::OK, list.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}

fn aggregated_resource(ty: &ResourceType, version: &str) -> Value {
    let mut resource = json!({
        "resource": ty.plural,
        "responseKind": { "group": ty.group, "version": version, "kind": ty.kind },
        "scope": if ty.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": ty.singular,
        "verbs": VERBS,
    });
    if !ty.short_names.is_empty() {
        resource["shortNames"] = json!(ty.short_names);
    }
    if !ty.categories.is_empty() {
        resource["categories"] = json!(ty.categories);
    }
    let subresources: Vec<Value> = subresources(ty, version)
        .into_iter()
        .map(|(path, kind, verbs)| json!({ "subresource": path, "responseKind": kind, "verbs": verbs }))
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = json!(subresources);
    }
    resource
}

fn resource_list(group: &str, version: &str, types: &[Arc<ResourceType>]) -> Value {
    let mut resources = Vec::new();
    for ty in types {
        let mut resource = json!({
            "name": ty.plural, "singularName": ty.singular, "namespaced": ty.namespaced, "kind": ty.kind, "verbs": VERBS,
        });
        if !ty.short_names.is_empty() {
            resource["shortNames"] = json!(ty.short_names);
        }
        if !ty.categories.is_empty() {
            resource["categories"] = json!(ty.categories);
        }
        resources.push(resource);
        for (path, kind, verbs) in subresources(ty, version) {
            let mut resource = json!({
                "name": format!("{}/{path}", ty.plural), "singularName": "", "namespaced": ty.namespaced,
                "kind": kind["kind"], "verbs": verbs,
            });
            if kind["group"] != *ty.group {
                resource["group"] = kind["group"].clone();
                resource["version"] = kind["version"].clone();
            }
            resources.push(resource);
        }
    }
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version),
        "resources": resources,
    })
}

fn openapi(group: &str, version: &str, types: &[Arc<ResourceType>]) -> Value {
    let prefix = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let parameter = |name: &str, kind: &str| json!({ "name": name, "in": "query", "schema": { "type": kind, "uniqueItems": true } });
    let mut paths = Map::new();
    for ty in types {
        let scope = if ty.namespaced { "/namespaces/{namespace}" } else { "" };
        let mut content = json!({ "application/merge-patch+json": {}, "application/json-patch+json": {} });
        content["application/apply-patch+yaml"] = json!({});
        let operation = json!({
            "operationId": format!("patch{}", ty.kind),
            "parameters": [
                parameter("dryRun", "string"), parameter("fieldManager", "string"),
                parameter("fieldValidation", "string"), parameter("force", "boolean"),
            ],
            "requestBody": { "content": content },
            "responses": {},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": ty.kind },
        });
        paths.insert(format!("{prefix}{scope}/{}/{{name}}", ty.plural), json!({ "patch": operation }));
    }
    json!({
        "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "unversioned" }, "paths": paths,
        "components": { "schemas": {} },
    })
}
