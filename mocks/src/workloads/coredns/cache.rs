//! The plugin `cache`.

use std::collections::BTreeMap;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use parking_lot::Mutex;

use super::config::CacheConfig;
use crate::clock::{Clock, SimTime};

/// Shortest time that anything is kept, and the time for a failure (the manual: minimum TTL and SERVFAIL, five seconds).
const SHORTEST: Duration = Duration::from_secs(5);

/// More entries than that are not kept; the oldest go first. The manual's default capacity.
const CAPACITY: usize = 9984;

type Key = (String, u16);

/// Answers that are kept.
pub(super) struct Cache {
    config: CacheConfig,
    clock: Clock,
    kept: Mutex<BTreeMap<Key, Kept>>,
}

struct Kept {
    answer: Message,
    at: SimTime,
    until: SimTime,
}

impl Cache {
    pub(super) fn new(config: CacheConfig, clock: Clock) -> Self {
        Self { config, clock, kept: Mutex::default() }
    }

    /// The answer that is kept for a query, its TTLs counted down.
    pub(super) fn get(&self, query: &Message) -> Option<Message> {
        let now = self.clock.now();
        let kept = self.kept.lock();
        let kept = kept.get(&key(query)?).filter(|kept| now < kept.until)?;
        let mut answer = kept.answer.clone();
        answer.metadata.id = query.metadata.id;
        let age = u32::try_from((now - kept.at).as_secs()).unwrap_or(u32::MAX);
        for record in answer.answers.iter_mut().chain(answer.authorities.iter_mut()) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(answer)
    }

    /// Keeps an answer for as long as it may be kept.
    pub(super) fn put(&self, query: &Message, answer: &Message) {
        let (Some(key), Some(time)) = (key(query), self.time(answer)) else { return };
        let at = self.clock.now();
        let mut kept = self.kept.lock();
        if kept.len() >= CAPACITY {
            kept.retain(|_, kept| at < kept.until);
        }
        if kept.len() < CAPACITY {
            kept.insert(key, Kept { answer: answer.clone(), at, until: at + time });
        }
    }

    fn time(&self, answer: &Message) -> Option<Duration> {
        let shortest = |ttl: Option<u32>, longest: Duration| {
            ttl.map_or(SHORTEST, |ttl| Duration::from_secs(ttl.into())).min(longest).max(SHORTEST)
        };
        match answer.metadata.response_code {
            ResponseCode::NoError if !answer.answers.is_empty() => {
                let ttl = answer.answers.iter().map(|record| record.ttl).min();
                Some(shortest(ttl, self.config.success?))
            }
            ResponseCode::NoError | ResponseCode::NXDomain => {
                // RFC 2308: the smaller of the SOA's TTL and its minimum.
                let ttl = answer.authorities.iter().find_map(|record| match &record.data {
                    RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                    _ => None,
                });
                Some(shortest(ttl, self.config.denial?))
            }
            ResponseCode::ServFail => Some(SHORTEST),
            _ => None,
        }
    }
}

fn key(query: &Message) -> Option<Key> {
    let question = query.queries.first()?;
    let kind: u16 = RecordType::into(question.query_type());
    Some((question.name().to_ascii().to_ascii_lowercase(), kind))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hickory_proto::rr::{Name, Record};
    use rstest::rstest;

    use super::*;
    use crate::workloads::dns;

    fn query() -> Message {
        dns::query(&Name::from_ascii("a.ns.svc.cluster.local.").unwrap(), RecordType::A)
    }

    fn positive(ttl: u32) -> Message {
        let mut answer = dns::answer(&query(), ResponseCode::NoError);
        let name = Name::from_ascii("a.ns.svc.cluster.local.").unwrap();
        answer.answers.push(Record::from_rdata(name, ttl, RData::A(std::net::Ipv4Addr::new(10, 0, 0, 1).into())));
        answer
    }

    fn negative(ttl: u32) -> Message {
        let mut answer = dns::answer(&query(), ResponseCode::NXDomain);
        answer.authorities.push(dns::soa(&Name::from_ascii("cluster.local.").unwrap(), ttl));
        answer
    }

    #[rstest]
    #[case::short_positive(positive(5), 5)]
    #[case::capped_positive(positive(300), 30)]
    #[case::floored_positive(positive(0), 5)]
    #[case::negative(negative(5), 5)]
    #[case::capped_negative(negative(600), 30)]
    #[case::failure(dns::answer(&query(), ResponseCode::ServFail), 5)]
    fn answers_are_kept_as_long_as_the_manual_says(#[case] answer: Message, #[case] seconds: u64) {
        let clock = Clock::manual();
        let thirty = Some(Duration::from_secs(30));
        let cache = Cache::new(CacheConfig { success: thirty, denial: thirty }, clock.clone());
        cache.put(&query(), &answer);
        clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert_eq!(cache.get(&query()).map(|it| it.metadata.response_code), Some(answer.metadata.response_code));
        clock.advance(Duration::from_millis(1));
        assert_eq!(cache.get(&query()), None);
    }

    #[test]
    fn ttls_count_down() {
        let clock = Clock::manual();
        let cache = Cache::new(CacheConfig { success: Some(Duration::from_secs(30)), denial: None }, clock.clone());
        cache.put(&query(), &positive(20));
        clock.advance(Duration::from_secs(7));
        assert_eq!(cache.get(&query()).unwrap().answers[0].ttl, 13);
        cache.put(&query(), &negative(20));
        assert_eq!(cache.get(&query()).unwrap().answers.len(), 1, "denials are not kept when disabled");
    }
}
