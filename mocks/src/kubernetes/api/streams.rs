//! Exec and port forwarding over WebSocket, and logs.
//!
//! Source: Kubernetes' remote command protocol, versions 4 and 5 (`v5.channel.k8s.io` adds a message that closes a
//! channel), and its port forwarding over WebSocket: binary messages, the first byte of each the channel.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{Response, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::pods::refused;
use super::request::{Query, Target};
use super::status::{ApiError, success};
use super::{Kubelet, KubeletError, LogOptions, Shared};
use crate::workloads::ExecIo;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// In version 5, a message on this channel closes the channel that it names.
const CLOSE: u8 = 255;

/// Output that may be under way before a slow client is waited for.
const BUFFERED: usize = 64;

async fn upgrade(parts: &mut Parts, protocols: &'static [&'static str]) -> Result<WebSocketUpgrade, ApiError> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|_| {
        ApiError::bad_request("Upgrade request required: only WebSocket connections are served here, not SPDY")
    })?;
    let upgrade = upgrade.protocols(protocols.iter().copied());
    if upgrade.selected_protocol().is_none() {
        return Err(ApiError::bad_request(format!(
            "none of the subprotocols is supported; {} are",
            protocols.join(", ")
        )));
    }
    Ok(upgrade)
}

fn message(channel: u8, payload: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(payload.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(payload);
    Message::Binary(bytes.into())
}

impl Shared {
    /// `pods/exec`.
    pub(super) async fn exec(
        self: &Arc<Self>,
        target: &Target,
        query: &Query,
        mut parts: Parts,
    ) -> Result<Response<Body>, ApiError> {
        let command = query.all("command");
        if command.is_empty() {
            return Err(ApiError::bad_request("you must specify at least one command for the container"));
        }
        let (kubelet, container) = self.kubelet_of(target, query.get("container"))?;
        let upgrade = upgrade(&mut parts, &["v5.channel.k8s.io", "v4.channel.k8s.io"]).await?;
        let exec = Exec {
            kubelet,
            namespace: target.namespace.clone().unwrap_or_default(),
            pod: target.name.clone().unwrap_or_default(),
            container,
            command,
            tty: query.flag("tty"),
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
        };
        let stop = self.stop.clone();
        Ok(upgrade.on_upgrade(async move |socket| {
            tokio::select! {
                () = exec.run(socket) => {}
                () = stop.cancelled() => {}
            }
        }))
    }

    /// `pods/portforward`.
    pub(super) async fn port_forward(
        self: &Arc<Self>,
        target: &Target,
        query: &Query,
        mut parts: Parts,
    ) -> Result<Response<Body>, ApiError> {
        let mut ports = Vec::new();
        for port in query.all("ports").iter().flat_map(|it| it.split(',')) {
            ports.push(
                port.parse::<u16>()
                    .map_err(|_| ApiError::bad_request(format!("unable to parse {port:?} as a port")))?,
            );
        }
        if ports.is_empty() {
            return Err(ApiError::bad_request("query parameter \"ports\" is required"));
        }
        let (kubelet, _) = self.kubelet_of(target, None)?;
        let upgrade = upgrade(&mut parts, &["v4.channel.k8s.io"]).await?;
        let (namespace, pod) = (target.namespace.clone().unwrap_or_default(), target.name.clone().unwrap_or_default());
        let stop = self.stop.clone();
        Ok(upgrade.on_upgrade(async move |socket| {
            tokio::select! {
                () = forward(socket, kubelet, namespace, pod, ports) => {}
                () = stop.cancelled() => {}
            }
        }))
    }

    /// `pods/log`.
    pub(super) async fn logs(&self, target: &Target, query: &Query) -> Result<Response<Body>, ApiError> {
        let options = LogOptions {
            follow: query.flag("follow"),
            tail_lines: query.number("tailLines")?,
            since: query.number("sinceSeconds")?.map(Duration::from_secs),
            since_time: match query.get("sinceTime") {
                Some(time) => {
                    Some(time.parse().map_err(|_| ApiError::bad_request(format!("invalid sinceTime {time:?}")))?)
                }
                None => None,
            },
            timestamps: query.flag("timestamps"),
            previous: query.flag("previous"),
            limit_bytes: query.number("limitBytes")?,
        };
        let (kubelet, container) = self.kubelet_of(target, query.get("container"))?;
        let (namespace, pod) =
            (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
        let lines = kubelet
            .logs(namespace, pod, container.as_deref().unwrap_or_default(), options)
            .await
            .map_err(|it| refused(&it))?;
        let stop = self.stop.clone();
        let lines = futures::stream::unfold((lines, stop), |(mut lines, stop)| async move {
            let chunk = tokio::select! {
                chunk = lines.recv() => chunk?,
                () = stop.cancelled() => return None,
            };
            Some((Ok::<_, std::convert::Infallible>(chunk), (lines, stop)))
        });
        let mut response = Response::new(Body::from_stream(lines));
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}

struct Exec {
    kubelet: Arc<dyn Kubelet>,
    namespace: String,
    pod: String,
    container: Option<String>,
    command: Vec<String>,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Exec {
    async fn run(self, socket: WebSocket) {
        let (mut to_client, mut from_client) = socket.split();
        let (stdin_sender, stdin) = mpsc::channel(BUFFERED);
        let (stdout, mut stdout_receiver) = mpsc::channel::<Bytes>(BUFFERED);
        let (stderr, mut stderr_receiver) = mpsc::channel::<Bytes>(BUFFERED);
        let mut stdin_sender = Some(stdin_sender).filter(|_| self.stdin);
        let run = self.kubelet.exec(
            &self.namespace,
            &self.pod,
            self.container.as_deref(),
            self.command.clone(),
            self.tty,
            ExecIo { stdin, stdout, stderr },
        );
        tokio::pin!(run);
        let mut ended: Option<Result<i32, KubeletError>> = None;
        let (mut out_open, mut err_open, mut client_open) = (true, true, true);
        // The command's senders go with it: its output is whole when both channels have ended.
        while ended.is_none() || out_open || err_open {
            tokio::select! {
                result = &mut run, if ended.is_none() => ended = Some(result),
                chunk = stdout_receiver.recv(), if out_open => match chunk {
                    Some(chunk) if self.stdout => {
                        if to_client.send(message(STDOUT, &chunk)).await.is_err() {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => out_open = false,
                },
                chunk = stderr_receiver.recv(), if err_open => match chunk {
                    Some(chunk) if self.stderr => {
                        if to_client.send(message(STDERR, &chunk)).await.is_err() {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => err_open = false,
                },
                received = from_client.next(), if client_open => match received {
                    Some(Ok(Message::Binary(bytes))) => match bytes.split_first() {
                        Some((&STDIN, payload)) if !payload.is_empty() => {
                            if let Some(sender) = &stdin_sender {
                                // A command that reads no more ends its standard input.
                                let _ = sender.send(Bytes::copy_from_slice(payload)).await;
                            }
                        }
                        Some((&CLOSE, [STDIN])) => stdin_sender = None,
                        _ => {}
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        client_open = false;
                        stdin_sender = None;
                    }
                    Some(Ok(_)) => {}
                },
            }
        }
        let status =
            status_of(&ended.unwrap_or_else(|| Err(KubeletError::Internal("the command did not end".to_owned()))));
        let _ = to_client.send(message(ERROR, status.to_string().as_bytes())).await;
        let _ = to_client.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
    }
}

/// The Status that ends an exec.
fn status_of(ended: &Result<i32, KubeletError>) -> Value {
    match ended {
        Ok(0) => success(None),
        Ok(code) => json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        }),
        Err(error) => refused(error).to_value(),
    }
}

/// Two channels for each port: data and error. Each begins with a message that names the port.
async fn forward(socket: WebSocket, kubelet: Arc<dyn Kubelet>, namespace: String, pod: String, ports: Vec<u16>) {
    let (mut to_client, mut from_client) = socket.split();
    let (sender, mut outgoing) = mpsc::channel::<Message>(BUFFERED);
    let mut writers = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (index, port) in ports.iter().copied().enumerate() {
        let Ok(data) = u8::try_from(index * 2) else { break };
        let named = port.to_le_bytes();
        for channel in [data, data + 1] {
            if to_client.send(message(channel, &named)).await.is_err() {
                return;
            }
        }
        let (writer, mut incoming) = mpsc::channel::<Bytes>(BUFFERED);
        writers.push(writer);
        let (kubelet, namespace, pod, sender) = (kubelet.clone(), namespace.clone(), pod.clone(), sender.clone());
        tasks.spawn(async move {
            let stream = match kubelet.port_forward(&namespace, &pod, port).await {
                Ok(stream) => stream,
                Err(error) => {
                    let _ = sender.send(message(data + 1, error.to_string().as_bytes())).await;
                    return;
                }
            };
            let (mut reader, mut stream) = tokio::io::split(stream);
            let mut buffer = vec![0; 16 * 1024];
            loop {
                tokio::select! {
                    read = reader.read(&mut buffer) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(length) => {
                            if sender.send(message(data, &buffer[..length])).await.is_err() {
                                return;
                            }
                        }
                    },
                    chunk = incoming.recv() => match chunk {
                        Some(chunk) => {
                            if stream.write_all(&chunk).await.is_err() || stream.flush().await.is_err() {
                                return;
                            }
                        }
                        None => return,
                    },
                }
            }
        });
    }
    drop(sender);
    loop {
        tokio::select! {
            next = outgoing.recv() => match next {
                Some(next) => {
                    if to_client.send(next).await.is_err() {
                        return;
                    }
                }
                // Every port's connection has ended.
                None => {
                    let _ = to_client.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
                    return;
                }
            },
            received = from_client.next() => match received {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some((channel, payload)) = bytes.split_first()
                        && channel % 2 == 0
                        && let Some(writer) = writers.get(usize::from(channel / 2))
                    {
                        let _ = writer.send(Bytes::copy_from_slice(payload)).await;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
