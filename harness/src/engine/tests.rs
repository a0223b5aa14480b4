//! The engine's promises, on graphs by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{
    Condition, Done, Failure, Graph, GraphError, Limits, Observer, Outcome, Poll, Summary, TaskContext, TaskSpec,
    execute, wait_for,
};

const QUICK: Poll = Poll { initial: Duration::from_millis(1), max: Duration::from_millis(2), jitter: 0.5 };

/// What was told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, String)>>);

impl Told {
    fn of(&self, what: &str) -> Vec<String> {
        self.0.lock().iter().filter(|(it, _)| *it == what).map(|(_, task)| task.clone()).collect()
    }

    fn position(&self, what: &str, task: &str) -> Option<usize> {
        self.0.lock().iter().position(|(it, of)| *it == what && of == task)
    }
}

impl Observer for Told {
    fn started(&self, task: &str) {
        self.0.lock().push(("started", task.to_owned()));
    }
    fn progress(&self, task: &str, _message: &str) {
        self.0.lock().push(("progress", task.to_owned()));
    }
    fn retried(&self, task: &str, _attempt: u32, _failure: &Failure, _delay: Duration) {
        self.0.lock().push(("retried", task.to_owned()));
    }
    fn probed(&self, task: &str, _from: &str, _to: &str, _ok: bool, _detail: &str) {
        self.0.lock().push(("probed", task.to_owned()));
    }
    fn finished(&self, task: &str, _outcome: &Outcome, _duration: Duration) {
        self.0.lock().push(("finished", task.to_owned()));
    }
}

/// What the tasks share: how many run, and how many at most did.
#[derive(Default)]
struct World {
    running: AtomicUsize,
    most: AtomicUsize,
    attempts: AtomicU32,
}

fn task<F>(id: &str, needs: &[String], attempts: u32, body: F) -> TaskSpec<World>
where
    F: Fn(TaskContext<World>) -> futures::future::BoxFuture<'static, Result<Done, Failure>> + Send + Sync + 'static,
{
    TaskSpec {
        id: id.to_owned(),
        needs: needs.to_vec(),
        attempts,
        backoff: Duration::from_millis(1),
        run: Arc::new(body),
    }
}

