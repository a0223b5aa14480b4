//! `acrossk8s verify`.

use std::path::Path;
use std::sync::Arc;

use super::args::VerifyArgs;
use super::run::{sink, write_reports};
use super::signals::Signals;
use super::teardown::{journal_error, what_stood};
use super::{CommandError, topology};
use crate::environment::Environment;
use crate::events::{EventSink, Kind};
use crate::exit::ExitCode;
use crate::journal::Journal;
use crate::observation::Observation;
use crate::report::Plain;
use crate::run;
use crate::run_directory::{self, RunDirectory};
use crate::topology::Topology;

/// Observes existing clusters, or reads a saved observation, and asserts every invariant.
pub async fn verify(runs: &Path, args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    match (&args.run, &args.observation) {
        (Some(id), _) => live(runs, id).await,
        (None, Some(path)) => saved(args, path),
        (None, None) => Err(CommandError::usage(
            "nothing to verify\n  to mend it: name a kept run with --run (see `acrossk8s runs`), or a saved observation \
             with --observation",
        )),
    }
}

fn saved(args: &VerifyArgs, path: &Path) -> Result<ExitCode, CommandError> {
    let topology = topology(&args.scenario)?;
    let observation = read_observation(&topology, path)?;
    let sink = EventSink::new("offline", vec![Box::new(Plain::default())]);
    let (verdicts, _) = run::judge(&topology, &observation, &sink);
    Ok(finish(&sink, run::holds(&verdicts)))
}

/// A saved observation of a topology.
pub(super) fn read_observation(topology: &Topology, path: &Path) -> Result<Observation, CommandError> {
    let wrong = |why: String| CommandError::usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let observation: Observation =
        serde_json::from_str(&text).map_err(|error| wrong(format!("not an observation: {error}")))?;
    if observation.clusters.len() != topology.clusters.len() {
        let (seen, wanted) = (observation.clusters.len(), topology.clusters.len());
        return Err(wrong(format!(
            "it is of {seen} clusters, and the scenario has {wanted}\n  to mend it: name its scenario with --scenario"
        )));
    }
    Ok(observation)
}

async fn live(runs: &Path, id: &str) -> Result<ExitCode, CommandError> {
    let directory = RunDirectory::find(runs, id).map_err(CommandError::usage)?;
    let (journal, state) = Journal::open(&directory.file(run_directory::JOURNAL)).map_err(journal_error)?;
    let gone = || {
        CommandError::usage(format!(
            "nothing stands of run {id} any more\n  to mend it: keep one with `acrossk8s run --keep`"
        ))
    };
    if state.closed {
        return Err(gone());
    }
    let (environment, topology) = what_stood(&state)?.ok_or_else(gone)?;
    if !environment.alive().await {
        return Err(gone());
    }
    let environment: Arc<dyn Environment> = Arc::new(environment);
    let sink = sink(&directory)?;
    let signals = Signals::listen(Some(sink.clone()))?;
    let (observation, verdicts) = run::verify(environment, topology, &directory, journal, &sink, &signals.interrupt)
        .await
        .map_err(CommandError::unexpected)?;
    run::save(&directory, &observation, &sink).await;
    let exit = if signals.interrupt.is_cancelled() {
        sink.emit(Kind::Notice { message: "interrupted: the clusters go on as they are".to_owned() });
        ExitCode::Interrupted
    } else {
        finish(&sink, run::holds(&verdicts))
    };
    write_reports(&directory);
    Ok(exit)
}

fn finish(sink: &EventSink, holds: bool) -> ExitCode {
    let exit = if holds { ExitCode::Passed } else { ExitCode::Failed };
    sink.emit(Kind::RunFinished { exit_code: exit.code(), meaning: exit.to_string(), duration_ms: sink.elapsed_ms() });
    exit
}
