//! The small HTTP servers of `health`, `ready` and `prometheus`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::network::{Host, Listener};

/// What a path is answered with; `None` for 404.
pub(super) type Page = Arc<dyn Fn(&str) -> Option<(StatusCode, String)> + Send + Sync>;

/// A running endpoint; it ends when it is dropped.
pub(super) struct Endpoint {
    page: Arc<RwLock<Page>>,
    _stop: DropGuard,
}

impl Endpoint {
    /// Serves pages at a port.
    pub async fn start(host: &dyn Host, port: u16, page: Page) -> io::Result<Self> {
        let listener = host.listen(port).await?;
        let stop = CancellationToken::new();
        let page = Arc::new(RwLock::new(page));
        tokio::spawn(serve(listener, Arc::clone(&page), stop.clone()));
        Ok(Self { page, _stop: stop.drop_guard() })
    }

    /// Replaces the pages.
    pub fn replace(&self, page: Page) {
        *self.page.write() = page;
    }
}

async fn serve(listener: Box<dyn Listener>, page: Arc<RwLock<Page>>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { return };
        let page = Arc::clone(&page.read());
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&page)));
            // A client that goes away in the middle is not an error of the server.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, page: Page) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) =
        page(request.uri().path()).unwrap_or_else(|| (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}

/// The port of a listening address such as `:9153`. `None` for an address on the loopback interface, which nothing
/// outside the pod reaches, and for what is no address.
pub(super) fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if loopback { None } else { port.parse().ok() }
}
