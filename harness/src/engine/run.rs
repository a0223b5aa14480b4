//! Executing a graph.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use tokio_util::sync::CancellationToken;

use super::{Condition, Failure, Graph, Poll, wait_for};

/// Told of everything that happens, in order for each task.
pub trait Observer: Send + Sync + 'static {
    /// A task starts.
    fn started(&self, task: &str);
    /// A task says what it is doing.
    fn progress(&self, task: &str, message: &str);
    /// An attempt failed and another one will follow.
    fn retried(&self, task: &str, attempt: u32, failure: &Failure, delay: Duration);
    /// A live request came to something.
    fn probed(&self, task: &str, from: &str, to: &str, ok: bool, detail: &str);
    /// A task ended.
    fn finished(&self, task: &str, outcome: &Outcome, duration: Duration);
}

/// What a task that succeeded did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether anything was changed; `false` when everything was found as it should be.
    pub changed: bool,
    /// What it found out, in a few words.
    pub note: Option<String>,
}

impl Done {
    /// Something was changed.
    pub fn changed() -> Self {
        Self { changed: true, note: None }
    }

    /// Everything was as it should be.
    pub fn unchanged() -> Self {
        Self::default()
    }

    /// Adds what was found out.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Succeeded(Done),
    /// It failed.
    Failed(Failure),
    /// It was not started: a task that it needs failed, or the run was cancelled.
    Skipped {
        /// Why.
        because: String,
    },
}

impl Outcome {
    /// Whether the task succeeded.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Succeeded(_))
    }
}

/// What came of every task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Outcomes by task.
    pub outcomes: BTreeMap<String, Outcome>,
}

impl Summary {
    /// The failures, by task.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Failure)> {
        self.outcomes.iter().filter_map(|(task, outcome)| match outcome {
            Outcome::Failed(failure) => Some((task.as_str(), failure)),
            _ => None,
        })
    }

    /// Whether every task succeeded.
    pub fn is_success(&self) -> bool {
        self.outcomes.values().all(Outcome::is_success)
    }
}

/// Bounds of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many tasks at once.
    pub parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parallel: 64 }
    }
}

/// What a task gets.
pub struct TaskContext<W> {
    task: Arc<str>,
    world: Arc<W>,
    cancel: CancellationToken,
    observer: Arc<dyn Observer>,
}

impl<W> Clone for TaskContext<W> {
    fn clone(&self) -> Self {
        Self {
            task: self.task.clone(),
            world: self.world.clone(),
            cancel: self.cancel.clone(),
            observer: self.observer.clone(),
        }
    }
}

impl<W> TaskContext<W> {
    /// The task's id.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// What the tasks share.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// Says what the task is doing.
    pub fn progress(&self, message: &str) {
        self.observer.progress(&self.task, message);
    }

    /// Says what came of a live request.
    pub fn probed(&self, from: &str, to: &str, ok: bool, detail: &str) {
        self.observer.probed(&self.task, from, to, ok, detail);
    }

    /// Waits for a condition; see [`wait_for`]. The run's cancellation ends the wait.
    ///
    /// # Errors
    /// See [`wait_for`].
    pub async fn wait_for<T, F>(
        &self,
        what: &str,
        deadline: Duration,
        poll: Poll,
        look: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Condition<T>, Failure>>,
    {
        wait_for(what, deadline, poll, &self.cancel, look).await
    }
}

/// Runs the graph to its end: what can run at once does; a failed task skips what needs it, and the rest goes on.
/// Cancelling starts nothing new and is seen by tasks that wait.
pub async fn execute<W: Send + Sync + 'static>(
    graph: &Graph<W>,
    world: &Arc<W>,
    observer: &Arc<dyn Observer>,
    cancel: &CancellationToken,
    limits: Limits,
) -> Summary {
    let tasks = &graph.tasks;
    let mut schedule = Schedule::new(graph);
    let mut running = FuturesUnordered::new();
    loop {
        if cancel.is_cancelled() {
            schedule.skip_all(observer);
        }
        while running.len() < limits.parallel.max(1)
            && let Some(node) = schedule.next()
        {
            let context = TaskContext {
                task: tasks[node].id.as_str().into(),
                world: world.clone(),
                cancel: cancel.clone(),
                observer: observer.clone(),
            };
            running.push(attempt(graph, node, context));
        }
        let Some((node, outcome)) = running.next().await else { break };
        schedule.ended(node, outcome, observer);
    }
    let outcomes = schedule.outcomes.into_iter().map(|(node, outcome)| (tasks[node].id.clone(), outcome)).collect();
    Summary { outcomes }
}

