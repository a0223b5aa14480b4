//! Deliberate deviations from the procedure, each with the invariants that must catch it.
//!
//! A fault changes the topology or the tasks of a run and nothing else, and works through the same clients as the
//! procedure, so that it works on every environment.

mod catalogue;
mod corefiles;

pub use catalogue::CATALOGUE;

use crate::procedure::Task;
use crate::topology::Topology;

/// One deliberate deviation.
pub struct Fault {
    /// Its id, for example `missing-route`.
    pub id: &'static str,
    /// What is done wrong.
    pub title: &'static str,
    /// What is wanted wrongly, before anything is made. Goes past validation on purpose.
    pub topology: fn(&mut Topology),
    /// Which tasks are left out or done otherwise.
    pub tasks: fn(&Topology, Vec<Task>) -> Vec<Task>,
    /// Ids of the invariants that have to fail; every other has to pass, or be blocked by one of these.
    pub caught_by: &'static [&'static str],
}

/// The fault with an id.
pub fn find(id: &str) -> Option<&'static Fault> {
    CATALOGUE.iter().find(|fault| fault.id == id)
}

/// The tasks without one of them; those that needed it no longer do.
fn without(tasks: Vec<Task>, id: &str) -> Vec<Task> {
    tasks
        .into_iter()
        .filter(|task| task.id() != id)
        .map(|mut task| {
            task.needs.retain(|need| need != id);
            task
        })
        .collect()
}

/// The tasks with another body for one of them.
fn instead(mut tasks: Vec<Task>, id: &str, body: crate::procedure::Body) -> Vec<Task> {
    for task in &mut tasks {
        if task.id() == id {
            task.body = body.clone();
        }
    }
    tasks
}
