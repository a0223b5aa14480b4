//! The steps in the order of the document, and the tasks that they make for a topology.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::omission::Omission;
use super::{World, clusters, coredns, load_balancers, nginx, peering, probers, routes, security_groups, storage};
use crate::engine::{Done, Failure, TaskContext};
use crate::topology::{ClusterIndex, Pair, Topology};

/// Id of a step, for example `create-peering`.
pub type StepId = &'static str;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Step 1 of the document: the clusters.
    Provision,
    /// Step 2, and step 3 up to the check itself.
    Apply,
    /// The check of step 3.
    Check,
    /// What the document removes after the check.
    CleanUp,
}

/// What a step is done once for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// The whole topology.
    All,
    /// One cluster.
    Cluster(ClusterIndex),
    /// One pair of clusters.
    Pair(Pair),
    /// One direction: of traffic from the first cluster to the second.
    Direction(ClusterIndex, ClusterIndex),
}

impl Scope {
    /// The clusters it is about, the acting one first; all of them for the whole topology.
    pub fn clusters(self, topology: &Topology) -> Vec<ClusterIndex> {
        match self {
            Scope::All => topology.indices().collect(),
            Scope::Cluster(index) => vec![index],
            Scope::Pair(pair) => vec![pair.requester, pair.accepter],
            Scope::Direction(from, to) => vec![from, to],
        }
    }

    /// Names of the clusters it is about, the acting one first.
    pub fn names(self, topology: &Topology) -> Vec<String> {
        let named = if self == Scope::All { Vec::new() } else { self.clusters(topology) };
        named.into_iter().map(|index| topology.cluster(index).name.clone()).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => write!(f, "all"),
            Scope::Cluster(index) => write!(f, "{index}"),
            Scope::Pair(pair) => write!(f, "{pair}"),
            Scope::Direction(from, to) => write!(f, "{from}-to-{to}"),
        }
    }
}

/// How often a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// Once.
    All,
    /// For each cluster.
    Cluster,
    /// For each pair.
    Pair,
    /// For each direction.
    Direction,
}

impl Each {
    /// The scopes of a topology.
    pub fn scopes(self, topology: &Topology) -> Vec<Scope> {
        match self {
            Each::All => vec![Scope::All],
            Each::Cluster => topology.indices().map(Scope::Cluster).collect(),
            Each::Pair => topology.pairs().into_iter().map(Scope::Pair).collect(),
            Each::Direction => topology.directions().into_iter().map(|(from, to)| Scope::Direction(from, to)).collect(),
        }
    }
}

/// The body of a task.
pub type Body =
    Arc<dyn Fn(TaskContext<World>, Scope) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync + 'static>;

/// One documented action.
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// What it does, in a few words.
    pub title: &'static str,
    /// The heading of the document that it stands under.
    pub heading: &'static str,
    /// Clauses of the document that it carries out.
    pub clauses: &'static [&'static str],
    /// The part of a run it belongs to.
    pub phase: Phase,
    /// How often it is done.
    pub each: Each,
    /// Tasks of earlier steps that a task of this one needs.
    pub needs: fn(&Topology, Scope) -> Vec<(StepId, Scope)>,
    /// The document's commands for it, or what it says to do in the console.
    pub commands: fn(&Topology, Scope) -> Vec<String>,
    /// API calls it makes.
    pub calls: &'static [&'static str],
    /// Set when the document lacks the step: why it is there all the same.
    pub gap: Option<&'static str>,
    /// What shows that one of its tasks was left out.
    pub omission: Omission,
    /// What it does.
    pub run: fn(TaskContext<World>, Scope) -> BoxFuture<'static, Result<Done, Failure>>,
}

/// Every step, in the order of the document.
pub static STEPS: &[&Step] = &[
    &clusters::WRITE_CONFIG,
    &clusters::CREATE_CLUSTER,
    &clusters::GET_CONTEXT,
    &clusters::CREATE_NAMESPACE,
    &storage::CREATE_CLASS,
    &peering::GET_VPC_ID,
    &peering::CREATE_PEERING,
    &peering::ACCEPT_PEERING,
    &routes::ADD_ROUTES,
    &security_groups::ALLOW_TRAFFIC,
    &load_balancers::WRITE_MANIFEST,
    &load_balancers::DEPLOY_SERVICE,
    &load_balancers::AWAIT_ACTIVE,
    &load_balancers::GET_ADDRESSES,
    &coredns::BACK_UP,
    &coredns::EDIT,
    &coredns::AWAIT_RELOAD,
    &nginx::WRITE_MANIFEST,
    &nginx::DEPLOY,
    &nginx::AWAIT_NAME,
    &probers::DEPLOY,
    &nginx::CHECK,
    &nginx::DELETE,
    &probers::DELETE,
];

/// A step for one scope.
#[derive(Clone)]
pub struct Task {
    /// The step.
    pub step: &'static Step,
    /// What for.
    pub scope: Scope,
    /// Tasks that have to be done before.
    pub needs: Vec<String>,
    /// What it does; a fault may put something else in its place.
    pub body: Body,
}

impl Task {
    /// Its id, for example `create-peering/1-2`.
    pub fn id(&self) -> String {
        task_id(self.step.id, self.scope)
    }
}

/// The id of a step's task.
pub fn task_id(step: StepId, scope: Scope) -> String {
    format!("{step}/{scope}")
}

/// Every task of a topology, in the order of the document.
pub fn tasks(topology: &Topology) -> Vec<Task> {
    STEPS
        .iter()
        .flat_map(|step| {
            step.each.scopes(topology).into_iter().map(move |scope| Task {
                step,
                scope,
                needs: (step.needs)(topology, scope).into_iter().map(|(step, scope)| task_id(step, scope)).collect(),
                body: Arc::new(step.run),
            })
        })
        .collect()
}
