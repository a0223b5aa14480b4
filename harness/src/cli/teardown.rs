//! `acrossk8s teardown`.

use std::path::Path;

use super::CommandError;
use super::args::TeardownArgs;
use super::run::{sink, write_reports};
use super::signals::Signals;
use crate::environment::{Embedded, Environment as _, Handle};
use crate::events::Kind;
use crate::exit::ExitCode;
use crate::journal::{Journal, JournalError, JournalState};
use crate::run_directory::{self, RunDirectory};
use crate::teardown;
use crate::topology::Topology;

/// Takes down what a run made, from its journal alone.
pub async fn teardown(runs: &Path, args: &TeardownArgs) -> Result<ExitCode, CommandError> {
    let directory = RunDirectory::find(runs, &args.run).map_err(CommandError::usage)?;
    let (journal, state) = Journal::open(&directory.file(run_directory::JOURNAL)).map_err(journal_error)?;
    if state.closed {
        anstream::println!("run {} is taken down already, and nothing is left of it", directory.id);
        return Ok(ExitCode::Passed);
    }
    let Some((environment, topology)) = what_stood(&state)? else {
        // The first line was cut off: the run had not begun to make anything.
        journal.closed().map_err(CommandError::unexpected)?;
        anstream::println!("run {} had made nothing yet", directory.id);
        return Ok(ExitCode::Passed);
    };
    let sink = sink(&directory)?;
    let signals = Signals::listen(Some(sink.clone()))?;
    let outcome = teardown::take_down(&environment, &journal, &topology, &sink, &signals.interrupt)
        .await
        .map_err(CommandError::unexpected)?;
    if outcome.is_clean() {
        environment.shutdown().await;
    }
    let exit = match (outcome.is_clean(), signals.interrupt.is_cancelled()) {
        (true, _) => ExitCode::Passed,
        (false, true) => ExitCode::InterruptedNotClean,
        (false, false) => ExitCode::LeftOver,
    };
    sink.emit(Kind::RunFinished { exit_code: exit.code(), meaning: exit.to_string(), duration_ms: sink.elapsed_ms() });
    write_reports(&directory);
    Ok(exit)
}

/// The environment and the topology of a journal; `None` when not even its first line was written whole.
pub(super) fn what_stood(state: &JournalState) -> Result<Option<(Embedded, Topology)>, CommandError> {
    if state.run_id.is_empty() {
        return Ok(None);
    }
    let handle: Handle = serde_json::from_value(state.environment.clone())
        .map_err(|error| CommandError::usage(format!("the journal names an environment that is not known: {error}")))?;
    let topology = serde_json::from_value(state.topology.clone())
        .map_err(|error| CommandError::usage(format!("the journal's topology cannot be read: {error}")))?;
    Ok(Some((Embedded::connect(handle), topology)))
}

pub(super) fn journal_error(error: JournalError) -> CommandError {
    let hint = match error {
        JournalError::Locked { .. } => "\n  to mend it: wait until the other process has ended, or end it",
        JournalError::Corrupt { .. } => "\n  to mend it: the file was changed by something else; mend the line by hand",
        JournalError::Io { .. } => "",
    };
    CommandError::usage(format!("{error}{hint}"))
}
