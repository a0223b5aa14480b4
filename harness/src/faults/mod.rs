//! Deliberate deviations from the procedure, each with what must catch it: the omission of each task, generated from the
//! steps; the documented missteps, a file for each subject; and combinations of two.
//!
//! A fault changes the topology or the tasks of a run and nothing else, and works through the same clients as the
//! procedure, so that it works on every environment.
//!
//! [`REPORTED`] lists what people have reported to go wrong, and the faults that show it.

mod clusters;
mod combinations;
mod coredns;
mod corefiles;
mod guards;
mod judgement;
mod load_balancers;
mod matrix;
mod nginx;
mod omissions;
mod peerings;
mod reported;
mod routes;
mod security;
#[cfg(test)]
mod tests;
mod zones;

pub use combinations::{are_compatible, combine, draw};
pub use guards::{UNSHOWN, unguarded};
pub use judgement::{Judgement, judge};
pub use matrix::{Row, head, legend};
pub use reported::{REPORTED, Reported, Shown};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::diagnosis::{Diagnosed, Named};
use crate::engine::{Done, Failure, TaskContext};
use crate::environment::EmbeddedOptions;
use crate::procedure::{Body, Scope, Task, World};
use crate::topology::{ClusterIndex, Topology};

type ChangeTopology = Arc<dyn Fn(&mut Topology) + Send + Sync>;
type ChangeTasks = Arc<dyn Fn(&Topology, Vec<Task>) -> Vec<Task> + Send + Sync>;

/// The clusters that missteps are about: they exist in every topology.
const ONE: ClusterIndex = ClusterIndex(0);
const TWO: ClusterIndex = ClusterIndex(1);

/// Longest wait for what a fault may have made impossible. Nothing in a lab takes a tenth of it.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// One deliberate deviation.
#[derive(Clone)]
pub struct Fault {
    /// Its id, for example `missing-route`.
    pub id: String,
    /// What is done wrong.
    pub title: String,
    /// Ids of the invariants that have to fail; every other has to pass, or be blocked by one of these.
    pub caught_by: BTreeSet<&'static str>,
    /// Ids of the tasks that cannot be done and have to fail; no other may.
    pub stops: BTreeSet<String>,
    /// Ids of invariants that fail without luck.
    pub may_fail: BTreeSet<&'static str>,
    /// Why nothing need catch it.
    pub luck: Option<&'static str>,
    /// What its failed probes are diagnosed with: the true cause, which is what it does wrong.
    pub diagnosed: Diagnosed,
    /// What it is diagnosed with besides in a combination, where the other fault hides what it is known by alone.
    pub beside: BTreeSet<Named>,
    /// The faults that it combines; none for a fault of its own.
    pub of: Vec<String>,
    /// What teardown cannot take away, in words that it tells of it with; everything else has to be gone.
    pub leaves: BTreeSet<&'static str>,
    /// Tasks that it leaves out or does otherwise.
    touches: BTreeSet<String>,
    /// Tasks that it would not show without.
    counts_on: BTreeSet<String>,
    topology: Option<ChangeTopology>,
    tasks: Vec<ChangeTasks>,
    /// What the lab has to be like for the fault to show, which on AWS is a matter of time.
    pub lab: EmbeddedOptions,
}

