//! `hosts`: addresses from lines in the form of `/etc/hosts`, inline or in a mounted file.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use acrossk8s_corefile::Directive;
use async_trait::async_trait;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};

use super::super::query::{Next, Outcome, Plugin, Query};
use crate::workloads::Container;
use crate::workloads::dns::within;

/// Time to live of its records unless `ttl` says otherwise, in seconds.
const TTL: u32 = 3600;
const OPTIONS: [&str; 4] = ["fallthrough", "ttl", "no_reverse", "reload"];

/// The plugin. Simplified: IPv4 addresses and no reverse look-ups; the file is read when the configuration is loaded.
pub(in super::super) struct Hosts {
    zones: Vec<String>,
    names: BTreeMap<String, Vec<Ipv4Addr>>,
    ttl: u32,
    fall: Option<Vec<String>>,
}

impl Hosts {
    /// Of a directive `hosts [FILE [ZONES...]] { [INLINE] ... }`.
    pub fn new(directive: &Directive, block_zones: &[String], container: &Container) -> Self {
        let (file, zones) = match directive.args.split_first() {
            Some((first, rest)) if first.starts_with('/') => (first.clone(), rest),
            _ => ("/etc/hosts".to_owned(), directive.args.as_slice()),
        };
        let mut names: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        let mut add = |address: &str, aliases: &[String]| {
            if let Ok(address) = address.parse() {
                for alias in aliases {
                    names.entry(super::zone(alias)).or_default().push(address);
                }
            }
        };
        if let Some(content) = container.files.borrow().get(&file) {
            for line in String::from_utf8_lossy(content).lines() {
                let mut words = line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned);
                if let Some(address) = words.next() {
                    add(&address, &words.collect::<Vec<_>>());
                }
            }
        }
        for line in directive.block.iter().filter(|line| !OPTIONS.contains(&line.name.as_str())) {
            add(&line.name, &line.args);
        }
        let zones: Vec<String> =
            if zones.is_empty() { block_zones.to_vec() } else { zones.iter().map(|zone| super::zone(zone)).collect() };
        Self {
            zones,
            names,
            ttl: super::option(directive, "ttl").and_then(|it| it.args.first()?.parse().ok()).unwrap_or(TTL),
            fall: super::option(directive, "fallthrough").map(|it| it.args.iter().map(|it| super::zone(it)).collect()),
        }
    }

    fn falls_through(&self, name: &str) -> bool {
        self.fall.as_ref().is_some_and(|zones| zones.is_empty() || zones.iter().any(|zone| within(name, zone)))
    }
}

#[async_trait]
impl Plugin for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        if !self.zones.iter().any(|zone| within(&query.name, zone)) {
            return next.run(query).await;
        }
        let Some(addresses) = self.names.get(&query.name) else {
            // Without `fallthrough`, CoreDNS answers SERVFAIL for names that the plugin does not know.
            return if self.falls_through(&query.name) {
                next.run(query).await
            } else {
                Outcome::Failed { code: ResponseCode::ServFail, error: None }
            };
        };
        let mut reply = query.reply(ResponseCode::NoError);
        reply.metadata.authoritative = true;
        if query.qtype == RecordType::A {
            for address in addresses {
                reply.add_answer(Record::from_rdata(query.qname.clone(), self.ttl, RData::A(A(*address))));
            }
        }
        Outcome::Written(reply)
    }
}
