//! One transfer.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::VERSION;
use super::failure::{Failure, code};
use super::options::{Options, Url};
use crate::network::BoxStream;
use crate::workloads::Container;
use crate::workloads::resolver::{self, ResolveError};

/// What came of a transfer.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The URL.
    pub url: String,
    /// Status of the answer; 0 without one.
    pub status: u16,
    /// The body, with the headers before it where they were asked for.
    pub body: Bytes,
    /// `Content-Type` of the answer.
    pub content_type: String,
    /// Where the connection went, if there was one.
    pub remote: Option<SocketAddrV4>,
    /// The pod's own address, if there was a connection.
    pub local: Option<Ipv4Addr>,
    /// When what was done.
    pub times: Times,
    /// What `-v` prints.
    pub trace: String,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Times since the start; zero for what was not reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// The name was resolved.
    pub resolved: Duration,
    /// The connection was open.
    pub connected: Duration,
    /// The answer began.
    pub answered: Duration,
    /// All was done.
    pub total: Duration,
}

/// What is under way, for the message when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resolving,
    Connecting,
    Transferring,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Resolving => "Resolving",
            Phase::Connecting => "Connection",
            Phase::Transferring => "Operation",
        }
    }
}

/// Fetches one URL. Failures are part of the outcome. Standard input matters to `telnet` only.
pub async fn transfer(
    container: &Container,
    options: &Options,
    url: &str,
    stdin: &mut mpsc::Receiver<Bytes>,
) -> Outcome {
    let mut transfer = Transfer {
        container,
        options,
        began: Instant::now(),
        phase: Phase::Resolving,
        outcome: Outcome { url: url.to_owned(), ..Outcome::default() },
    };
    let limit = options.max_time;
    let result = match limit {
        Some(limit) => match tokio::time::timeout(limit, transfer.run(url, stdin)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::timed_out(transfer.phase.name(), limit)),
        },
        None => transfer.run(url, stdin).await,
    };
    let mut outcome = transfer.outcome;
    outcome.times.total = transfer.began.elapsed();
    outcome.failure = result.err();
    outcome
}

struct Transfer<'a> {
    container: &'a Container,
    options: &'a Options,
    began: Instant,
    phase: Phase,
    outcome: Outcome,
}

