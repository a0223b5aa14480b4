//! HTTP: connections, and from a request to the operation it asks for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::delete::{DeleteOptions, Deletion};
use super::object::{self, Object};
use super::patch::Patch;
use super::read::{Selection, render, render_list, respond};
use super::request::{Path, Query, Request, Shape, Target, parse_body};
use super::status::{self, ApiError};
use super::write::Written;

/// Largest body of a request, as on the real server.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// How long a connection may take to end once the server stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// Accepts connections until the server stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Some(accepted) = shared.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => drop(shared.tasks.spawn(connection(shared.clone(), stream))),
            // Out of descriptors, or a client that went at once: the next accept tells.
            Err(error) => {
                tracing::warn!(cluster = shared.config.name, %error, "a connection could not be accepted");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let stop = shared.stop.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.handle(request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    let connection = http.half_close(false).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GOODBYE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

impl Shared {
    async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let answer = async {
            let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ApiError::too_large()
                } else {
                    ApiError::bad_request(error.to_string())
                }
            })?;
            let request = Request {
                method: parts.method.clone(),
                query: Query::parse(parts.uri.query()),
                headers: parts.headers.clone(),
                body: body.to_bytes(),
            };
            self.route(request, &mut parts).await
        };
        let response = answer.await.unwrap_or_else(|error| error.response());
        tracing::trace!(cluster = self.config.name, method = %parts.method, uri = %parts.uri, status = %response.status());
        response
    }

    async fn route(self: &Arc<Self>, request: Request, parts: &mut Parts) -> Result<Response<Body>, ApiError> {
        let path = parts.uri.path().to_owned();
        if request.method == Method::GET
            && let Some(response) = self.discover(&path, &request.headers)
        {
            return Ok(response);
        }
        let Some(mut path) = Path::parse(&path) else { return Ok(page_not_found()) };
        // The collection of bindings, which takes the pod's name from the body.
        if path.group.is_empty() && path.resource == "bindings" && path.name.is_none() && request.method == Method::POST
        {
            let body = request.object()?;
            path.name = Some(object::name(&body).to_owned());
            (path.resource, path.subresource) = ("pods".to_owned(), Some("binding".to_owned()));
        }
        let Some(target) = self.target(path) else { return Ok(page_not_found()) };
        match target.subresource.as_deref() {
            None => self.resource(&target, &request),
            Some(subresource) => self.subresource(&target, subresource, &request, parts).await,
        }
    }

    fn target(&self, path: Path) -> Option<Target> {
        let (table, ty) = self.store.resolve(&path.group, &path.resource)?;
        ty.version(&path.version)?;
        let scoped =
            if ty.namespaced { path.namespace.is_some() || path.name.is_none() } else { path.namespace.is_none() };
        scoped.then_some(Target {
            table,
            ty,
            version: path.version,
            namespace: path.namespace,
            name: path.name,
            subresource: path.subresource,
        })
    }

    fn resource(self: &Arc<Self>, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let named = target.name.is_some();
        match (&request.method, named) {
            (&Method::GET, _) if request.query.flag("watch") => self.watch(target, request),
            (&Method::GET, true) => self.get(target, request),
            (&Method::GET, false) => self.list(target, request),
            (&Method::POST, false) if target.namespace.is_some() == target.ty.namespaced => {
                written(target, request, self.create(target, request.object()?, &request.write_options()?)?)
            }
            (&Method::PUT, true) => {
                written(target, request, self.replace(target, request.object()?, &request.write_options()?)?)
            }
            (&Method::PATCH, true) => {
                let patch = Patch::parse(request.content_type(), &request.body)?;
                written(target, request, self.patch(target, &patch, &apply_options(request, &patch)?)?)
            }
            (&Method::DELETE, true) => {
                let options = DeleteOptions::parse(&request.query, &request.body)?;
                Ok(deleted(target, self.delete(target, &options)?))
            }
            (&Method::DELETE, false) => self.delete_collection(target, request),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn delete_collection(&self, target: &Target, request: &Request) -> Result<Response<Body>, ApiError> {
        let options = DeleteOptions::parse(&request.query, &request.body)?;
        let selection = Selection::parse(target, &request.query)?;
        let (objects, revision) = self.store.with(|state| {
            let all = state.scan(target.table, target.namespace.as_deref(), None);
            let matching: Vec<Arc<Object>> = all.filter(|object| selection.matches(object.value())).cloned().collect();
            (matching, state.revision())
        });
        for object in &objects {
            let one = Target {
                namespace: target.ty.namespaced.then(|| object::namespace(object.value()).to_owned()),
                name: Some(object::name(object.value()).to_owned()),
                ..target.clone()
            };
            match self.delete(&one, &options) {
                // Gone since: as asked.
                Err(error) if error.reason == "NotFound" => {}
                other => drop(other?),
            }
        }
        let objects: Vec<&Object> = objects.iter().map(|object| &**object).collect();
        let metadata = json!({ "resourceVersion": revision.to_string() });
        Ok(respond(StatusCode::OK, render_list(target, &objects, &metadata, Shape::Object)))
    }

    async fn subresource(
        self: &Arc<Self>,
        target: &Target,
        subresource: &str,
        request: &Request,
        parts: &mut Parts,
    ) -> Result<Response<Body>, ApiError> {
        let version = target.ty.version(&target.version);
        let method = &request.method;
        let pod = target.ty.is("", "Pod");
        let json = |code: StatusCode, value: Value| Ok(respond(code, value.to_string()));
        match subresource {
            "status" if version.is_some_and(|version| version.status) => match *method {
                Method::GET => self.get(target, request),
                Method::PUT => {
                    written(target, request, self.replace(target, request.object()?, &request.write_options()?)?)
                }
                Method::PATCH => {
                    let patch = Patch::parse(request.content_type(), &request.body)?;
                    written(target, request, self.patch(target, &patch, &apply_options(request, &patch)?)?)
                }
                _ => Err(ApiError::method_not_allowed()),
            },
            "scale" if version.is_some_and(|version| version.scale.is_some()) => match *method {
                Method::GET => json(StatusCode::OK, self.scale(target)?),
                Method::PUT => {
                    json(StatusCode::OK, self.replace_scale(target, &request.object()?, &request.write_options()?)?)
                }
                Method::PATCH => {
                    let patch = Patch::parse(request.content_type(), &request.body)?;
                    json(StatusCode::OK, self.patch_scale(target, &patch, &request.write_options()?)?)
                }
                _ => Err(ApiError::method_not_allowed()),
            },
            "finalize" if target.ty.is("", "Namespace") && *method == Method::PUT => {
                written(target, request, self.replace(target, request.object()?, &request.write_options()?)?)
            }
            "binding" if pod && *method == Method::POST => {
                self.bind(target, &request.object()?, &request.write_options()?)?;
                json(StatusCode::CREATED, status::success(None))
            }
            "eviction" if pod && *method == Method::POST => {
                let body = if request.body.is_empty() { json!({}) } else { parse_body(&request.body)? };
                self.evict(target, &body, request.write_options()?.dry_run)?;
                json(StatusCode::CREATED, status::success(None))
            }
            "log" if pod && *method == Method::GET => self.logs(target, &request.query).await,
            "exec" if pod => self.exec(target, &request.query, parts).await,
            "portforward" if pod => self.port_forward(target, &request.query, parts).await,
            _ => Ok(page_not_found()),
        }
    }
}

/// Server-side apply needs a manager's name.
fn apply_options(request: &Request, patch: &Patch) -> Result<super::request::WriteOptions, ApiError> {
    if matches!(patch, Patch::Apply(_)) && request.query.get("fieldManager").is_none() {
        let why = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        let mut error = ApiError::bad_request(why);
        (error.code, error.reason) = (422, "Invalid");
        return Err(error);
    }
    request.write_options()
}

fn written(target: &Target, request: &Request, written: Written) -> Result<Response<Body>, ApiError> {
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = respond(code, render(target, &written.object, request.shape()?));
    for warning in written.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

/// What a deletion answers: the object while it waits and for the types whose objects are always returned, a Status
/// otherwise.
fn deleted(target: &Target, deletion: Deletion) -> Response<Body> {
    const RETURNED: [&str; 5] = ["Pod", "Service", "ServiceAccount", "PersistentVolume", "PersistentVolumeClaim"];
    match deletion {
        Deletion::Gone(object) if !RETURNED.contains(&&*target.ty.kind) => {
            let value = object.value();
            let mut details =
                json!({ "name": object::name(value), "kind": target.ty.plural, "uid": object::uid(value) });
            if !target.ty.group.is_empty() {
                details["group"] = json!(target.ty.group);
            }
            respond(StatusCode::OK, status::success(Some(details)).to_string())
        }
        Deletion::Gone(object) | Deletion::Pending(object) => {
            respond(StatusCode::OK, render(target, &object, Shape::Object))
        }
    }
}

/// What the real server answers on a path that it does not have.
fn page_not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
