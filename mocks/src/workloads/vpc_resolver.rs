//! A VPC's own resolver (AmazonProvidedDNS), at the base of the VPC's block plus two.
//!
//! Simplified: it knows the addresses that a function knows, denies every other name, and asks nobody else.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::dns::{Request, Responder, Server, lower, reply_to};
use crate::network::Host;

/// What a resolver knows: the addresses of a name in lower case without a dot at its end; `None` when there is no such
/// name.
pub type Names = Arc<dyn Fn(&str) -> Option<Vec<Ipv4Addr>> + Send + Sync>;

/// Port of DNS.
const PORT: u16 = 53;
/// Time to live of addresses, in seconds: that of load balancer names.
const TTL: u32 = 60;
/// How long a name's absence is remembered, in seconds.
const NEGATIVE_TTL: u32 = 60;

/// Serves DNS at a host, port 53, until the host is detached.
///
/// # Errors
/// The host's, such as `AddrInUse`.
pub async fn serve_names(host: &Arc<dyn Host>, names: Names) -> io::Result<()> {
    let server = start(host.as_ref(), names).await?;
    server.ended().await;
    Ok(())
}

/// Serves DNS at a host, port 53, until the returned server is dropped.
///
/// # Errors
/// The host's, such as `AddrInUse`.
pub async fn start(host: &dyn Host, names: Names) -> io::Result<Server> {
    Server::start(host, PORT, Arc::new(Resolver(names))).await
}

struct Resolver(Names);

#[async_trait]
impl Responder for Resolver {
    async fn respond(&self, request: Request) -> Message {
        let Some(question) = request.message.queries.first() else {
            return reply_to(&request.message, ResponseCode::FormErr);
        };
        let addresses = (self.0)(&lower(&question.name));
        let code = if addresses.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let mut reply = reply_to(&request.message, code);
        reply.metadata.recursion_available = true;
        if question.query_type == RecordType::A {
            for address in addresses.into_iter().flatten() {
                reply.add_answer(Record::from_rdata(question.name.clone(), TTL, RData::A(A(address))));
            }
        }
        if reply.answers.is_empty()
            && let (Ok(primary), Ok(mailbox)) =
                (Name::from_ascii("a.root-servers.net."), Name::from_ascii("nstld.verisign-grs.com."))
        {
            let soa = SOA::new(primary, mailbox, 1, 1800, 900, 604_800, NEGATIVE_TTL);
            reply.add_authority(Record::from_rdata(Name::root(), NEGATIVE_TTL, RData::SOA(soa)));
        }
        reply
    }
}