/// What can start, what waits, and what has ended.
struct Schedule<'a, W> {
    graph: &'a Graph<W>,
    /// Tasks that wait, with how many of those that they need have not ended.
    waiting: BTreeMap<NodeIndex, usize>,
    /// Those of them that wait for none.
    ready: BTreeSet<NodeIndex>,
    outcomes: BTreeMap<NodeIndex, Outcome>,
}

impl<'a, W> Schedule<'a, W> {
    fn new(graph: &'a Graph<W>) -> Self {
        let tasks = &graph.tasks;
        let needs = |node| tasks.neighbors_directed(node, Direction::Incoming).count();
        let waiting: BTreeMap<_, _> = tasks.node_indices().map(|node| (node, needs(node))).collect();
        let ready = waiting.iter().filter(|(_, needs)| **needs == 0).map(|(node, _)| *node).collect();
        Self { graph, waiting, ready, outcomes: BTreeMap::new() }
    }

    /// A task that can start, which then waits no more.
    fn next(&mut self) -> Option<NodeIndex> {
        let node = self.ready.pop_first()?;
        self.waiting.remove(&node);
        Some(node)
    }

    /// A task has ended; those that need it wait for one less, or are skipped, and so on.
    fn ended(&mut self, node: NodeIndex, outcome: Outcome, observer: &Arc<dyn Observer>) {
        let tasks = &self.graph.tasks;
        let mut ended = vec![(node, outcome)];
        while let Some((node, outcome)) = ended.pop() {
            for dependant in tasks.neighbors_directed(node, Direction::Outgoing) {
                let Some(needs) = self.waiting.get_mut(&dependant) else { continue };
                *needs -= 1;
                if !outcome.is_success() {
                    self.waiting.remove(&dependant);
                    let because = format!("{} did not succeed", tasks[node].id);
                    ended.push((dependant, skip(&tasks[dependant].id, because, observer)));
                } else if *needs == 0 {
                    self.ready.insert(dependant);
                }
            }
            self.outcomes.insert(node, outcome);
        }
    }

    /// Nothing more is started.
    fn skip_all(&mut self, observer: &Arc<dyn Observer>) {
        self.ready.clear();
        for (node, _) in std::mem::take(&mut self.waiting) {
            let outcome = skip(&self.graph.tasks[node].id, "the run was interrupted".to_owned(), observer);
            self.outcomes.insert(node, outcome);
        }
    }
}

fn skip(id: &str, because: String, observer: &Arc<dyn Observer>) -> Outcome {
    let outcome = Outcome::Skipped { because };
    observer.finished(id, &outcome, Duration::ZERO);
    outcome
}

/// Runs one task to its end, with its attempts.
async fn attempt<W: Send + Sync + 'static>(
    graph: &Graph<W>,
    node: NodeIndex,
    context: TaskContext<W>,
) -> (NodeIndex, Outcome) {
    let spec = &graph.tasks[node];
    let began = Instant::now();
    context.observer.started(&spec.id);
    let mut attempt = 1;
    let outcome = loop {
        let future = AssertUnwindSafe(async { (spec.run)(context.clone()).await });
        let failure = match future.catch_unwind().await {
            Ok(Ok(done)) => break Outcome::Succeeded(done),
            Ok(Err(failure)) => failure,
            Err(panic) => break Outcome::Failed(Failure::new("the task panicked").because(panic_message(&*panic))),
        };
        if !failure.retryable || attempt >= spec.attempts || context.cancel.is_cancelled() {
            break Outcome::Failed(failure);
        }
        let delay = spec.backoff * 2_u32.saturating_pow(attempt - 1);
        context.observer.retried(&spec.id, attempt, &failure, delay);
        tokio::select! {
            // Nothing tells when the other side would answer better (throttling, for one): time is all there is.
            () = tokio::time::sleep(delay) => {}
            () = context.cancel.cancelled() => break Outcome::Failed(failure),
        }
        attempt += 1;
    };
    context.observer.finished(&spec.id, &outcome, began.elapsed());
    (node, outcome)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
