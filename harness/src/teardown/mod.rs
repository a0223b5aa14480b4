//! Taking a run down from its journal alone, in the order that works on AWS, and proving that nothing is left.

mod inventory;
mod remove;

use acrossk8s_aws::Regions;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

pub use inventory::{Inventory, inventory};
pub use remove::{Removed, Remover};

use crate::engine::Failure;
use crate::environment::Environment;
use crate::events::{EventSink, Kind, Phase};
use crate::journal::{Journal, JournalError, JournalState};
use crate::procedure::{Resource, load_balancers};
use crate::topology::Topology;

/// What came of a teardown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What could not be removed, or is left.
    pub left: Vec<String>,
}

impl Outcome {
    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty()
    }
}

/// A teardown that could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal holds something that this version does not know.
    #[error("the journal holds something that this version does not know: {0}")]
    Unknown(serde_json::Error),
}

/// The stages of facts about what blocks what: a load balancer keeps its interfaces and with them the subnets, a live
/// peering keeps a VPC, so what is made late goes first. Within a stage everything goes at once.
fn stage(resource: &Resource) -> u8 {
    match resource {
        Resource::Object { name, .. } if name == load_balancers::SERVICE => 2,
        Resource::Object { .. } => 0,
        Resource::CorefileEdit { .. } => 1,
        Resource::SecurityGroupRule { .. } => 3,
        Resource::Route { .. } => 3,
        Resource::Namespace { .. } => 3,
        Resource::Peering { .. } => 4,
        Resource::Cluster { .. } => 5,
    }
}

/// Takes down everything that the journal says may stand, and proves by an inventory that nothing is left. Ends the
/// journal when that is so.
///
/// # Errors
/// When the journal cannot be read or written.
pub async fn take_down(
    environment: &dyn Environment,
    journal: &Journal,
    topology: &Topology,
    sink: &EventSink,
    cancel: &CancellationToken,
) -> Result<Outcome, TeardownError> {
    let state = crate::journal::read(journal.path())?;
    let mut outcome = Outcome::default();
    if !environment.alive().await {
        sink.emit(Kind::Notice {
            message: "the environment is gone, and everything it held with it: nothing to take down".to_owned(),
        });
        sink.emit(Kind::InventoryTaken { remaining: Vec::new(), failure: None });
        for (seq, _) in state.standing() {
            journal.undone(seq)?;
        }
        journal.closed()?;
        return Ok(outcome);
    }
    let aws = Regions::new(&environment.access(), topology.regions());
    remove_all(environment, &aws, journal, &state, topology, sink, cancel, &mut outcome).await?;
    let phase = Phase::Prove;
    let began = sink.elapsed_ms();
    sink.emit(Kind::PhaseStarted { phase, tasks: topology.regions().len() });
    let (remaining, failure) = match inventory(&aws, &state.run_id).await {
        Ok(remaining) => (remaining, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    outcome.left.extend(remaining.iter().cloned());
    outcome.left.extend(failure.clone());
    sink.emit(Kind::InventoryTaken { remaining, failure });
    sink.emit(Kind::PhaseFinished { phase, duration_ms: sink.elapsed_ms() - began });
    if outcome.is_clean() {
        journal.closed()?;
    }
    Ok(outcome)
}

#[expect(clippy::too_many_arguments, reason = "one caller, which has them apart")]
async fn remove_all(
    environment: &dyn Environment,
    aws: &Regions,
    journal: &Journal,
    state: &JournalState,
    topology: &Topology,
    sink: &EventSink,
    cancel: &CancellationToken,
    outcome: &mut Outcome,
) -> Result<(), TeardownError> {
    let mut standing = Vec::new();
    for (seq, entry) in state.standing() {
        let resource: Resource = serde_json::from_value(entry.resource.clone()).map_err(TeardownError::Unknown)?;
        standing.push((seq, resource));
    }
    let clusters: Vec<_> = topology.clusters.iter().map(|it| (it.name.clone(), it.region.clone())).collect();
    let remover = Remover {
        environment,
        aws,
        run_id: &state.run_id,
        clusters: &clusters,
        cancel: cancel.clone(),
        kubernetes: Default::default(),
    };
    let began = sink.elapsed_ms();
    sink.emit(Kind::PhaseStarted { phase: Phase::Teardown, tasks: standing.len() });
    for at in 0..=5 {
        if cancel.is_cancelled() {
            outcome.left.push("teardown was interrupted".to_owned());
            break;
        }
        let now = standing.iter().filter(|(_, resource)| stage(resource) == at);
        let results = join_all(now.map(async |(seq, resource)| (*seq, resource, remover.remove(resource).await))).await;
        for (seq, resource, result) in results {
            let what = resource.describe();
            if matches!(result, Ok(Removed::Gone | Removed::WasGone)) {
                journal.undone(seq)?;
            } else {
                outcome.left.push(what.clone());
            }
            sink.emit(removed(what, result));
        }
    }
    sink.emit(Kind::PhaseFinished { phase: Phase::Teardown, duration_ms: sink.elapsed_ms() - began });
    Ok(())
}

fn removed(resource: String, result: Result<Removed, Failure>) -> Kind {
    let (outcome, failure) = match result {
        Ok(Removed::Gone) => ("gone", None),
        Ok(Removed::WasGone) => ("was gone", None),
        Ok(Removed::NotOurs(why)) => {
            let failure = Failure::new(format!("{resource} is left alone"))
                .because(why)
                .advise("remove it by hand if it is yours to remove");
            ("not ours", Some(failure))
        }
        Err(failure) => ("failed", Some(failure)),
    };
    Kind::Removed { resource, failure, outcome: outcome.to_owned() }
}
