//! Exec, logs and port forwarding, handed to the kubelet of the pod's node.

mod exec;
mod port_forward;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade, close_code};
use futures::StreamExt as _;
use http::request::Parts;
use http::{HeaderValue, Response, header};
use serde_json::Value;

use super::Shared;
use super::kubelet::{Kubelet, KubeletError, LogOptions};
use super::object::{self, Object, text};
use super::request::{Query, Target};
use super::status::ApiError;

impl Shared {
    /// The pod of a request and the kubelet of its node.
    fn on_node(&self, target: &Target) -> Result<(Arc<Object>, Arc<dyn Kubelet>), ApiError> {
        let name = target.name.as_deref().unwrap_or_default();
        let pod = self.store.get(&target.key(name)).ok_or_else(|| ApiError::not_found(&target.ty, name))?;
        let node = text(pod.value(), "/spec/nodeName");
        if node.is_empty() {
            return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let kubelet = self.kubelets.read().get(node).cloned();
        let kubelet = kubelet
            .ok_or_else(|| ApiError::internal(format!("error dialing backend: no kubelet answers on node {node:?}")))?;
        Ok((pod, kubelet))
    }

    /// `GET …/pods/NAME/log`.
    pub(super) async fn logs(&self, target: &Target, query: &Query) -> Result<Response<Body>, ApiError> {
        let (pod, kubelet) = self.on_node(target)?;
        let pod = pod.value();
        let container = container(pod, query.get("container"))?.unwrap_or_default();
        let since_time = query
            .get("sinceTime")
            .map(|time| time.parse().map_err(|error| ApiError::bad_request(format!("sinceTime: {error}"))));
        let options = LogOptions {
            follow: query.flag("follow"),
            tail_lines: query.number("tailLines")?,
            since: query.number("sinceSeconds")?.map(Duration::from_secs),
            since_time: since_time.transpose()?,
            timestamps: query.flag("timestamps"),
            previous: query.flag("previous"),
            limit_bytes: query.number("limitBytes")?,
        };
        let lines =
            kubelet.logs(object::namespace(pod), object::name(pod), container, options).await.map_err(refused)?;
        let chunks = futures::stream::unfold(lines, |mut lines| async move {
            Some((Ok::<_, std::convert::Infallible>(lines.recv().await?), lines))
        });
        let stop = self.stop.clone().cancelled_owned();
        let mut response = Response::new(Body::from_stream(chunks.take_until(stop)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(response)
    }

    /// `…/pods/NAME/exec` over WebSocket.
    pub(super) async fn exec(
        &self,
        target: &Target,
        query: &Query,
        parts: &mut Parts,
    ) -> Result<Response<Body>, ApiError> {
        let (pod, kubelet) = self.on_node(target)?;
        let value = pod.value();
        let phase = text(value, "/status/phase");
        if phase == "Succeeded" || phase == "Failed" {
            let why = format!("cannot exec into a container in a completed pod; current phase is {phase}");
            return Err(ApiError::bad_request(why));
        }
        let container = container(value, query.get("container"))?.map(str::to_owned);
        let command = query.all("command");
        if command.is_empty() {
            return Err(ApiError::bad_request("you must specify at least one command for the container"));
        }
        let upgrade = upgrade(parts, &["v5.channel.k8s.io", "v4.channel.k8s.io"]).await?;
        let session = exec::Session {
            kubelet,
            namespace: object::namespace(value).to_owned(),
            pod: object::name(value).to_owned(),
            container,
            command,
            tty: query.flag("tty"),
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            closes_streams: selected(&upgrade) == "v5.channel.k8s.io",
        };
        let (stop, token) = (self.stop.clone(), self.tasks.token());
        Ok(upgrade.on_upgrade(move |socket| async move {
            let _token = token;
            stop.run_until_cancelled(session.run(socket)).await;
        }))
    }

    /// `…/pods/NAME/portforward` over WebSocket, as the `v4.channel.k8s.io` protocol has it. `kubectl` speaks SPDY
    /// tunnelled through a WebSocket instead, which is refused.
    pub(super) async fn port_forward(
        &self,
        target: &Target,
        query: &Query,
        parts: &mut Parts,
    ) -> Result<Response<Body>, ApiError> {
        let (pod, kubelet) = self.on_node(target)?;
        let ports: Result<Vec<u16>, ApiError> = query
            .all("ports")
            .iter()
            .flat_map(|ports| ports.split(','))
            .map(|port| match port.trim().parse() {
                Ok(0) | Err(_) => Err(ApiError::bad_request(format!("invalid port {port:?} in query"))),
                Ok(port) => Ok(port),
            })
            .collect();
        let ports = ports?;
        // Two channels for each port, numbered by one byte.
        if ports.is_empty() || ports.len() > 127 {
            return Err(ApiError::bad_request("query parameter \"ports\" is required, with at most 127 ports"));
        }
        let upgrade = upgrade(parts, &["v4.channel.k8s.io", "portforward.k8s.io"]).await?;
        let (namespace, name) = (object::namespace(pod.value()).to_owned(), object::name(pod.value()).to_owned());
        let (stop, token) = (self.stop.clone(), self.tasks.token());
        Ok(upgrade.on_upgrade(move |socket| async move {
            let _token = token;
            let forward = port_forward::run(socket, kubelet, &namespace, &name, ports);
            stop.run_until_cancelled(forward).await;
        }))
    }
}

/// Takes a request over to WebSocket with one of the protocols.
async fn upgrade(parts: &mut Parts, protocols: &'static [&'static str]) -> Result<WebSocketUpgrade, ApiError> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|error| ApiError::bad_request(format!("unable to upgrade: {error}")))?;
    let upgrade = upgrade.protocols(protocols.iter().copied());
    if upgrade.selected_protocol().is_none() {
        let list = protocols.join(", ");
        return Err(ApiError::bad_request(format!("unable to upgrade: the server speaks {list} over WebSocket only")));
    }
    Ok(upgrade)
}

