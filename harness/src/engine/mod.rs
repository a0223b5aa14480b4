//! Runs a graph of tasks: everything whose needs are met at once, failures skip what depends on them, cancellation
//! starts nothing new. The engine knows no domain: it sees ids, closures and a shared world of any type.

mod failure;
mod graph;
mod run;
mod wait;

pub use failure::{Failure, Leftovers};
pub use graph::{Graph, GraphError, TaskSpec};
pub use run::{Done, Limits, Observer, Outcome, Summary, TaskContext, execute};
pub use wait::{Condition, Poll, wait_for};

#[cfg(test)]
mod tests;
