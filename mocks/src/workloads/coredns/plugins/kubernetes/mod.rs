//! `kubernetes`: the DNS of a cluster's services and pods (Kubernetes DNS-Based Service Discovery, version 1.1.0).

mod lookup;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub(in super::super) use store::Store;
pub(in super::super) use watch::{start, watch_pods};

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use acrossk8s_corefile::Directive;
use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use self::lookup::{Found, Missing};
use super::super::query::{Next, Outcome, Plugin, Query};
use super::Env;
use crate::workloads::dns::{Request, within};

/// Time to live of its records unless `ttl` says otherwise, in seconds.
const TTL: u32 = 5;
/// Version of the specification, as `dns-version.<zone>` tells it.
const DNS_VERSION: &str = "1.1.0";
const REVERSE: [&str; 2] = ["in-addr.arpa", "ip6.arpa"];

/// How pods are answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pods {
    /// Not at all.
    Disabled,
    /// With the address that the name spells.
    Insecure,
    /// With it where a pod of the namespace has it.
    Verified,
}

/// What the directive says.
#[derive(Debug, Clone)]
pub(super) struct Options {
    zones: Vec<String>,
    pods: Pods,
    endpoint_pod_names: bool,
    namespaces: BTreeSet<String>,
    ignore_empty_service: bool,
    ttl: u32,
    fall: Option<Vec<String>>,
}

/// The plugin. Simplified: it watches the API of its own cluster whatever `endpoint`, `kubeconfig` and `tls` say, and
/// `labels`, `namespace_labels`, `multicluster` and `noendpoints` do nothing.
pub(in super::super) struct Kubernetes {
    options: Options,
    env: Env,
}

impl Kubernetes {
    /// Of a directive `kubernetes [ZONES...]`.
    pub fn new(directive: &Directive, block_zones: &[String], env: &Env) -> Self {
        let option = |name: &str| super::option(directive, name);
        let argument = |name: &str| option(name).and_then(|option| option.args.first()).map(String::as_str);
        let zones = if directive.args.is_empty() {
            block_zones.to_vec()
        } else {
            directive.args.iter().map(|zone| super::zone(zone)).collect()
        };
        let options = Options {
            zones,
            pods: match argument("pods") {
                Some("insecure") => Pods::Insecure,
                Some("verified") => Pods::Verified,
                _ => Pods::Disabled,
            },
            endpoint_pod_names: option("endpoint_pod_names").is_some(),
            namespaces: option("namespaces").map(|it| it.args.iter().cloned().collect()).unwrap_or_default(),
            ignore_empty_service: argument("ignore") == Some("empty_service"),
            ttl: argument("ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(TTL),
            fall: option("fallthrough").map(|it| it.args.iter().map(|zone| super::zone(zone)).collect()),
        };
        Self { options, env: env.clone() }
    }

    /// Whether it needs the cluster's pods.
    pub fn verifies_pods(&self) -> bool {
        self.options.pods == Pods::Verified
    }

    fn falls_through(&self, name: &str) -> bool {
        self.options.fall.as_ref().is_some_and(|zones| zones.is_empty() || zones.iter().any(|zone| within(name, zone)))
    }

    /// An answer without records, which says whose zone it is.
    fn empty(&self, query: &Query, zone: &str, code: ResponseCode) -> Outcome {
        let mut reply = query.reply(code);
        reply.metadata.authoritative = true;
        reply.authorities.extend(self.soa(zone));
        Outcome::Written(reply)
    }

    fn soa(&self, zone: &str) -> Option<Record> {
        let apex = absolute(zone)?;
        let serial = self.env.cluster.read().serial;
        let (primary, mailbox) = (absolute(&format!("ns.dns.{zone}"))?, absolute(&format!("hostmaster.{zone}"))?);
        let soa = SOA::new(primary, mailbox, serial, 7200, 1800, 86_400, self.options.ttl);
        Some(Record::from_rdata(apex, self.options.ttl.min(300), RData::SOA(soa)))
    }

    async fn records(&self, query: &Query, zone: &str) -> Result<(Vec<Record>, Vec<Record>), Missing> {
        let record = |data: RData| Record::from_rdata(query.qname.clone(), self.options.ttl, data);
        let apex = query.name == zone;
        let reverse = REVERSE.iter().any(|reverse| within(zone, reverse));
        match query.qtype {
            RecordType::SOA if apex => return Ok((self.soa(zone).into_iter().collect(), Vec::new())),
            RecordType::NS if apex => {
                let server = absolute(&format!("ns.dns.{zone}"));
                return Ok((server.map(|it| record(RData::NS(NS(it)))).into_iter().collect(), Vec::new()));
            }
            RecordType::TXT if query.name == format!("dns-version.{zone}") => {
                return Ok((vec![record(RData::TXT(TXT::new(vec![DNS_VERSION.to_owned()])))], Vec::new()));
            }
            RecordType::PTR if reverse => {
                let address = query.qname.parse_arpa_name().map_err(|_| Missing)?;
                if address.prefix_len() != address.max_prefix_len() {
                    return Err(Missing);
                }
                let names = self.reverse(address.addr());
                let names = names.iter().filter_map(|name| absolute(name)).map(|name| record(RData::PTR(PTR(name))));
                let records: Vec<Record> = names.collect();
                return if records.is_empty() { Err(Missing) } else { Ok((records, Vec::new())) };
            }
            _ => {}
        }
        if reverse {
            return if apex { Ok(<_>::default()) } else { Err(Missing) };
        }
        let found = {
            let objects = self.env.cluster.read();
            lookup::find(&objects, &self.options, &query.name, zone)?
        };
        let mut answers = Vec::new();
        let mut additionals = Vec::new();
        match query.qtype {
            RecordType::A | RecordType::AAAA | RecordType::CNAME => {
                for it in &found {
                    match it {
                        Found::Alias(target) => {
                            let Some(name) = absolute(target) else { continue };
                            answers.push(record(RData::CNAME(CNAME(name.clone()))));
                            if query.qtype != RecordType::CNAME {
                                answers.extend(self.upstream(query, name).await);
                            }
                        }
                        Found::Address { address: IpAddr::V4(address), .. } if query.qtype == RecordType::A => {
                            answers.push(record(RData::A(A(*address))));
                        }
                        Found::Address { address: IpAddr::V6(address), .. } if query.qtype == RecordType::AAAA => {
                            answers.push(record(RData::AAAA(AAAA(*address))));
                        }
                        Found::Address { .. } => {}
                    }
                }
                let mut unique = Vec::new();
                answers.retain(|it: &Record| {
                    let new = !unique.contains(it);
                    if new {
                        unique.push(it.clone());
                    }
                    new
                });
            }
            RecordType::SRV => {
                let weight = u16::try_from(100 / found.len().max(1)).unwrap_or(1);
                for it in &found {
                    let Found::Address { address, port, name } = it else { continue };
                    let Some(target) = absolute(name) else { continue };
                    let srv = record(RData::SRV(SRV::new(0, weight, *port, target.clone())));
                    if answers.contains(&srv) {
                        continue;
                    }
                    answers.push(srv);
                    let data = match address {
                        IpAddr::V4(address) => RData::A(A(*address)),
                        IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
                    };
                    let address = Record::from_rdata(target, self.options.ttl, data);
                    if !additionals.contains(&address) {
                        additionals.push(address);
                    }
                }
            }
            _ => {}
        }
        Ok((answers, additionals))
    }

    /// The records of an external name, resolved through the server itself.
    async fn upstream(&self, query: &Query, name: Name) -> Vec<Record> {
        let Some(running) = self.env.running.upgrade() else { return Vec::new() };
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Question::query(name, query.qtype));
        running.answer(Request { message, ..query.request.clone() }).await.answers
    }