fn selected(upgrade: &WebSocketUpgrade) -> &str {
    upgrade.selected_protocol().and_then(|protocol| protocol.to_str().ok()).unwrap_or_default()
}

/// The container asked for, or the pod's default one, or its only one.
fn container<'a>(pod: &'a Value, asked: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
    let names = |kind: &str| {
        let list = pod["spec"].get(kind).and_then(Value::as_array).into_iter().flatten();
        list.map(|container| text(container, "/name")).collect::<Vec<_>>()
    };
    let containers = names("containers");
    let name = object::name(pod);
    match asked {
        Some(asked) if containers.contains(&asked) || names("initContainers").contains(&asked) => Ok(Some(asked)),
        Some(asked) => Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}"))),
        None => {
            let annotations = &pod["metadata"]["annotations"];
            let default = annotations.get("kubectl.kubernetes.io/default-container").and_then(Value::as_str);
            match (default.filter(|default| containers.contains(default)), containers.as_slice()) {
                (Some(default), _) => Ok(Some(default)),
                (None, []) => Ok(None),
                (None, [only]) => Ok(Some(only)),
                (None, several) => Err(ApiError::bad_request(format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    several.join(" ")
                ))),
            }
        }
    }
}

/// A kubelet's refusal as the API server passes it on.
fn refused(error: KubeletError) -> ApiError {
    let message = error.to_string();
    match error {
        KubeletError::PodNotFound(_) => {
            let mut not_found = ApiError::bad_request(message);
            (not_found.code, not_found.reason) = (404, "NotFound");
            not_found
        }
        KubeletError::ContainerNotFound { .. } | KubeletError::NotRunning { .. } => ApiError::bad_request(message),
        KubeletError::PortRefused { .. } | KubeletError::Internal(_) => ApiError::internal(message),
    }
}

/// The end of a session: `kubectl` takes a close without a code for an error.
fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))
}