async fn run(
    specs: Vec<TaskSpec<World>>,
    cancel: &CancellationToken,
    parallel: usize,
) -> (Summary, Arc<Told>, Arc<World>) {
    let told = Arc::new(Told::default());
    let world = Arc::new(World::default());
    let observer: Arc<dyn Observer> = told.clone();
    let graph = Graph::new(specs).expect("the graph is sound");
    let summary = execute(&graph, &world, &observer, cancel, Limits { parallel }).await;
    (summary, told, world)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A graph by chance: for each task the earlier ones it needs, and whether it fails.
fn graphs() -> impl Strategy<Value = Vec<(BTreeSet<usize>, bool)>> {
    prop::collection::vec((prop::collection::btree_set(0_usize..24, 0..4), prop::bool::weighted(0.15)), 1..24).prop_map(
        |tasks| {
            let keep = |at: usize, needs: BTreeSet<usize>| needs.into_iter().filter(|need| *need < at).collect();
            tasks.into_iter().enumerate().map(|(at, (needs, fails))| (keep(at, needs), fails)).collect()
        },
    )
}

fn name(at: usize) -> String {
    format!("task-{at}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_once_after_what_it_needs_and_failures_skip_exactly_their_dependants(
        tasks in graphs(), parallel in 1_usize..6
    ) {
        let specs = tasks.iter().enumerate().map(|(at, (needs, fails))| {
            let (needs, fails) = (needs.iter().map(|need| name(*need)).collect::<Vec<_>>(), *fails);
            task(&name(at), &needs, 1, move |context| async move {
                let world = context.world();
                let now = world.running.fetch_add(1, Ordering::SeqCst) + 1;
                world.most.fetch_max(now, Ordering::SeqCst);
                tokio::task::yield_now().await;
                world.running.fetch_sub(1, Ordering::SeqCst);
                if fails { Err(Failure::new("on purpose")) } else { Ok(Done::changed()) }
            }.boxed())
        }).collect();
        let (summary, told, world) = block_on(run(specs, &CancellationToken::new(), parallel));

        prop_assert!(world.most.load(Ordering::SeqCst) <= parallel);
        prop_assert_eq!(summary.outcomes.len(), tasks.len());
        // What must become of each task, from the graph alone.
        let mut succeeds: BTreeMap<usize, bool> = BTreeMap::new();
        for (at, (needs, fails)) in tasks.iter().enumerate() {
            let reached = needs.iter().all(|need| succeeds[need]);
            succeeds.insert(at, reached && !fails);
            let id = name(at);
            let fits = match &summary.outcomes[&id] {
                Outcome::Succeeded(_) => reached && !fails,
                Outcome::Failed(_) => reached && *fails,
                Outcome::Skipped { .. } => !reached,
            };
            prop_assert!(fits, "{id}: {:?}", summary.outcomes[&id]);
            prop_assert_eq!(told.of("finished").iter().filter(|it| **it == id).count(), 1);
            if let Some(started) = told.position("started", &id) {
                for need in needs {
                    prop_assert!(told.position("finished", &name(*need)) < Some(started));
                }
            }
        }
    }

    #[test]
    fn cancelling_starts_nothing_more_and_every_task_has_an_outcome(tasks in graphs(), at in 0_usize..24) {
        let cancel = CancellationToken::new();
        let stop = at % tasks.len();
        let specs = tasks.iter().enumerate().map(|(at, (needs, _))| {
            let needs: Vec<_> = needs.iter().map(|need| name(*need)).collect();
            let cancel = cancel.clone();
            task(&name(at), &needs, 1, move |_| {
                if at == stop {
                    cancel.cancel();
                }
                async { Ok(Done::changed()) }.boxed()
            })
        }).collect();
        let (summary, told, _) = block_on(run(specs, &cancel, 1));
        let started = told.of("started");
        prop_assert_eq!(started.last(), Some(&name(stop)));
        prop_assert_eq!(summary.outcomes.len(), tasks.len());
        for (id, outcome) in &summary.outcomes {
            prop_assert_eq!(started.contains(id), outcome.is_success(), "{}: {:?}", id, outcome);
        }
    }
}

#[tokio::test]
async fn a_retryable_failure_is_tried_as_often_as_allowed_and_another_once() {
    for (retryable, attempts, expected) in [(true, 3, 3), (false, 3, 1), (true, 1, 1)] {
        let body = move |context: TaskContext<World>| {
            async move {
                context.world().attempts.fetch_add(1, Ordering::SeqCst);
                let failure = Failure::new("on purpose");
                Err(if retryable { failure.retry() } else { failure })
            }
            .boxed()
        };
        let (summary, told, world) = run(vec![task("a", &[], attempts, body)], &CancellationToken::new(), 4).await;
        assert!(matches!(summary.outcomes["a"], Outcome::Failed(_)));
        assert_eq!(world.attempts.load(Ordering::SeqCst), expected, "retryable {retryable}, attempts {attempts}");
        assert_eq!(told.of("retried").len() as u32, expected - 1);
    }
}

#[tokio::test]
async fn a_later_attempt_can_succeed() {
    let body = |context: TaskContext<World>| {
        async move {
            match context.world().attempts.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Failure::new("not yet").retry()),
                _ => Ok(Done::changed().note("now")),
            }
        }
        .boxed()
    };
    let (summary, _, _) = run(vec![task("a", &[], 2, body)], &CancellationToken::new(), 4).await;
    assert_eq!(summary.outcomes["a"], Outcome::Succeeded(Done::changed().note("now")));
}

