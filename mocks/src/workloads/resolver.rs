//! The stub resolver of a pod: search list and `ndots` as glibc has them.
//!
//! Source: resolv.conf(5). Name servers are asked in their order; a name with at least `ndots` dots is tried as it is
//! first, any other with each suffix of the search list first.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::{ResolvConf, dns};
use crate::network::Host;

/// Why a name did not resolve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No name server knows the name, or it has no address.
    #[error("no such name")]
    NotFound,
    /// No name server gave an answer that says anything.
    #[error("no name server answered ({0})")]
    Unavailable(String),
    /// It cannot be a name.
    #[error("not a name")]
    Invalid,
}

/// The addresses of a host name; an address stands for itself.
///
/// # Errors
/// See [`ResolveError`].
pub async fn resolve(host: &dyn Host, conf: &ResolvConf, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    if name == "localhost" {
        return Ok(vec![Ipv4Addr::LOCALHOST]);
    }
    let mut unavailable = None;
    for candidate in candidates(conf, name) {
        let name = Name::from_ascii(&candidate).map_err(|_| ResolveError::Invalid)?;
        match look_up(host, conf, &name).await {
            Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
            Ok(_) => {}
            Err(why) => unavailable = Some(why),
        }
    }
    Err(unavailable.map_or(ResolveError::NotFound, ResolveError::Unavailable))
}

/// The full names to try, in order.
fn candidates(conf: &ResolvConf, name: &str) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let mut searched: Vec<_> =
        conf.search.iter().map(|suffix| format!("{name}.{}.", suffix.trim_end_matches('.'))).collect();
    let absolute = format!("{name}.");
    if name.matches('.').count() >= conf.ndots {
        searched.insert(0, absolute);
    } else {
        searched.push(absolute);
    }
    searched
}

/// Addresses of one full name; none when it does not exist. Each name server is asked twice, as glibc does.
async fn look_up(host: &dyn Host, conf: &ResolvConf, name: &Name) -> Result<Vec<Ipv4Addr>, String> {
    let mut why = "there is no name server".to_owned();
    for _ in 0..2 {
        for server in &conf.nameservers {
            let query = dns::query(name, RecordType::A);
            match dns::ask(host, SocketAddrV4::new(*server, 53), &query).await {
                Ok(answer) => match answer.metadata.response_code {
                    ResponseCode::NoError => return Ok(dns::addresses(&answer)),
                    ResponseCode::NXDomain => return Ok(Vec::new()),
                    code => why = format!("{server} said {code}"),
                },
                Err(error) if error.kind() == io::ErrorKind::TimedOut => why = format!("{server} did not answer"),
                Err(error) => why = format!("{server}: {error}"),
            }
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a.b.ns.svc.cluster.local", &["a.b.ns.svc.cluster.local.", "a.b.ns.svc.cluster.local.own.svc.cluster.local.", "a.b.ns.svc.cluster.local.cluster.local."])]
    #[case("b.ns", &["b.ns.own.svc.cluster.local.", "b.ns.cluster.local.", "b.ns."])]
    #[case("b.ns.", &["b.ns."])]
    fn names_are_tried_in_glibcs_order(#[case] name: &str, #[case] expected: &[&str]) {
        let conf = ResolvConf {
            search: vec!["own.svc.cluster.local".to_owned(), "cluster.local".to_owned()],
            ndots: 5,
            ..ResolvConf::default()
        };
        assert_eq!(candidates(&conf, name), expected);
    }
}