impl Fault {
    /// A fault that changes nothing yet, with what its failed probes are diagnosed with.
    fn new(id: impl Into<String>, title: impl Into<String>, diagnosed: Diagnosed) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            caught_by: BTreeSet::new(),
            stops: BTreeSet::new(),
            may_fail: BTreeSet::new(),
            luck: None,
            diagnosed,
            beside: BTreeSet::new(),
            of: Vec::new(),
            leaves: BTreeSet::new(),
            touches: BTreeSet::new(),
            counts_on: BTreeSet::new(),
            topology: None,
            tasks: Vec::new(),
            lab: EmbeddedOptions { longest_wait: Some(LONGEST_WAIT), ..EmbeddedOptions::default() },
        }
    }

    /// The invariants that have to fail.
    fn caught_by(mut self, invariants: &[&'static str]) -> Self {
        self.caught_by.extend(invariants);
        self
    }

    /// The tasks that have to fail.
    fn stops(mut self, tasks: &[&str]) -> Self {
        self.stops.extend(tasks.iter().map(|task| (*task).to_owned()));
        self
    }

    /// What it may be diagnosed with in a combination.
    fn or_beside_another(mut self, diagnosed: &Diagnosed) -> Self {
        self.beside.extend(diagnosed.causes());
        self
    }

    /// What teardown leaves, and tells of.
    fn leaves(mut self, what: &[&'static str]) -> Self {
        self.leaves.extend(what);
        self
    }

    /// Something wrong is wanted, past validation.
    fn wants(mut self, change: impl Fn(&mut Topology) + Send + Sync + 'static) -> Self {
        self.topology = Some(Arc::new(change));
        self
    }

    /// Without a task, or with another in its place, it would not show.
    fn counts_on(mut self, task: &str) -> Self {
        self.counts_on.insert(task.to_owned());
        self
    }

    fn changes(
        mut self,
        task: &str,
        change: impl Fn(&Topology, Vec<Task>) -> Vec<Task> + Send + Sync + 'static,
    ) -> Self {
        self.touches.insert(task.to_owned());
        self.tasks.push(Arc::new(change));
        self
    }

    /// A task is left out; those that need it need what it needed.
    fn leaves_out(self, task: impl Into<String>) -> Self {
        let task = task.into();
        self.changes(&task.clone(), move |_, mut tasks| {
            let needed = tasks.iter().find(|it| it.id() == task).map(|it| it.needs.clone()).unwrap_or_default();
            tasks.retain(|it| it.id() != task);
            for it in tasks.iter_mut().filter(|it| it.needs.contains(&task)) {
                it.needs.retain(|need| *need != task);
                it.needs.extend(needed.iter().cloned());
            }
            tasks
        })
    }

    /// A task also needs others.
    fn needs(self, task: &'static str, needs: impl Fn(&Topology) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.changes(task, move |topology, mut tasks| {
            for it in tasks.iter_mut().filter(|it| it.id() == task) {
                it.needs.extend(needs(topology));
            }
            tasks
        })
    }

    /// A task does something else.
    fn instead<F>(self, task: &str, act: impl Fn(TaskContext<World>, Scope) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        let body: Body = Arc::new(move |context, scope| -> BoxFuture<'static, _> { Box::pin(act(context, scope)) });
        let id = task.to_owned();
        self.changes(task, move |_, mut tasks| {
            let task = &id;
            for it in tasks.iter_mut().filter(|it| it.id() == *task) {
                it.body = body.clone();
            }
            tasks
        })
    }

    /// Something goes wrong right before a task.
    fn before<F>(self, task: &'static str, mishap: impl Fn(TaskContext<World>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.around(task, true, mishap)
    }

    /// Something goes wrong right after a task.
    fn after<F>(self, task: &'static str, mishap: impl Fn(TaskContext<World>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.around(task, false, mishap)
    }

    fn around<F>(
        self,
        task: &'static str,
        before: bool,
        mishap: impl Fn(TaskContext<World>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mishap = Arc::new(mishap);
        self.changes(task, move |_, mut tasks| {
            for it in tasks.iter_mut().filter(|it| it.id() == task) {
                let (documented, mishap) = (it.body.clone(), mishap.clone());
                it.body = Arc::new(move |context, scope| {
                    let (documented, mishap) = (documented.clone(), mishap.clone());
                    Box::pin(async move {
                        if before {
                            mishap(context.clone()).await?;
                            return documented(context, scope).await;
                        }
                        let done = documented(context.clone(), scope).await?;
                        mishap(context).await?;
                        Ok(done)
                    })
                });
            }
            tasks
        })
    }

    /// What is wanted with the fault.
    pub fn change_topology(&self, topology: &mut Topology) {
        if let Some(change) = &self.topology {
            change(topology);
        }
    }

    /// The tasks with the fault.
    pub fn change_tasks(&self, topology: &Topology, tasks: Vec<Task>) -> Vec<Task> {
        self.tasks.iter().fold(tasks, |tasks, change| change(topology, tasks))
    }

    /// Whether the run goes on to its verdicts with nothing but what the fault says amiss.
    fn runs_through(&self) -> bool {
        self.stops.is_empty() && self.luck.is_none()
    }
}

/// Every fault of a topology: first the omissions, then the missteps in the order of the document.
pub fn catalogue(topology: &Topology) -> Vec<Fault> {
    [
        omissions::faults(topology),
        clusters::faults(topology),
        peerings::faults(topology),
        routes::faults(topology),
        security::faults(topology),
        load_balancers::faults(topology),
        zones::faults(),
        coredns::faults(),
        nginx::faults(),
    ]
    .concat()
}

/// The fault of a topology with an id, or the combination of two with `+` between theirs.
pub fn find(topology: &Topology, id: &str) -> Option<Fault> {
    among(&catalogue(topology), id)
}

/// The same, of a catalogue.
pub fn among(catalogue: &[Fault], id: &str) -> Option<Fault> {
    let fault = |id: &str| catalogue.iter().find(|fault| fault.id == id);
    let Some((a, b)) = id.split_once('+') else { return fault(id).cloned() };
    let (a, b) = fault(a).zip(fault(b))?;
    are_compatible(a, b).then(|| combine(a, b))
}
