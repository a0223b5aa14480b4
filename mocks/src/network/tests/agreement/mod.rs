//! The model and the kernel held against each other: in random topologies that change at random, both have to give the
//! same answer to every question.
//!
//! Both networks obey one emulated account. A case is a [`World`](world::World), some [`Change`](change::Change)s to it, one
//! after the other, and then every question ([`ask`]) that a host can have for another one.
//!
//! The same answer is: connected, to the same host, which saw the same source address; refused; or none, and then for a
//! datagram whether it arrived all the same. Where chance chooses (load balancers, endpoints, translated ports) it is the
//! same set of answers.
//!
//! Only what begins is asked about. What stands is told apart by design (see [`model`](crate::network::model)) and is
//! tested in `standing`.
//!
//! `PROPTEST_CASES` draws so many other cases, new ones each time. A failure shrinks; its seed goes to `mocks/proptest-regressions` and is tried first
//! from then on. What was found is in `found`.

mod ask;
mod change;
mod found;
pub(super) mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use self::ask::disagreements;
use self::change::Change;
use self::world::{Built, World};
use super::kernel_is_allowed;

/// Cases without `PROPTEST_CASES`, the same ones each time, so that nobody's change is held up by what it did not do: they
/// take about half a minute.
const CASES: u32 = 24;
/// What those are drawn with.
const SEED: RngSeed = RngSeed::Fixed(20_261_201);

fn config() -> Config {
    let default = Config { max_shrink_iters: 400, max_shrink_time: 300_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    Config { cases: CASES, rng_seed: SEED, ..default }
}

/// What the networks do not agree about, if the kernel's can be had.
async fn differences(world: &World, changes: &[Change]) -> Vec<String> {
    if !kernel_is_allowed().await {
        return Vec::new();
    }
    let built = Built::new(world).await;
    for change in changes {
        built.apply(change).await;
    }
    disagreements(&built).await
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_secs(10));
    result
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn both_networks_give_the_same_answers(
        world in world::worlds(), changes in prop::collection::vec(change::changes(), 0..8),
    ) {
        let differences = run(differences(&world, &changes));
        prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}
