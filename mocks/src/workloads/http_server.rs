//! Serving HTTP/1.1 on a port of the emulated network.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use crate::network::Host;

/// Answers a request from an address.
pub type Handler = Arc<dyn Fn(SocketAddrV4, Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync>;

/// Serves HTTP on a host's port until the host is detached. Calls `listening` when the port is open.
///
/// # Errors
/// When the port is taken; later, when the host has been detached.
pub async fn serve(host: &Arc<dyn Host>, port: u16, handler: Handler, listening: impl FnOnce()) -> io::Result<()> {
    let listener = host.listen(port).await?;
    listening();
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, from) = accepted?;
                let handler = handler.clone();
                under_way.spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let answer = handler(from, request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // A client that breaks off is no concern of the server's.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .preserve_header_case(true)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}

/// A plain text answer.
pub fn text(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
