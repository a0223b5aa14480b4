//! `loop`: a query for a random name at the start shows whether queries come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::mpsc;

use super::super::query::{Next, Outcome, Plugin, Query};
use super::Env;
use crate::network::Transport;
use crate::workloads::dns::Request;

/// How often the query may be seen: the first time it is CoreDNS's own.
const SEEN: u32 = 2;

/// The plugin. It probes the first zone of its block only, as CoreDNS does, so that it sees no loop through another
/// block. Simplified: the probe is handed to the server without passing its own socket.
pub(in super::super) struct Loop {
    zone: String,
    name: String,
    port: u16,
    seen: AtomicU32,
    off: AtomicBool,
    fatal: mpsc::UnboundedSender<String>,
}

impl Loop {
    /// For the first zone of a block.
    pub fn new(zone: &str, port: u16, fatal: mpsc::UnboundedSender<String>) -> Self {
        let [one, two] = [rand::random::<u64>() >> 2, rand::random::<u64>() >> 2];
        let name = if zone == "." { format!("{one}.{two}") } else { format!("{one}.{two}.{zone}") };
        Self { zone: zone.to_owned(), name, port, seen: AtomicU32::new(0), off: AtomicBool::new(false), fatal }
    }

    /// Sends the query once the server runs.
    pub fn probe(self: Arc<Self>, env: &Env) {
        let (running, retired) = (env.running.clone(), env.retired.clone());
        let Ok(name) = Name::from_ascii(format!("{}.", self.name)) else { return };
        tokio::spawn(async move {
            let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
            message.metadata.recursion_desired = true;
            message.add_query(Question::query(name, RecordType::HINFO));
            let source = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
            let request = Request { message, source, transport: Transport::Udp, port: self.port };
            if let Some(running) = running.upgrade() {
                tokio::select! {
                    () = retired.cancelled() => {}
                    _ = running.answer(request) => {}
                }
            }
            self.off.store(true, Ordering::Relaxed);
        });
    }
}

#[async_trait]
impl Plugin for Loop {
    fn name(&self) -> &'static str {
        "loop"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        if query.qtype == RecordType::HINFO
            && !self.off.load(Ordering::Relaxed)
            && query.name == self.name
            && self.seen.fetch_add(1, Ordering::Relaxed) >= SEEN
        {
            let zone = if self.zone == "." { ".".to_owned() } else { format!("{}.", self.zone) };
            let line = format!(
                "[FATAL] plugin/loop: Loop ({} -> :{}) detected for zone \"{zone}\", see \
                 https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {}.\"",
                query.request.source, self.port, self.name
            );
            // The process is ending already where nobody listens.
            let _ = self.fatal.send(line);
        }
        next.run(query).await
    }
}
