//! Serving DNS over UDP and TCP of the emulated network.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType};
use tokio::task::JoinSet;

use super::dns;
use crate::network::{BoxStream, Host, Transport};

/// Answers queries.
#[async_trait]
pub trait Answerer: Send + Sync + 'static {
    /// The answer to a query; `None` to say nothing.
    async fn answer(&self, query: &Message, transport: Transport) -> Option<Message>;
}

/// Serves DNS on a host's port until the host is detached.
///
/// # Errors
/// When the port is taken; later, when the host has been detached.
pub async fn serve(host: &Arc<dyn Host>, port: u16, answerer: Arc<dyn Answerer>) -> io::Result<()> {
    let socket: Arc<dyn crate::network::Datagram> = host.bind(port).await?.into();
    let listener = host.listen(port).await?;
    // What is under way ends with the server: the set aborts its tasks when dropped.
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            received = socket.recv_from() => {
                let (bytes, from) = match received {
                    Ok(received) => received,
                    // About an answer of ours that did not arrive: the client's loss.
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => continue,
                    Err(error) => return Err(error),
                };
                let Ok(query) = dns::decode(&bytes) else { continue };
                if query.metadata.message_type != MessageType::Query {
                    continue;
                }
                let (answerer, socket) = (answerer.clone(), socket.clone());
                under_way.spawn(async move {
                    if let Some(answer) = answerer.answer(&query, Transport::Udp).await
                        && let Ok(bytes) = dns::encode_udp(&query, &answer)
                    {
                        // The client may be gone by now.
                        let _ = socket.send_to(&bytes, from).await;
                    }
                });
            }
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                under_way.spawn(connection(stream, answerer.clone()));
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}

/// Answers the queries of one connection, in their order.
async fn connection(mut stream: BoxStream, answerer: Arc<dyn Answerer>) {
    while let Ok(Some(query)) = dns::read_message(&mut stream).await {
        if query.metadata.message_type != MessageType::Query {
            return;
        }
        let Some(answer) = answerer.answer(&query, Transport::Tcp).await else { return };
        if dns::write_message(&mut stream, &answer).await.is_err() {
            return;
        }
    }
}