impl Transfer<'_> {
    async fn run(&mut self, url: &str, stdin: &mut mpsc::Receiver<Bytes>) -> Result<(), Failure> {
        let url = Url::parse(url)?;
        let limit = self.options.connect_timeout;
        let stream = match limit {
            Some(limit) => match tokio::time::timeout(limit, self.open(&url)).await {
                Ok(opened) => opened?,
                Err(_) => return Err(Failure::timed_out(self.phase.name(), limit)),
            },
            None => self.open(&url).await?,
        };
        self.phase = Phase::Transferring;
        if url.scheme == "telnet" {
            while stdin.recv().await.is_some() {}
            return Ok(());
        }
        self.http(&url, stream).await
    }

    /// The limit that ends the opening of a connection, if there is one.
    fn limit(&self) -> Option<Duration> {
        self.options.connect_timeout.into_iter().chain(self.options.max_time).min()
    }

    async fn open(&mut self, url: &Url) -> Result<BoxStream, Failure> {
        let given = self.options.resolve.iter().find(|(host, port, _)| *host == url.host && *port == url.port);
        let addresses = match given {
            Some((_, _, address)) => vec![*address],
            None => match resolver::resolve_in(self.container, &url.host).await {
                Ok(addresses) => addresses,
                // Where the network knows that nobody will answer, curl would wait for its limit.
                Err(ResolveError::TimedOut) => {
                    return Err(match self.limit() {
                        Some(limit) if limit <= resolver::TIMEOUT * 2 => {
                            Failure::timed_out(Phase::Resolving.name(), limit)
                        }
                        _ => Failure::unresolved(&url.host),
                    });
                }
                Err(_) => return Err(Failure::unresolved(&url.host)),
            },
        };
        self.outcome.times.resolved = self.began.elapsed();
        self.phase = Phase::Connecting;
        let host = &self.container.host;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            let to = SocketAddrV4::new(address, url.port);
            let _ = writeln!(self.outcome.trace, "*   Trying {to}...");
            match host.connect(to).await {
                Ok(stream) => {
                    self.outcome.times.connected = self.began.elapsed();
                    self.outcome.remote = Some(to);
                    self.outcome.local = Some(host.address());
                    let _ =
                        writeln!(self.outcome.trace, "* Connected to {} ({address}) port {} (#0)", url.host, url.port);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        match (last.kind(), self.limit()) {
            (io::ErrorKind::TimedOut, Some(limit)) => Err(Failure::timed_out(Phase::Connecting.name(), limit)),
            _ => Err(Failure::connect(&url.host, url.port, &last)),
        }
    }

    async fn http(&mut self, url: &Url, stream: BoxStream) -> Result<(), Failure> {
        let request = self.request(url)?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| receive_failure(&error))?;
        // The connection ends with the sender; its error is the request's.
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| receive_failure(&error))?;
        self.outcome.times.answered = self.began.elapsed();
        self.outcome.status = response.status().as_u16();
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        self.outcome.content_type = content_type.unwrap_or_default().to_owned();
        let head = head(&response);
        for line in head.lines() {
            let _ = writeln!(self.outcome.trace, "< {line}");
        }
        if self.options.fail && response.status().as_u16() >= 400 {
            let status = response.status();
            let reason = status.canonical_reason().unwrap_or_default();
            let message = format!("The requested URL returned error: {} {reason}", status.as_u16());
            return Err(Failure::new(code::HTTP_RETURNED_ERROR, message.trim_end()));
        }
        let mut body = BytesMut::new();
        if self.options.include || self.options.head {
            body.extend_from_slice(head.as_bytes());
        }
        let received = receive(response, &mut body).await;
        self.outcome.body = body.freeze();
        drop(sender);
        connection.abort();
        received
    }

    fn request(&mut self, url: &Url) -> Result<Request<Empty<Bytes>>, Failure> {
        let bad = |error: &dyn std::fmt::Display| Failure::new(code::URL_MALFORMAT, error.to_string());
        let method = match (&self.options.method, self.options.head) {
            (Some(method), _) => Method::from_bytes(method.as_bytes()).map_err(|error| bad(&error))?,
            (None, true) => Method::HEAD,
            (None, false) => Method::GET,
        };
        let host = if url.explicit_port { format!("{}:{}", url.host, url.port) } else { url.host.clone() };
        let agent = self.options.user_agent.clone().unwrap_or_else(|| format!("curl/{VERSION}"));
        let mut request =
            Request::builder().method(method).uri(&url.path).body(Empty::new()).map_err(|error| bad(&error))?;
        let given = self.options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let defaults = [("Host", host.as_str()), ("User-Agent", &agent), ("Accept", "*/*")];
        for (name, value) in defaults.into_iter().chain(given) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?;
            // An empty value takes the header away.
            if value.is_empty() {
                request.headers_mut().remove(&name);
            } else {
                let value = HeaderValue::from_str(value).map_err(|error| bad(&error))?;
                request.headers_mut().insert(name, value);
            }
        }
        let _ = writeln!(self.outcome.trace, "> {} {} HTTP/1.1", request.method(), url.path);
        for (name, value) in request.headers() {
            let _ = writeln!(self.outcome.trace, "> {name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        self.outcome.trace.push_str("> \n");
        Ok(request)
    }
}

async fn receive(response: Response<Incoming>, body: &mut BytesMut) -> Result<(), Failure> {
    let expected =
        response.headers().get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    let mut received = 0;
    let mut incoming = response.into_body();
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    received += data.len();
                    body.extend_from_slice(data);
                }
            }
            Err(_) => {
                let left = expected.map_or(0, |expected| expected.saturating_sub(received));
                let message = format!("transfer closed with {left} bytes remaining to read");
                return Err(Failure::new(code::PARTIAL_FILE, message));
            }
        }
    }
    Ok(())
}

fn head(response: &Response<Incoming>) -> String {
    let version = if response.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let reason = response.status().canonical_reason().unwrap_or_default();
    let mut head = format!("{version} {} {reason}\r\n", response.status().as_u16());
    for (name, value) in response.headers() {
        let _ = write!(head, "{}: {}\r\n", capitalised(name.as_str()), String::from_utf8_lossy(value.as_bytes()));
    }
    head.push_str("\r\n");
    head
}

/// A header's name as servers usually write it.
fn capitalised(name: &str) -> String {
    if name == "etag" {
        return "ETag".to_owned();
    }
    let words = name.split('-').map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

fn receive_failure(error: &hyper::Error) -> Failure {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset) => {
            Failure::new(code::RECV_ERROR, "Recv failure: Connection reset by peer")
        }
        Some(io::ErrorKind::TimedOut) => Failure::new(code::RECV_ERROR, "Recv failure: Connection timed out"),
        _ if error.is_parse() => Failure::new(code::UNSUPPORTED_PROTOCOL, "Received HTTP/0.9 when not allowed"),
        _ => Failure::new(code::GOT_NOTHING, "Empty reply from server"),
    }
}
