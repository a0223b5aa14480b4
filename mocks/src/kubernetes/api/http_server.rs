//! HTTP: from a request to the operation that answers it. Any bearer token, or none, is accepted, and everybody may do
//! everything.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Shared;
use super::delete::{DeleteOptions, Deleted};
use super::object::{self, Object};
use super::patch::Patch;
use super::read::rendered;
use super::request::{Path, Query, Request, Target};
use super::status::{ApiError, success};
use super::write::Written;

/// Longest request, as the real server has it.
const LONGEST_BODY: usize = 3 * 1024 * 1024;

/// Serves until the server stops.
pub(super) async fn serve(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    let stop = shared.stop.clone();
    let router = Router::new().fallback(answer).with_state(shared);
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::warn!(%error, "an API server ended");
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, LONGEST_BODY).await {
        Ok(body) => body,
        Err(_) => return ApiError::too_large().response(),
    };
    shared.route(parts, body).await.unwrap_or_else(|error| error.response())
}

fn ok(body: impl Into<Body>) -> Response<Body> {
    with_status(StatusCode::OK, body)
}

fn with_status(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn found(value: Option<Value>) -> Result<Response<Body>, ApiError> {
    match value {
        Some(value) => Ok(ok(value.to_string())),
        None => Err(no_such_path()),
    }
}

fn no_such_path() -> ApiError {
    ApiError {
        code: 404,
        reason: "NotFound",
        message: "the server could not find the requested resource".to_owned(),
        details: None,
    }
}

impl Shared {
    async fn route(self: &Arc<Self>, parts: Parts, body: Bytes) -> Result<Response<Body>, ApiError> {
        let path = parts.uri.path().to_owned();
        if let Some(response) = self.fixed(path.trim_matches('/'))? {
            return Ok(response);
        }
        let Some(parsed) = Path::parse(&path) else { return Err(no_such_path()) };
        let resolved = self.store.resolve(&parsed.group, &parsed.resource);
        let Some((table, ty)) = resolved.filter(|(_, ty)| ty.version(&parsed.version).is_some()) else {
            return Err(no_such_path());
        };
        let target = Target {
            table,
            version: parsed.version,
            namespace: if ty.namespaced { parsed.namespace } else { None },
            name: parsed.name,
            subresource: parsed.subresource,
            ty,
        };
        let query = Query::parse(parts.uri.query());
        if let (Some(_), Some(subresource)) = (&target.name, &target.subresource)
            && target.ty.is("", "Pod")
        {
            match subresource.as_str() {
                "exec" => return self.exec(&target, &query, parts).await,
                "portforward" => return self.port_forward(&target, &query, parts).await,
                "log" => return self.logs(&target, &query).await,
                _ => {}
            }
        }
        let request = Request { method: parts.method, query, headers: parts.headers, body };
        match (&target.name, &target.subresource) {
            (None, _) => self.collection(&target, &request),
            (Some(_), None) => self.object(&target, &request),
            (Some(_), Some(subresource)) => {
                let subresource = subresource.clone();
                self.subresource(&target, &subresource, &request)
            }
        }
    }

    /// Paths that name no resource.
    fn fixed(&self, path: &str) -> Result<Option<Response<Body>>, ApiError> {
        let segments: Vec<&str> = path.split('/').collect();
        Ok(Some(match segments.as_slice() {
            ["healthz" | "readyz" | "livez", ..] => {
                let mut response = Response::new(Body::from("ok"));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                response
            }
            ["version"] => ok(self.version().to_string()),
            ["api"] => {
                ok(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }).to_string())
            }
            ["apis"] => ok(self.groups().to_string()),
            ["apis", group] => return found(self.group(group)).map(Some),
            ["api", version] => return found(self.resources("", version)).map(Some),
            ["apis", group, version] => return found(self.resources(group, version)).map(Some),
            ["openapi", "v3"] => ok(self.openapi_index().to_string()),
            ["openapi", "v3", rest @ ..] => return found(self.openapi(&rest.join("/"))).map(Some),
            _ => return Ok(None),
        }))
    }

    fn version(&self) -> Value {
        let version = &self.config.version;
        let mut numbers = version.trim_start_matches('v').split('.');
        json!({
            "major": numbers.next().unwrap_or("1"),
            "minor": numbers.next().unwrap_or("0"),
            "gitVersion": version,
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "",
            "compiler": "rustc", "platform": "emulated",
        })
    }

    /// Makes a namespace as the server does for itself.
    pub(super) fn make_namespace(&self, name: &str) -> Result<(), ApiError> {
        let Some((table, ty)) = self.store.resolve("", "namespaces") else { return Err(no_such_path()) };
        let version = ty.version.to_string();
        let target = Target { table, ty, version, namespace: None, name: None, subresource: None };
        let options = super::request::WriteOptions {
            dry_run: false,
            manager: "kube-apiserver".to_owned(),
            force: false,
            validation: super::request::FieldValidation::Ignore,
        };
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.create(&target, body, &options).map(drop)
    }

    fn collection(self: &Arc<Self>, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        match request.method {
            Method::GET if request.query.flag("watch") => self.watch(target, &request.query, request.shape()?),
            Method::GET => Ok(ok(self.list(target, &request.query, request.shape()?)?)),
            Method::POST => {
                if target.ty.namespaced && target.namespace.is_none() {
                    return Err(ApiError::method_not_allowed());
                }
                let written = self.create(target, request.object()?, &request.write_options()?)?;
                if target.ty.kind == "CustomResourceDefinition" {
                    self.establish(&target.key(object::name(written.object.value())));
                }
                written_response(target, request, written)
            }
            Method::DELETE => self.delete_collection(target, request),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn object(self: &Arc<Self>, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        match request.method {
            // The old way to watch one object.
            Method::GET if request.query.flag("watch") => self.watch(target, &request.query, request.shape()?),
            Method::GET => Ok(ok(rendered(target, &*self.read(target)?, request.shape()?))),
            Method::PUT => {
                let written = self.replace(target, request.object()?, &request.write_options()?)?;
                written_response(target, request, written)
            }
            Method::PATCH => self.patched(target, request),
            Method::DELETE => {
                let deleted = self.delete(target, &DeleteOptions::of(request)?)?;
                Ok(deleted_response(target, &deleted))
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn patched(&self, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let patch = Patch::parse(request.content_type(), &request.body)?;
        let written = self.patch(target, &patch, &request.write_options()?)?;
        if written.created && target.ty.kind == "CustomResourceDefinition" {
            self.establish(&target.key(object::name(written.object.value())));
        }
        written_response(target, request, written)
    }

    fn subresource(
        self: &Arc<Self>,
        target: &Target,
        subresource: &str,
        request: &Request,
    ) -> Result<Response<Body>, ApiError> {
        let pod = target.ty.is("", "Pod");
        match (subresource, &request.method) {
            ("status", _) if target.ty.version(&target.version).is_some_and(|it| it.status) => match request.method {
                Method::GET => self.object(&Target { subresource: None, ..target.clone() }, request),
                Method::PUT | Method::PATCH => self.object(target, request),
                _ => Err(ApiError::method_not_allowed()),
            },
            ("finalize", &Method::PUT) if target.ty.is("", "Namespace") => self.object(target, request),
            ("scale", &Method::GET) => Ok(ok(self.read_scale(target)?.to_string())),
            ("scale", &Method::PUT | &Method::PATCH) => {
                Ok(ok(self.write_scale(target, request, &request.write_options()?)?.to_string()))
            }
            ("binding", &Method::POST) if pod => {
                Ok(with_status(StatusCode::CREATED, self.bind(target, request, &request.write_options()?)?.to_string()))
            }
            ("eviction", &Method::POST) if pod => {
                Ok(with_status(StatusCode::CREATED, self.evict(target, request)?.to_string()))
            }
            _ => Err(no_such_path()),
        }
    }

    fn delete_collection(&self, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let selection = super::read::Selection::of(&request.query, &target.ty)?;
        let options = DeleteOptions::of(request)?;
        let keys: Vec<_> = self.store.with(|state| {
            let all = state.scan(target.table, target.namespace.as_deref(), None);
            let chosen = all.filter(|it| selection.matches(it.value()));
            chosen
                .map(|it| super::store::Key {
                    table: target.table,
                    namespace: object::namespace(it.value()).to_owned(),
                    name: object::name(it.value()).to_owned(),
                })
                .collect()
        });
        for key in keys {
            match self.delete_key(&target.ty, &key, &options) {
                Err(error) if error.code != 404 => return Err(error),
                _ => {}
            }
        }
        Ok(ok(success(None).to_string()))
    }
}

fn written_response(target: &Target, request: &Request, written: Written) -> Result<Response<Body>, ApiError> {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = with_status(status, rendered(target, &written.object, request.shape()?));
    for warning in written.warnings {
        // RFC 7234, 5.5: code 299 with the agent unnamed, as the real server sends it.
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

fn deleted_response(target: &Target, deleted: &Deleted) -> Response<Body> {
    let render = |object: &Object| rendered(target, object, super::request::Shape::Object);
    match deleted {
        Deleted::Going(object) => ok(render(object)),
        // Pods and namespaces are given back even when they are gone.
        Deleted::Gone(object) if target.ty.is("", "Pod") => ok(render(object)),
        Deleted::Gone(object) => {
            let value = object.value();
            let details = json!({ "name": object::name(value), "kind": target.ty.plural, "uid": object::uid(value) });
            ok(success(Some(details)).to_string())
        }
    }
}
