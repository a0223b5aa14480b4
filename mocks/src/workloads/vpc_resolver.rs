//! The VPC's own resolver (AmazonProvidedDNS) at the base of the VPC's block plus two.
//!
//! Simplified: it knows the names that a closure knows and denies every other; it asks nobody else.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::dns;
use super::dns_server::{Answerer, serve};
use crate::network::{Host, Transport};

/// What a resolver knows: the addresses of a name in lower case without a dot at its end; `None` when there is no such
/// name.
pub type Names = Arc<dyn Fn(&str) -> Option<Vec<Ipv4Addr>> + Send + Sync>;

struct Resolver(Names);

#[async_trait]
impl Answerer for Resolver {
    async fn answer(&self, query: &Message, _: Transport) -> Option<Message> {
        let question = query.queries.first()?;
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let Some(addresses) = (self.0)(&name) else {
            let mut denied = dns::answer(query, ResponseCode::NXDomain);
            denied.authorities.push(dns::soa(&Name::root(), 60));
            return Some(denied);
        };
        let mut answer = dns::answer(query, ResponseCode::NoError);
        if question.query_type() == RecordType::A {
            // TTL of AWS's load balancer names.
            let record = |address| Record::from_rdata(question.name().clone(), 60, RData::A(address));
            answer.answers.extend(addresses.into_iter().map(|address| record(address.into())));
        }
        Some(answer)
    }
}

/// Serves a VPC's resolver until its host is detached.
///
/// # Errors
/// When the port is taken; later, when the host has been detached.
pub async fn serve_names(host: &Arc<dyn Host>, names: Names) -> io::Result<()> {
    serve(host, 53, Arc::new(Resolver(names))).await
}
