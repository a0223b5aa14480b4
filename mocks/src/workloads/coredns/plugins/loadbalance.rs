//! `loadbalance`: shuffles the addresses of an answer (policy `round_robin`, which is random in spite of its name).

use async_trait::async_trait;
use hickory_proto::rr::{Record, RecordType};
use rand::seq::SliceRandom;

use super::super::query::{Next, Outcome, Plugin, Query};

/// The plugin.
pub(in super::super) struct LoadBalance;

#[async_trait]
impl Plugin for LoadBalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        let mut outcome = next.run(query).await;
        if let Outcome::Written(answer) = &mut outcome {
            answer.answers = shuffled(std::mem::take(&mut answer.answers));
            answer.additionals = shuffled(std::mem::take(&mut answer.additionals));
        }
        outcome
    }
}

/// Aliases first, then what is no address, then the addresses in any order.
fn shuffled(records: Vec<Record>) -> Vec<Record> {
    let (mut first, rest): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.record_type() == RecordType::CNAME);
    let (mut addresses, others): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|record| matches!(record.record_type(), RecordType::A | RecordType::AAAA));
    addresses.shuffle(&mut rand::rng());
    first.extend(others);
    first.extend(addresses);
    first
}