#[tokio::test]
async fn a_panic_fails_its_task_and_no_other() {
    let specs = vec![
        task("panics", &[], 1, |_| async { panic!("on purpose") }.boxed()),
        task("other", &[], 1, |_| async { Ok(Done::unchanged()) }.boxed()),
    ];
    let (summary, _, _) = run(specs, &CancellationToken::new(), 4).await;
    let Outcome::Failed(failure) = &summary.outcomes["panics"] else { panic!("{summary:?}") };
    assert_eq!(failure.why.as_deref(), Some("on purpose"));
    assert!(summary.outcomes["other"].is_success());
}

#[tokio::test]
async fn cancelling_ends_a_wait_and_the_pause_between_attempts() {
    let cancel = CancellationToken::new();
    let waits = task("waits", &[], 1, |context| {
        async move {
            let forever = Duration::from_secs(3600);
            context.wait_for("a thing", forever, QUICK, || async { Ok(Condition::NotYet("nothing".into())) }).await
        }
        .boxed()
    });
    let mut pauses = task("pauses", &[], 9, |_| async { Err(Failure::new("on purpose").retry()) }.boxed());
    pauses.backoff = Duration::from_secs(3600);
    let stops = {
        let cancel = cancel.clone();
        task("stops", &[], 1, move |_| {
            cancel.cancel();
            async { Ok(Done::unchanged()) }.boxed()
        })
    };
    let (summary, _, _) = run(vec![waits, pauses, stops], &cancel, 4).await;
    let Outcome::Failed(failure) = &summary.outcomes["waits"] else { panic!("{summary:?}") };
    assert!(failure.what.contains("interrupted while waiting for a thing"), "{failure}");
    assert!(matches!(summary.outcomes["pauses"], Outcome::Failed(_)));
}

#[tokio::test]
async fn a_wait_that_is_in_vain_says_what_was_seen_last() {
    let mut looks = 0;
    let failure = wait_for::<(), _>("peace", Duration::from_millis(10), QUICK, &CancellationToken::new(), || {
        looks += 1;
        let seen = format!("look {looks}");
        async move { Ok(Condition::NotYet(seen)) }
    })
    .await
    .expect_err("it never holds");
    assert!(failure.what.contains("in vain for peace"), "{failure}");
    assert!(looks > 1);
    assert_eq!(failure.why, Some(format!("look {looks}")));
}

#[tokio::test]
async fn a_wait_ends_with_what_a_look_gives_or_fails_with() {
    let cancel = CancellationToken::new();
    let deadline = Duration::from_secs(60);
    let ready = wait_for("it", deadline, QUICK, &cancel, || async { Ok(Condition::Ready(7)) }).await;
    assert_eq!(ready, Ok(7));
    let failed = wait_for::<(), _>("it", deadline, QUICK, &cancel, || async { Err(Failure::new("refused")) }).await;
    assert_eq!(failed, Err(Failure::new("refused")));
}

#[test]
fn a_graph_that_cannot_be_run_is_refused() {
    let nothing = |id: &str, needs: &[&str]| {
        let needs: Vec<_> = needs.iter().map(|need| (*need).to_owned()).collect();
        task(id, &needs, 1, |_| async { Ok(Done::unchanged()) }.boxed())
    };
    let refusal = |specs| Graph::<World>::new(specs).err();
    assert_eq!(refusal(vec![nothing("a", &[]), nothing("a", &[])]), Some(GraphError::Duplicate("a".to_owned())));
    assert_eq!(
        refusal(vec![nothing("a", &["b"])]),
        Some(GraphError::UnknownNeed { task: "a".to_owned(), need: "b".to_owned() })
    );
    assert!(matches!(refusal(vec![nothing("a", &["b"]), nothing("b", &["a"])]), Some(GraphError::Cycle(_))));
    assert!(matches!(refusal(vec![nothing("a", &["a"])]), Some(GraphError::Cycle(_))));
}
