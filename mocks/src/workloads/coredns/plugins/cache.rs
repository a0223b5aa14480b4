//! `cache`: remembers answers, present and absent, for as long as the lab's clock says.

use std::collections::HashMap;
use std::sync::Arc;

use acrossk8s_corefile::Directive;
use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use parking_lot::Mutex;

use super::super::metrics::Metrics;
use super::super::query::{Next, Outcome, Plugin, Query};
use crate::clock::{Clock, SimTime};
use crate::workloads::dns::within;

/// The longest that an answer is kept unless the Corefile says otherwise, in seconds.
const MAX_TTL: u32 = 3600;
/// The same for a denial.
const MAX_DENIAL_TTL: u32 = 1800;
/// The shortest that anything is kept.
const MIN_TTL: u32 = 5;
/// How many answers are kept of each kind.
const CAPACITY: usize = 10_000;

/// The plugin. `prefetch` and `serve_stale` are taken and do nothing.
pub(in super::super) struct Cache {
    zones: Vec<String>,
    success: Limits,
    denial: Limits,
    server_failure: u32,
    keep_ttl: bool,
    clock: Clock,
    metrics: Arc<Metrics>,
    kept: Mutex<[HashMap<Key, Item>; 2]>,
}

#[derive(Debug, Clone)]
struct Limits {
    capacity: usize,
    most: u32,
    least: u32,
    except: Vec<String>,
}

type Key = (String, RecordType, DNSClass, bool, bool);

#[derive(Debug, Clone)]
struct Item {
    message: Message,
    ttl: u32,
    stored: SimTime,
}

/// What an answer is to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success,
    Denial,
    ServerFailure,
}

const SUCCESS: usize = 0;
const DENIAL: usize = 1;

impl Cache {
    /// Of a directive `cache [TTL] [ZONES...]`.
    pub fn new(directive: &Directive, block_zones: &[String], clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (ttl, zones) = match directive.args.split_first() {
            Some((first, rest)) => match first.parse::<u32>() {
                Ok(ttl) => (Some(ttl), rest),
                Err(_) => (None, directive.args.as_slice()),
            },
            None => (None, &[][..]),
        };
        let mut cache = Self {
            zones: if zones.is_empty() {
                block_zones.to_vec()
            } else {
                zones.iter().map(|zone| super::zone(zone)).collect()
            },
            success: Limits::new(ttl.unwrap_or(MAX_TTL)),
            denial: Limits::new(ttl.unwrap_or(MAX_DENIAL_TTL)),
            server_failure: MIN_TTL,
            keep_ttl: super::option(directive, "keepttl").is_some(),
            clock,
            metrics,
            kept: Mutex::default(),
        };
        for option in &directive.block {
            match (option.name.as_str(), option.args.first().map(String::as_str)) {
                ("success", _) => cache.success.refine(&option.args),
                ("denial", _) => cache.denial.refine(&option.args),
                ("servfail", Some(duration)) => {
                    let seconds = acrossk8s_corefile::duration(duration).map_or(MIN_TTL.into(), |it| it.as_secs());
                    cache.server_failure = u32::try_from(seconds).unwrap_or(MIN_TTL);
                }
                ("disable", Some(kind)) => {
                    let mut zones: Vec<String> = option.args.iter().skip(1).map(|zone| super::zone(zone)).collect();
                    if zones.is_empty() {
                        zones.push(".".to_owned());
                    }
                    if kind == "success" {
                        cache.success.except = zones;
                    } else {
                        cache.denial.except = zones;
                    }
                }
                _ => {}
            }
        }
        cache
    }

    fn find(&self, key: &Key, query: &Query, now: SimTime) -> Option<Message> {
        let kept = self.kept.lock();
        let (item, left) = [DENIAL, SUCCESS].into_iter().find_map(|kind| {
            let item = kept[kind].get(key)?;
            Some((item, item.left(now).filter(|left| *left > 0)?))
        })?;
        let mut reply = query.reply(item.message.metadata.response_code);
        // As CoreDNS: some stub resolvers discard answers without the flag.
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = item.message.metadata.recursion_available;
        let ttl = if self.keep_ttl { item.ttl } else { left };
        reply.answers = with_ttl(&item.message.answers, ttl);
        reply.authorities = with_ttl(&item.message.authorities, ttl);
        reply.additionals = with_ttl(&item.message.additionals, ttl);
        Some(reply)
    }

