//! `acrossk8s run`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use acrossk8s_mocks::network::NetworkKind;

use super::args::RunArgs;
use super::signals::Signals;
use super::{CommandError, topology};
use crate::environment::{Embedded, EmbeddedOptions, Environment};
use crate::events::{EventSink, Recorder, Subscriber, read};
use crate::exit::ExitCode;
use crate::report::{self, Live, Plain};
use crate::run::{self, Options};
use crate::run_directory::{self, RunDirectory};

/// Runs the procedure in a lab that is started with these options.
pub async fn run(runs: &Path, args: &RunArgs, lab: EmbeddedOptions) -> Result<ExitCode, CommandError> {
    let topology = topology(&args.scenario)?;
    let directory = RunDirectory::create(runs).map_err(CommandError::usage)?;
    let sink = sink(&directory)?;
    let signals = Signals::listen(Some(sink.clone()))?;
    let started = if args.keep {
        Embedded::start_kept(&lab, &directory.file(run_directory::LAB_LOG)).await
    } else {
        Embedded::start(&lab).await
    };
    let environment: Arc<dyn Environment> = match started {
        Ok(environment) => Arc::new(environment),
        Err(error) => {
            // Nothing was made: a directory without a journal would only be in the way.
            let _ = std::fs::remove_dir_all(&directory.path);
            return Err(CommandError::environment(error));
        }
    };
    let outcome = run::run(Options {
        topology,
        environment,
        directory: directory.clone(),
        sink,
        fault: None,
        keep: args.keep,
        interrupt: signals.interrupt,
        abort: signals.abort,
    })
    .await
    .map_err(CommandError::unexpected)?;
    write_reports(&directory);
    if args.keep && outcome.left.is_empty() && outcome.exit != ExitCode::Interrupted {
        anstream::println!("kept; kubeconfig: {}", directory.file(run_directory::KUBECONFIG).display());
        anstream::println!("look again with:  acrossk8s verify --run {}", directory.id);
        if lab.network == NetworkKind::Kernel {
            anstream::println!("step into a pod:  acrossk8s shell POD --run {}", directory.id);
        }
        anstream::println!("take it down:     acrossk8s teardown --run {}", directory.id);
    } else if !outcome.left.is_empty() {
        anstream::println!("take down what is left: acrossk8s teardown --run {}", directory.id);
    }
    Ok(outcome.exit)
}

/// The subscribers of a command that a person watches: the terminal and the record.
pub(super) fn sink(directory: &RunDirectory) -> Result<EventSink, CommandError> {
    let recorder = Recorder::append(&directory.file(run_directory::EVENTS)).map_err(CommandError::usage)?;
    let shown: Box<dyn Subscriber> =
        if std::io::stdout().is_terminal() { Box::new(Live::new()) } else { Box::new(Plain::default()) };
    Ok(EventSink::new(&directory.id, vec![Box::new(recorder), shown]))
}

/// Makes the reports of a directory from its recorded events. That they cannot be written is told and changes nothing
/// about how the run ended.
pub(super) fn write_reports(directory: &RunDirectory) {
    let events = directory.file(run_directory::EVENTS);
    let written = read(&events).map_err(|error| error.to_string()).and_then(|it| report::write(&it, &directory.path));
    match written {
        Ok(()) => {
            anstream::println!("events.ndjson, report.json, junit.xml, observation.json: {}", directory.path.display())
        }
        Err(why) => anstream::eprintln!("warning: the reports are not written: {why}"),
    }
}
