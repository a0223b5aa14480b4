//! The emulation on a port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::aws::Aws;
use crate::aws::wire::dispatch::MAX_BODY;

/// A port on which the emulation answers. It stops answering when this is dropped or shut down.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: CancellationToken,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Endpoint {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting, lets the requests under way finish, and waits for that.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // It ends with an error only if it panicked, and then it is gone all the same.
            let _ = server.await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Aws {
    /// Answers on `listen` (port 0 picks a free one) over plain HTTP, for every region and service at once.
    ///
    /// # Errors
    /// What listening on the address gives, `AddrInUse` above all.
    pub async fn serve(self: &Arc<Self>, listen: SocketAddr) -> io::Result<Endpoint> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        // Answers are small and clients wait for each: without this the kernel may hold the last packet back.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
        });
        let aws = Arc::clone(self);
        let router = Router::new().fallback(move |request: Request<Body>| answer(Arc::clone(&aws), request));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned()).await
        });
        Ok(Endpoint { address, stop, server: Some(server) })
    }
}

async fn answer(aws: Arc<Aws>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => aws.dispatch(&Request::from_parts(parts, body)).map(Body::from),
        Err(_) => {
            let mut response =
                Response::new(Body::from(Bytes::from_static(b"The request body is too long or broke off.\n")));
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            response
        }
    }
}