    /// Caps an answer's times to live, and remembers it.
    fn keep(&self, key: Key, mut message: Message, now: SimTime) -> Message {
        let kind = kind(&message);
        let ttl = match kind {
            Some(Kind::ServerFailure) => self.server_failure,
            Some(Kind::Denial) => lowest_ttl(&message).clamp(self.denial.least.min(self.denial.most), self.denial.most),
            _ => lowest_ttl(&message).clamp(self.success.least.min(self.success.most), self.success.most),
        };
        message.answers = with_ttl(&message.answers, ttl);
        message.authorities = with_ttl(&message.authorities, ttl);
        message.additionals = with_ttl(&message.additionals, ttl);
        let (at, limits) = match kind {
            Some(Kind::Success) => (SUCCESS, &self.success),
            Some(Kind::Denial | Kind::ServerFailure) => (DENIAL, &self.denial),
            None => return message,
        };
        if ttl == 0 || message.metadata.truncation || limits.except.iter().any(|zone| within(&key.0, zone)) {
            return message;
        }
        let mut kept = self.kept.lock();
        let kept = &mut kept[at];
        if kept.len() >= limits.capacity && !kept.contains_key(&key) {
            let victim = kept.iter().find(|(_, item)| item.left(now).is_none()).or_else(|| kept.iter().next());
            if let Some(victim) = victim.map(|(key, _)| key.clone()) {
                kept.remove(&victim);
            }
        }
        kept.insert(key, Item { message: message.clone(), ttl, stored: now });
        message
    }
}

impl Limits {
    fn new(most: u32) -> Self {
        Self { capacity: CAPACITY, most, least: MIN_TTL, except: Vec::new() }
    }

    /// `CAPACITY [TTL] [MINTTL]`.
    fn refine(&mut self, args: &[String]) {
        let mut numbers = args.iter().map(|arg| arg.parse::<u32>().ok());
        let capacity = numbers.next().flatten().and_then(|it| usize::try_from(it).ok());
        self.capacity = capacity.unwrap_or(self.capacity).max(1);
        self.most = numbers.next().flatten().unwrap_or(self.most);
        self.least = numbers.next().flatten().unwrap_or(self.least);
    }
}

impl Item {
    /// How many seconds it is kept yet; `None` when it is over.
    fn left(&self, now: SimTime) -> Option<u32> {
        let age = u32::try_from(now.saturating_sub(self.stored).as_secs()).unwrap_or(u32::MAX);
        self.ttl.checked_sub(age).filter(|left| *left > 0)
    }
}

#[async_trait]
impl Plugin for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        if !self.zones.iter().any(|zone| within(&query.name, zone)) {
            return next.run(query).await;
        }
        let checking_disabled = query.request.message.metadata.checking_disabled;
        let key = (query.name.clone(), query.qtype, query.qclass, query.dnssec_ok(), checking_disabled);
        let labels = || vec![("server", query.server.clone()), ("zones", self.zones.join(","))];
        self.metrics.count("coredns_cache_requests_total", labels());
        if let Some(found) = self.find(&key, query, self.clock.now()) {
            self.metrics.count("coredns_cache_hits_total", labels());
            return Outcome::Written(found);
        }
        match next.run(query).await {
            Outcome::Written(answer) => Outcome::Written(self.keep(key, answer, self.clock.now())),
            failed => failed,
        }
    }
}

/// `None` for what is not cached: errors other than failures, and denials without a SOA record to say for how long.
fn kind(message: &Message) -> Option<Kind> {
    let has_soa = message.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    match message.metadata.response_code {
        ResponseCode::NXDomain => has_soa.then_some(Kind::Denial),
        ResponseCode::ServFail | ResponseCode::NotImp => Some(Kind::ServerFailure),
        ResponseCode::NoError => {
            let wanted = message.queries.first().map(|question| question.query_type);
            let answered = message.answers.iter().any(|record| Some(record.record_type()) == wanted)
                || (wanted == Some(RecordType::ANY) && !message.answers.is_empty());
            match (answered, has_soa, message.answers.is_empty()) {
                (false, true, _) => Some(Kind::Denial),
                // An alias that leads nowhere is no answer, and nothing says for how long.
                (false, false, false) => None,
                _ => Some(Kind::Success),
            }
        }
        _ => None,
    }
}

/// The lowest time to live in a message; a short one where it holds no record.
fn lowest_ttl(message: &Message) -> u32 {
    message.all_sections().map(|record| record.ttl).min().unwrap_or(MIN_TTL)
}

fn with_ttl(records: &[Record], ttl: u32) -> Vec<Record> {
    records
        .iter()
        .filter(|record| record.record_type() != RecordType::OPT)
        .cloned()
        .map(|mut record| {
            record.ttl = ttl;
            record
        })
        .collect()
}
