//! HTTP from and in a pod, over the emulated network.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use acrossk8s_mocks::network::Listener;
use acrossk8s_mocks::workloads::Container;
use acrossk8s_mocks::workloads::resolver::{ResolveError, resolve_in};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

/// How long an answer of PD or TiDB is waited for (`pingcap/tidb-operator pkg/pdapi/pdapi.go`).
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Not `host:port`.
    #[error("`{0}` is not host:port")]
    Authority(String),
    /// The name has no address.
    #[error("lookup {0}: {1}")]
    Resolve(String, ResolveError),
    /// No connection.
    #[error("dial tcp {0}: {1}")]
    Connect(String, io::Error),
    /// The exchange broke.
    #[error("{0}: {1}")]
    Exchange(String, hyper::Error),
    /// The request cannot be made.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// No answer within [`TIMEOUT`].
    #[error("{0}: context deadline exceeded")]
    TimedOut(String),
    /// Another status than 2xx.
    #[error("{0}: status {1}: {2}")]
    Status(String, StatusCode, String),
    /// The body is not what was expected.
    #[error("{0}: {1}")]
    Body(String, serde_json::Error),
}

/// Sends a request to `host:port` and returns the body of a successful answer.
///
/// # Errors
/// See [`HttpError`].
pub async fn send(container: &Container, method: Method, authority: &str, path: &str) -> Result<Bytes, HttpError> {
    let exchange = exchange(container, method, authority, path);
    let (status, body) =
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| HttpError::TimedOut(authority.to_owned()))??;
    if !status.is_success() {
        return Err(HttpError::Status(authority.to_owned(), status, String::from_utf8_lossy(&body).into_owned()));
    }
    Ok(body)
}

async fn exchange(
    container: &Container,
    method: Method,
    authority: &str,
    path: &str,
) -> Result<(StatusCode, Bytes), HttpError> {
    let malformed = || HttpError::Authority(authority.to_owned());
    let (host, port) = authority.rsplit_once(':').ok_or_else(malformed)?;
    let port: u16 = port.parse().map_err(|_| malformed())?;
    let addresses = resolve_in(container, host).await.map_err(|error| HttpError::Resolve(host.to_owned(), error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let mut stream = None;
    for address in addresses {
        match container.host.connect(SocketAddrV4::new(address, port)).await {
            Ok(open) => {
                stream = Some(open);
                break;
            }
            Err(error) => last = error,
        }
    }
    let stream = stream.ok_or_else(|| HttpError::Connect(authority.to_owned(), last))?;
    let broken = |error| HttpError::Exchange(authority.to_owned(), error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    // The connection ends with the sender; its error is the request's.
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(header::HOST, authority);
    let response = sender.send_request(request.body(Full::default())?).await.map_err(broken)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    Ok((status, body))
}

/// Serves a listener until the container has to stop. The answer is a status and a text.
pub(crate) async fn serve<H, F>(container: &Container, listener: Box<dyn Listener>, handler: Arc<H>)
where
    H: Fn(Method, String) -> F + Send + Sync + 'static,
    F: Future<Output = (StatusCode, String)> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = container.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // The pod's host is gone: the container is about to be stopped.
            container.stop.cancelled().await;
            return;
        };
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = handler(
                request.method().clone(),
                request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            );
            async move {
                let (status, text) = answer.await;
                let mut response = Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(async move {
            // A client that goes away in the middle is not an error of the server.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
