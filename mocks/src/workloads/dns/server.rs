//! Serving DNS on a port, over UDP and TCP.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::io::{AsyncBufReadExt as _, BufStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::{MAX_UDP, encode_udp, read_framed, reply_to, write_framed};
use crate::network::{BoxStream, Datagram, Host, Listener, Transport};

/// How long a TCP connection may be silent (CoreDNS's idle time-out).
const IDLE: Duration = Duration::from_secs(10);

/// A query that has arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The query, with one question.
    pub message: Message,
    /// Where it came from, as seen here.
    pub source: SocketAddrV4,
    /// What it came over.
    pub transport: Transport,
    /// The port it arrived at.
    pub port: u16,
}

/// Answers queries.
#[async_trait]
pub trait Responder: Send + Sync + 'static {
    /// The answer to a query. It is cut to the client's size, where it came over UDP, by the server.
    async fn respond(&self, request: Request) -> Message;
}

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    ended: CancellationToken,
    _stop: DropGuard,
}

impl Server {
    /// Serves a port of a host over UDP and TCP.
    ///
    /// # Errors
    /// The host's, such as `AddrInUse`.
    pub async fn start(host: &dyn Host, port: u16, responder: Arc<dyn Responder>) -> io::Result<Self> {
        let listener = host.listen(port).await?;
        let socket: Arc<dyn Datagram> = Arc::from(host.bind(port).await?);
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        tokio::spawn(serve_tcp(listener, port, Arc::clone(&responder), stop.clone(), end));
        tokio::spawn(serve_udp(socket, port, responder, stop.clone()));
        Ok(Self { ended, _stop: stop.drop_guard() })
    }

    /// Waits until it has ended by itself, which it does when its host is detached.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

async fn serve_tcp(
    listener: Box<dyn Listener>,
    port: u16,
    responder: Arc<dyn Responder>,
    stop: CancellationToken,
    _end: DropGuard,
) {
    // Dropped at the end, which breaks what is open.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // The host has been detached.
        let Ok((stream, source)) = accepted else { return };
        connections.spawn(serve_connection(stream, source, port, Arc::clone(&responder)));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the queries of one connection in their order. A query whose client has gone is dropped, which CoreDNS does
/// not do: without it a forwarding loop between two clusters would go round for ever in a network without latency.
async fn serve_connection(stream: BoxStream, source: SocketAddrV4, port: u16, responder: Arc<dyn Responder>) {
    let mut stream = BufStream::new(stream);
    while let Ok(Ok(Some(bytes))) = tokio::time::timeout(IDLE, read_framed(&mut stream)).await {
        let mut answering = std::pin::pin!(respond(&bytes, source, Transport::Tcp, port, responder.as_ref()));
        let answer = tokio::select! {
            answer = &mut answering => answer,
            // More queries may be waiting already: then the client is there.
            more = stream.fill_buf() => match more {
                Ok(bytes) if !bytes.is_empty() => answering.await,
                _ => return,
            },
        };
        let Some(answer) = answer else { return };
        let Ok(bytes) = answer.to_vec() else { return };
        if write_framed(&mut stream, &bytes).await.is_err() {
            return;
        }
    }
}

async fn serve_udp(socket: Arc<dyn Datagram>, port: u16, responder: Arc<dyn Responder>, stop: CancellationToken) {
    let mut queries = JoinSet::new();
    loop {
        let (bytes, source) = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from() => match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
                // What became of an earlier answer is the client's concern.
                Err(_) => continue,
            },
        };
        while queries.try_join_next().is_some() {}
        let (socket, responder) = (Arc::clone(&socket), Arc::clone(&responder));
        queries.spawn(async move {
            let Some(answer) = respond(&bytes, source, Transport::Udp, port, responder.as_ref()).await else { return };
            let limit = answer.edns.as_ref().map_or(MAX_UDP, |edns| usize::from(edns.max_payload()).max(MAX_UDP));
            if let Ok(bytes) = encode_udp(&answer, limit) {
                // A client that has gone away needs no answer.
                let _ = socket.send_to(&bytes, source).await;
            }
        });
    }
}

/// `None` for what deserves no answer: no DNS message, or not a query.
async fn respond(
    bytes: &[u8],
    source: SocketAddrV4,
    transport: Transport,
    port: u16,
    responder: &dyn Responder,
) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    if message.metadata.message_type != MessageType::Query {
        return None;
    }
    if message.queries.len() != 1 {
        return Some(reply_to(&message, ResponseCode::FormErr));
    }
    Some(responder.respond(Request { message, source, transport, port }).await)
}
