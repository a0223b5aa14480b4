//! nginx 1.21.5 as its Debian-based image starts it: HTTP/1.1 on port 80, the welcome page, an access log in the format
//! `main`.
//!
//! Simplified: the configuration is the image's own, whatever is mounted; connections are kept open until the client
//! closes them.

mod log;
mod pages;
#[cfg(test)]
mod tests;

pub use pages::WELCOME;

use std::convert::Infallible;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::{Container, ExecIo, Log, Program, shell};
use crate::network::BoxStream;

/// Name and version in the `Server` header and on error pages.
pub const SERVER: &str = "nginx/1.21.5";
/// Port of the image's default server.
pub const PORT: u16 = 80;

/// The program of the image `nginx`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nginx;

#[async_trait]
impl Program for Nginx {
    async fn run(&self, container: Container) -> i32 {
        let log = &container.log;
        log.line("/docker-entrypoint.sh: Configuration complete; ready for start up");
        let listener = match container.host.listen(PORT).await {
            Ok(listener) => listener,
            Err(error) => {
                log.line(log::notice("emerg", &format!("bind() to 0.0.0.0:{PORT} failed ({error})")));
                return 1;
            }
        };
        log.line(log::notice("notice", SERVER));
        log.line(log::notice("notice", "start worker processes"));
        container.ready.send_replace(true);
        let requests = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = container.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, source)) = accepted else {
                // The pod's host is gone: the container is about to be stopped.
                container.stop.cancelled().await;
                break;
            };
            connections.spawn(connection(stream, source, log.clone(), Arc::clone(&requests)));
            while connections.try_join_next().is_some() {}
        }
        container.ready.send_replace(false);
        log.line(log::notice("notice", "signal 3 (SIGQUIT) received, shutting down"));
        0
    }

    async fn exec(&self, container: Container, command: Vec<String>, io: ExecIo) -> i32 {
        if command.len() == 2 && command[0] == "nginx" && command[1] == "-v" {
            shell::print(&io.stderr, format!("nginx version: {SERVER}\n")).await;
            return 0;
        }
        shell::run(&container, &command, io).await
    }
}

async fn connection(stream: BoxStream, source: SocketAddrV4, log: Log, requests: Arc<AtomicU64>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
        let response = answer(&request);
        let status = response.status();
        let sent = if request.method() == Method::HEAD { 0 } else { response.body().1 };
        if status == StatusCode::NOT_FOUND {
            log.line(log::not_found(&request, source, number));
        }
        log.line(log::access(&request, source, status, sent));
        async move { Ok::<_, Infallible>(response.map(|(body, _)| body)) }
    });
    // A client that goes away in the middle is not an error of the server.
    let mut server = hyper::server::conn::http1::Builder::new();
    let _ = server.title_case_headers(true).serve_connection(TokioIo::new(stream), service).await;
}

/// An answer, with the length of its body.
fn answer(request: &Request<Incoming>) -> Response<(Full<Bytes>, usize)> {
    let (status, page, found) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/" | "/index.html") => (StatusCode::OK, pages::WELCOME.to_owned(), true),
        (&Method::GET | &Method::HEAD, "/50x.html") => (StatusCode::OK, pages::error_document(), true),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, pages::error(StatusCode::NOT_FOUND), false),
        _ => (StatusCode::METHOD_NOT_ALLOWED, pages::error(StatusCode::METHOD_NOT_ALLOWED), false),
    };
    let length = page.len();
    let mut response = Response::new((Full::new(Bytes::from(page)), length));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if found {
        headers.insert(header::LAST_MODIFIED, HeaderValue::from_static(pages::MODIFIED));
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}-{length:x}\"", pages::MODIFIED_TAG)) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    response
}
