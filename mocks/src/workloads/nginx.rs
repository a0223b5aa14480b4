//! nginx 1.21.5 as its Docker image runs it: the welcome page on port 80, and the commands of the image that the check
//! of the procedure uses.

use std::net::SocketAddrV4;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response};

use super::http_server::serve;
use super::shell::debian_commands;
use super::{Container, ExecIo, Log, Program};

/// The page that nginx's package installs.
pub const WELCOME: &str = "<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto;
font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the nginx web server is successfully installed and
working. Further configuration is required.</p>

<p>For online documentation and support please refer to
<a href=\"http://nginx.org/\">nginx.org</a>.<br/>
Commercial support is available at
<a href=\"http://nginx.com/\">nginx.com</a>.</p>

<p><em>Thank you for using nginx.</em></p>
</body>
</html>
";

const VERSION: &str = "nginx/1.21.5";

/// The program of the image.
pub struct Nginx;

#[async_trait]
impl Program for Nginx {
    async fn run(&self, container: Container) -> i32 {
        let log = container.log.clone();
        let handler = Arc::new(move |from: SocketAddrV4, request: Request<Incoming>| answer(&log, from, &request));
        let served = serve(&container.host, 80, handler, || {
            // There is no readiness probe in the sample: a container is ready when it runs.
            container.ready.send_replace(true);
        });
        tokio::select! {
            result = served => {
                if let Err(error) = result {
                    container.log.line(format!("nginx: [emerg] bind() to 0.0.0.0:80 failed ({error})"));
                }
                1
            }
            () = container.stop.cancelled() => 0,
        }
    }

    async fn exec(&self, container: Container, command: Vec<String>, io: ExecIo) -> i32 {
        debian_commands(&container, &command, io).await
    }
}

fn answer(log: &Log, from: SocketAddrV4, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/" | "/index.html") => (200, WELCOME.to_owned()),
        (&Method::GET | &Method::HEAD, _) => (404, error_page("404 Not Found")),
        _ => (405, error_page("405 Not Allowed")),
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
    log.line(format!(
        "{} - - [{}] \"{} {target} HTTP/1.1\" {status} {} \"{}\" \"{}\" \"-\"",
        from.ip(),
        jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000"),
        request.method(),
        body.len(),
        header("referer"),
        header("user-agent"),
    ));
    let mut answer = super::http_server::text(status, body);
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/html"));
    headers.insert("server", HeaderValue::from_static(VERSION));
    headers.insert(HeaderName::from_static("accept-ranges"), HeaderValue::from_static("bytes"));
    answer
}

fn error_page(what: &str) -> String {
    format!(
        "<html>\r\n<head><title>{what}</title></head>\r\n<body>\r\n<center><h1>{what}</h1></center>\r\n<hr><center>{VERSION}</center>\r\n</body>\r\n</html>\r\n"
    )
}
