//! One query and its answer.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use hickory_proto::op::Message;

use super::wire::{read_framed, write_framed};
use crate::network::Host;

/// Asks over UDP. Answers that are not to this query (identifier, question, sender) are not listened to.
///
/// # Errors
/// `TimedOut` after `deadline`, or at once where the network knows that no answer can come; `ConnectionRefused` when
/// nothing listens; `InvalidData` when the query cannot be encoded.
pub async fn exchange_udp(
    host: &dyn Host,
    server: SocketAddrV4,
    query: &Message,
    deadline: Duration,
) -> io::Result<Message> {
    let bytes = query.to_vec().map_err(invalid)?;
    let socket = host.bind(0).await?;
    let exchange = async {
        socket.send_to(&bytes, server).await?;
        loop {
            let (payload, from) = socket.recv_from().await?;
            if from != server {
                continue;
            }
            if let Ok(answer) = Message::from_vec(&payload)
                && answers(query, &answer)
            {
                return Ok(answer);
            }
        }
    };
    tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Asks over a TCP connection of its own.
///
/// # Errors
/// As [`exchange_udp`]; `UnexpectedEof` when the server closes the connection without an answer; `InvalidData` when the
/// answer is none.
pub async fn exchange_tcp(
    host: &dyn Host,
    server: SocketAddrV4,
    query: &Message,
    deadline: Duration,
) -> io::Result<Message> {
    let bytes = query.to_vec().map_err(invalid)?;
    let exchange = async {
        let mut stream = host.connect(server).await?;
        write_framed(&mut stream, &bytes).await?;
        let payload = read_framed(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer = Message::from_vec(&payload).map_err(invalid)?;
        if answers(query, &answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
    };
    tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| Err(timed_out()))
}

fn answers(query: &Message, answer: &Message) -> bool {
    answer.metadata.id == query.metadata.id && (answer.queries.is_empty() || answer.queries == query.queries)
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")
}

fn invalid<E: std::error::Error + Send + Sync + 'static>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
