//! `whoami`: tells the client its address and port.

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record};

use super::super::query::{Next, Outcome, Plugin, Query};
use crate::network::Transport;

/// The plugin.
pub(in super::super) struct Whoami;

#[async_trait]
impl Plugin for Whoami {
    fn name(&self) -> &'static str {
        "whoami"
    }

    async fn serve(&self, query: &Query, _: Next<'_>) -> Outcome {
        let mut reply = query.reply(ResponseCode::NoError);
        reply.metadata.authoritative = true;
        let source = query.request.source;
        reply.add_additional(Record::from_rdata(query.qname.clone(), 0, RData::A(A(*source.ip()))));
        let label = match query.request.transport {
            Transport::Tcp => "_tcp",
            Transport::Udp => "_udp",
        };
        if let Ok(name) = query.qname.prepend_label(label) {
            let srv = SRV::new(0, 0, source.port(), Name::root());
            reply.add_additional(Record::from_rdata(name, 0, RData::SRV(srv)));
        }
        Outcome::Written(reply)
    }
}
