//! DNS on the wire, for everything here that speaks it: queries and answers over UDP and TCP of the emulated network.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::network::{BoxStream, Host};

/// Longest UDP answer to a client that announces no larger one (RFC 1035, 4.2.1).
pub const PLAIN_UDP: usize = 512;

/// How long an answer may take in real time. The network says itself when none can come, so this only bounds defects.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// A query for a name, with recursion desired.
pub fn query(name: &Name, kind: RecordType) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    message
}

/// An answer without records to a query.
pub fn answer(query: &Message, code: ResponseCode) -> Message {
    let mut message = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(query.queries.iter().cloned());
    message
}

/// The SOA record that a negative answer carries.
pub fn soa(zone: &Name, ttl: u32) -> Record {
    let below =
        |label: &str| Name::from_ascii(label).and_then(|it| it.append_domain(zone)).unwrap_or_else(|_| zone.clone());
    // Serial and intervals as CoreDNS's kubernetes plugin gives them; the serial is of no use to anybody here.
    let soa = SOA::new(below("ns.dns"), below("hostmaster"), 1, 7200, 1800, 86400, ttl);
    Record::from_rdata(zone.clone(), ttl, RData::SOA(soa))
}

/// The addresses of the A records in an answer.
pub fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .collect()
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// The bytes of a message.
///
/// # Errors
/// When it cannot be written, which no message that was read can be.
pub fn encode(message: &Message) -> io::Result<Vec<u8>> {
    message.to_vec().map_err(invalid)
}

/// A message from its bytes.
///
/// # Errors
/// When they are no DNS message.
pub fn decode(bytes: &[u8]) -> io::Result<Message> {
    Message::from_vec(bytes).map_err(invalid)
}

/// Reads a message from a stream; `None` when the stream ends before one begins.
///
/// # Errors
/// When the stream breaks or the bytes are no message.
pub async fn read_message(stream: &mut BoxStream) -> io::Result<Option<Message>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    decode(&bytes).map(Some)
}

/// Writes a message to a stream.
///
/// # Errors
/// When the stream breaks or the message is too long for one.
pub async fn write_message(stream: &mut BoxStream, message: &Message) -> io::Result<()> {
    let bytes = encode(message)?;
    let length = u16::try_from(bytes.len()).map_err(invalid)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Asks a server over TCP.
///
/// # Errors
/// When it cannot be reached, or ends without an answer.
pub async fn ask_tcp(host: &dyn Host, server: SocketAddrV4, query: &Message) -> io::Result<Message> {
    let exchange = async {
        let mut stream = host.connect(server).await?;
        write_message(&mut stream, query).await?;
        read_message(&mut stream).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks a server over UDP.
///
/// # Errors
/// When nothing listens there, or no answer comes.
pub async fn ask_udp(host: &dyn Host, server: SocketAddrV4, query: &Message) -> io::Result<Message> {
    let exchange = async {
        let socket = host.bind(0).await?;
        socket.send_to(&encode(query)?, server).await?;
        loop {
            let (bytes, from) = socket.recv_from().await?;
            // An answer to something else, or from somebody else, is nobody's business here.
            match decode(&bytes) {
                Ok(answer) if from == server && answer.metadata.id == query.metadata.id => return Ok(answer),
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks a server over UDP, and over TCP when the answer was cut off.
///
/// # Errors
/// See [`ask_udp`] and [`ask_tcp`].
pub async fn ask(host: &dyn Host, server: SocketAddrV4, query: &Message) -> io::Result<Message> {
    let answer = ask_udp(host, server, query).await?;
    if answer.metadata.truncation { ask_tcp(host, server, query).await } else { Ok(answer) }
}

/// The bytes of an answer over UDP: cut off, and marked so, when longer than what the client takes.
///
/// # Errors
/// See [`encode`].
pub fn encode_udp(query: &Message, answer: &Message) -> io::Result<Vec<u8>> {
    let limit = query.edns.as_ref().map_or(PLAIN_UDP, |edns| usize::from(edns.max_payload()).max(PLAIN_UDP));
    let bytes = encode(answer)?;
    if bytes.len() <= limit {
        return Ok(bytes);
    }
    let mut cut = answer.clone();
    cut.metadata.truncation = true;
    cut.answers.clear();
    cut.authorities.clear();
    encode(&cut)
}
