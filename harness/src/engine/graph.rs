//! The graph of tasks, checked when it is built.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Done, Failure, TaskContext};

/// What a task does.
pub type Body<W> = Arc<dyn Fn(TaskContext<W>) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync>;

/// One task.
pub struct TaskSpec<W> {
    /// Its id, unique in the graph.
    pub id: String,
    /// Ids of the tasks that have to succeed before.
    pub needs: Vec<String>,
    /// How often it is tried when its failure is retryable, the first time included.
    pub attempts: u32,
    /// Time before the second attempt; doubled before each further one.
    pub backoff: Duration,
    /// What it does. Called once for each attempt.
    pub run: Body<W>,
}

/// A graph of tasks without cycles.
pub struct Graph<W> {
    pub(super) tasks: DiGraph<TaskSpec<W>, ()>,
}

/// A graph that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two tasks have the same id.
    #[error("two tasks have the id {0}")]
    Duplicate(String),
    /// A task needs one that does not exist.
    #[error("task {task} needs {need}, which does not exist")]
    UnknownNeed {
        /// The task.
        task: String,
        /// What it needs.
        need: String,
    },
    /// Tasks need each other.
    #[error("task {0} needs itself, directly or through others")]
    Cycle(String),
}

impl<W> Graph<W> {
    /// Builds the graph.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn new(specs: Vec<TaskSpec<W>>) -> Result<Self, GraphError> {
        let mut tasks = DiGraph::new();
        let mut by_id: BTreeMap<String, NodeIndex> = BTreeMap::new();
        for spec in specs {
            let id = spec.id.clone();
            let node = tasks.add_node(spec);
            if by_id.insert(id.clone(), node).is_some() {
                return Err(GraphError::Duplicate(id));
            }
        }
        for (id, node) in &by_id {
            for need in tasks[*node].needs.clone() {
                let Some(from) = by_id.get(&need) else {
                    return Err(GraphError::UnknownNeed { task: id.clone(), need });
                };
                tasks.add_edge(*from, *node, ());
            }
        }
        if let Err(cycle) = petgraph::algo::toposort(&tasks, None) {
            return Err(GraphError::Cycle(tasks[cycle.node_id()].id.clone()));
        }
        Ok(Self { tasks })
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.node_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.node_count() == 0
    }
}
