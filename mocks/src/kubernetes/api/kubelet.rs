//! What the API server asks of a node: exec, logs and port forwarding are carried out by the kubelet of the pod's node.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::network::BoxStream;
use crate::workloads::ExecIo;

/// A node agent as the API server sees it. Registered with
/// [`ApiServer::set_kubelet`](super::ApiServer::set_kubelet) under the node's name.
#[async_trait]
pub trait Kubelet: Send + Sync + 'static {
    /// Runs a command in a container and waits for it. Returns the exit code.
    ///
    /// `container` is `None` only when the request named none and the pod's spec has no containers; otherwise the server
    /// fills in the pod's default container. `io.stdin` ends at once when the request did not ask for stdin. What is
    /// written to `io.stdout` and `io.stderr` when the request did not ask for them is dropped.
    ///
    /// # Errors
    /// [`KubeletError`] when the command could not be started; a command that ran and failed is `Ok` with its code.
    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: Vec<String>,
        tty: bool,
        io: ExecIo,
    ) -> Result<i32, KubeletError>;

    /// Opens a container's log. The lines (each with its `\n`, several may share a chunk) come through the receiver,
    /// which ends with the log, or with the container when `options.follow`. The kubelet applies all the options.
    ///
    /// # Errors
    /// [`KubeletError`] when there is no such pod or container, or it has not started.
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Bytes>, KubeletError>;

    /// Opens a connection to a port of the pod, from inside its network namespace.
    ///
    /// # Errors
    /// [`KubeletError`] when there is no such pod or nothing listens on the port.
    async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<BoxStream, KubeletError>;
}

/// `PodLogOptions` of a log request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep the stream open for lines to come.
    pub follow: bool,
    /// Only the last so many of the lines there are at the time of the request.
    pub tail_lines: Option<u64>,
    /// Only lines younger than this.
    pub since: Option<Duration>,
    /// Only lines written at or after this time.
    pub since_time: Option<jiff::Timestamp>,
    /// Prefix each line with its RFC 3339 time and a space.
    pub timestamps: bool,
    /// The log of the previous instance of the container.
    pub previous: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a kubelet did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KubeletError {
    /// The node runs no such pod.
    #[error("pods \"{0}\" not found")]
    PodNotFound(String),
    /// The pod has no such container.
    #[error("container {container} is not valid for pod {pod}")]
    ContainerNotFound {
        /// Name of the pod.
        pod: String,
        /// Name of the container asked for.
        container: String,
    },
    /// The container is not running (or, for logs, has not started).
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    NotRunning {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// The reason of its waiting state, for example `ContainerCreating`.
        reason: String,
    },
    /// Nothing accepts connections on the port.
    #[error("failed to connect to localhost:{port} inside the pod's network namespace: {reason}")]
    PortRefused {
        /// The port asked for.
        port: u16,
        /// The error of the connection.
        reason: String,
    },
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}