    /// The names that an address has.
    fn reverse(&self, address: IpAddr) -> Vec<String> {
        let zones = &self.options.zones;
        let primary = zones.iter().find(|zone| !REVERSE.iter().any(|reverse| within(zone, reverse)));
        let Some(primary) = primary else { return Vec::new() };
        lookup::names_of(&self.env.cluster.read(), &self.options, address, primary)
    }
}

#[async_trait]
impl Plugin for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        let zones = &self.options.zones;
        let Some(zone) = zones.iter().filter(|zone| within(&query.name, zone)).max_by_key(|zone| zone.len()) else {
            return next.run(query).await;
        };
        if matches!(query.qtype, RecordType::AXFR | RecordType::IXFR) {
            return Outcome::Failed { code: ResponseCode::Refused, error: None };
        }
        match self.records(query, zone).await {
            Ok((answers, additionals)) if !answers.is_empty() => {
                let mut reply = query.reply(ResponseCode::NoError);
                reply.metadata.authoritative = true;
                reply.answers = answers;
                reply.additionals = additionals;
                Outcome::Written(reply)
            }
            Ok(_) => self.empty(query, zone, ResponseCode::NoError),
            Err(Missing) if self.falls_through(&query.name) => next.run(query).await,
            Err(Missing) if !self.env.cluster.has_synced(self.verifies_pods()) => {
                self.empty(query, zone, ResponseCode::ServFail)
            }
            Err(Missing) => self.empty(query, zone, ResponseCode::NXDomain),
        }
    }
}

fn absolute(name: &str) -> Option<Name> {
    let name = name.trim_end_matches('.');
    Name::from_ascii(format!("{name}.")).ok()
}

/// `a-b-c-d` as an address.
fn dashed(label: &str) -> Option<IpAddr> {
    if let Ok(address) = label.replace('-', ".").parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(address));
    }
    label.replace('-', ":").parse().ok().map(IpAddr::V6)
}
