//! Name resolution of a program in a pod, as glibc's stub resolver does it (resolv.conf(5)): search list and `ndots`,
//! UDP first, TCP where an answer was cut, two attempts over the name servers.
//!
//! Simplified: addresses are IPv4 only (no AAAA query is sent), and `/etc/hosts` holds the pod's own name and
//! `localhost`.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::dns::{exchange_tcp, exchange_udp};
use super::{Container, ResolvConf};
use crate::network::Host;

/// How often the list of name servers is gone through (`options attempts`).
pub const ATTEMPTS: usize = 2;
/// How long one name server is waited for (`options timeout`), unless the network knows sooner.
pub const TIMEOUT: Duration = Duration::from_secs(5);
const DNS_PORT: u16 = 53;
/// How many aliases are followed within an answer.
const ALIASES: usize = 16;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// NXDOMAIN for every candidate of the search list, or the name is none.
    #[error("Name or service not known")]
    NotFound,
    /// The name exists and has no address.
    #[error("No address associated with hostname")]
    NoAddress,
    /// A name server could not answer: SERVFAIL, REFUSED.
    #[error("Temporary failure in name resolution")]
    ServerFailure,
    /// No name server answered.
    #[error("Temporary failure in name resolution")]
    TimedOut,
}

/// `/etc/hosts` of a machine with a name: that name and `localhost`.
pub fn hosts_file(address: Ipv4Addr, hostname: &str) -> String {
    format!("127.0.0.1\tlocalhost\n{address}\t{hostname}\n")
}

/// Resolves a name in a container: its own name, `localhost` and literal addresses without a query.
///
/// # Errors
/// See [`ResolveError`].
pub async fn resolve_in(container: &Container, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
    if name == container.hostname {
        return Ok(vec![container.host.address()]);
    }
    resolve(container.host.as_ref(), &container.resolv_conf, name).await
}

/// Resolves a name from a host to its addresses, in the order of the answer.
///
/// # Errors
/// See [`ResolveError`]. A temporary failure for any candidate ends the search, as glibc's does.
pub async fn resolve(host: &dyn Host, conf: &ResolvConf, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    if name == "localhost" || name == "localhost." {
        return Ok(vec![Ipv4Addr::LOCALHOST]);
    }
    let mut exists = false;
    for candidate in candidates(conf, name) {
        let Ok(candidate) = Name::from_ascii(&candidate) else { continue };
        match ask(host, conf, &candidate).await {
            Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => exists = true,
            Err(ResolveError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Err(if exists { ResolveError::NoAddress } else { ResolveError::NotFound })
}

/// The absolute names that are tried for a name, in order.
pub fn candidates(conf: &ResolvConf, name: &str) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let absolute = format!("{name}.");
    let searched = conf.search.iter().map(|domain| format!("{name}.{}.", domain.trim_end_matches('.')));
    if name.matches('.').count() >= conf.ndots {
        std::iter::once(absolute).chain(searched).collect()
    } else {
        searched.chain(std::iter::once(absolute)).collect()
    }
}

/// The addresses of an absolute name; none when it exists without any.
async fn ask(host: &dyn Host, conf: &ResolvConf, name: &Name) -> Result<Vec<Ipv4Addr>, ResolveError> {
    let mut failure = ResolveError::TimedOut;
    for _ in 0..ATTEMPTS {
        for nameserver in &conf.nameservers {
            let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
            query.metadata.recursion_desired = true;
            query.add_query(Query::query(name.clone(), RecordType::A));
            let server = SocketAddrV4::new(*nameserver, DNS_PORT);
            let Ok(answer) = exchange(host, server, &query).await else { continue };
            match answer.metadata.response_code {
                ResponseCode::NoError => return Ok(addresses(&answer, name)),
                ResponseCode::NXDomain => return Err(ResolveError::NotFound),
                _ => failure = ResolveError::ServerFailure,
            }
        }
    }
    Err(failure)
}

async fn exchange(host: &dyn Host, server: SocketAddrV4, query: &Message) -> io::Result<Message> {
    let answer = exchange_udp(host, server, query, TIMEOUT).await?;
    if answer.metadata.truncation { exchange_tcp(host, server, query, TIMEOUT).await } else { Ok(answer) }
}

/// The addresses of a name in an answer, aliases followed.
pub(crate) fn addresses(answer: &Message, name: &Name) -> Vec<Ipv4Addr> {
    let mut owner = name.clone();
    for _ in 0..ALIASES {
        let alias = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name.eq_ignore_root(&owner) => Some(target.0.clone()),
            _ => None,
        });
        match alias {
            Some(target) => owner = target,
            None => break,
        }
    }
    answer
        .answers
        .iter()
        .filter(|record| record.name.eq_ignore_root(&owner))
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::dns::{Request, Responder, Server, reply_to};
    use crate::workloads::testing::Net;

    #[rstest::rstest]
    #[case("a.", &["a."])]
    #[case("a", &["a.ns.svc.cluster.local.", "a.svc.cluster.local.", "a."])]
    #[case("a.b.c.d.e", &["a.b.c.d.e.ns.svc.cluster.local.", "a.b.c.d.e.svc.cluster.local.", "a.b.c.d.e."])]
    #[case("a.b.c.d.e.f", &["a.b.c.d.e.f.", "a.b.c.d.e.f.ns.svc.cluster.local.", "a.b.c.d.e.f.svc.cluster.local."])]
    fn candidates_follow_the_search_list_and_ndots(#[case] name: &str, #[case] expected: &[&str]) {
        let search = vec!["ns.svc.cluster.local".to_owned(), "svc.cluster.local.".to_owned()];
        assert_eq!(candidates(&ResolvConf { nameservers: Vec::new(), search, ndots: 5 }, name), expected);
    }

    struct Answers(ResponseCode);

    #[async_trait::async_trait]
    impl Responder for Answers {
        async fn respond(&self, request: Request) -> Message {
            reply_to(&request.message, self.0)
        }
    }

    #[rstest::rstest]
    #[case(ResponseCode::NoError, ResolveError::NoAddress)]
    #[case(ResponseCode::NXDomain, ResolveError::NotFound)]
    #[case(ResponseCode::ServFail, ResolveError::ServerFailure)]
    #[case(ResponseCode::Refused, ResolveError::ServerFailure)]
    #[tokio::test]
    async fn failures_are_told_apart(#[case] code: ResponseCode, #[case] expected: ResolveError) {
        let net = Net::default();
        let Ok(_server) = Server::start(net.host([10, 0, 0, 2]).as_ref(), 53, std::sync::Arc::new(Answers(code))).await
        else {
            panic!("no server")
        };
        let nameservers = vec![Ipv4Addr::new(10, 0, 0, 2)];
        let conf = ResolvConf { nameservers, search: vec!["b".to_owned()], ndots: 1 };
        let client = net.host([10, 0, 0, 9]);
        assert_eq!(resolve(client.as_ref(), &conf, "a").await, Err(expected));
        net.cut([10, 0, 0, 2], true);
        assert_eq!(resolve(client.as_ref(), &conf, "a").await, Err(ResolveError::TimedOut));
        assert_eq!(resolve(client.as_ref(), &conf, "10.0.0.1").await, Ok(vec![Ipv4Addr::new(10, 0, 0, 1)]));
    }
}
