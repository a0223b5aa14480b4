//! Sizes and frames of messages.

use std::io;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most that a UDP message without EDNS holds, in bytes (RFC 1035, 4.2.1).
pub const MAX_UDP: usize = 512;

/// An empty answer to a query, with its identifier, question and flags, and with EDNS where the query had it.
pub fn reply_to(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.op_code = query.metadata.op_code;
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.checking_disabled = query.metadata.checking_disabled;
    reply.metadata.response_code = code;
    reply.add_queries(query.queries.iter().cloned());
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().max(512));
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        reply.set_edns(edns);
    }
    reply
}

/// Encodes an answer for UDP: records that do not fit in `limit` bytes are left out, and TC says so.
///
/// # Errors
/// When the message cannot be encoded at all.
pub fn encode_udp(message: &Message, limit: usize) -> Result<Vec<u8>, ProtoError> {
    let whole = message.to_vec()?;
    if whole.len() <= limit {
        return Ok(whole);
    }
    let mut shorter = message.clone();
    shorter.metadata.truncation = true;
    loop {
        let dropped = shorter.additionals.pop().or_else(|| shorter.authorities.pop()).or_else(|| shorter.answers.pop());
        let bytes = shorter.to_vec()?;
        if bytes.len() <= limit || dropped.is_none() {
            return Ok(bytes);
        }
    }
}

/// Reads a message with its length before it (RFC 1035, 4.2.2); `None` when the stream ends between messages.
///
/// # Errors
/// The stream's.
pub async fn read_framed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Writes a message with its length before it.
///
/// # Errors
/// The stream's; `InvalidData` when the message is longer than 65535 bytes.
pub async fn write_framed<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut frame = Vec::with_capacity(message.len() + 2);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RData, Record, RecordType, rdata::A};

    use super::*;

    fn answer(records: u8) -> Message {
        let name = Name::from_ascii("name.example.").unwrap();
        let mut query = Message::query();
        query.add_query(Query::query(name.clone(), RecordType::A));
        let mut reply = reply_to(&query, ResponseCode::NoError);
        for n in 0..records {
            reply.add_answer(Record::from_rdata(name.clone(), 5, RData::A(A(Ipv4Addr::new(10, 0, 0, n)))));
        }
        reply
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_is_cut_and_says_so() {
        let small = Message::from_vec(&encode_udp(&answer(3), MAX_UDP).unwrap()).unwrap();
        assert!(!small.metadata.truncation);
        let bytes = encode_udp(&answer(100), MAX_UDP).unwrap();
        assert!(bytes.len() <= MAX_UDP);
        let large = Message::from_vec(&bytes).unwrap();
        assert!(large.metadata.truncation && !large.answers.is_empty() && large.answers.len() < 100);
    }

    #[tokio::test]
    async fn frames_come_back_and_an_end_between_them_is_no_error() {
        let mut buffer = std::io::Cursor::new(Vec::new());
        write_framed(&mut buffer, b"query").await.unwrap();
        let mut written = std::io::Cursor::new(buffer.into_inner());
        assert_eq!(read_framed(&mut written).await.unwrap().as_deref(), Some(&b"query"[..]));
        assert_eq!(read_framed(&mut written).await.unwrap(), None);
        let mut cut = std::io::Cursor::new(vec![0, 9, 1]);
        read_framed(&mut cut).await.unwrap_err();
    }
}
