//! `acrossk8s faults`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use owo_colors::OwoColorize as _;

use super::args::FaultsArgs;
use super::signals::Signals;
use super::{CommandError, topology};
use crate::environment::{Embedded, EmbeddedOptions, Environment};
use crate::events::{EventSink, Recorder};
use crate::exit::ExitCode;
use crate::faults::{CATALOGUE, Fault, Judgement, find, judge};
use crate::run::{self, Options};
use crate::run_directory::{self, RunDirectory};
use crate::topology::Topology;

/// Makes each deviation in a lab of its own and shows what catches it.
pub async fn faults(runs: &Path, args: &FaultsArgs) -> Result<ExitCode, CommandError> {
    if args.list {
        for fault in CATALOGUE {
            anstream::println!(
                "{:28} {}\n{:28} caught by {}",
                fault.id.bold(),
                fault.title,
                "",
                fault.caught_by.join(", ")
            );
        }
        return Ok(ExitCode::Passed);
    }
    let topology = topology(&args.scenario)?;
    let chosen = chosen(&args.faults)?;
    let signals = Signals::listen(None)?;
    let began = std::time::Instant::now();
    let mut results = stream::iter(chosen.into_iter().map(|fault| one(runs, &topology, fault, &signals)))
        .buffered(usize::from(args.parallel));
    let (mut missed, mut total) = (0, 0);
    while let Some(result) = results.next().await {
        let (fault, directory, judgement) = result?;
        total += 1;
        let caught = judgement.is_exact();
        missed += usize::from(!caught);
        show(fault, &directory, &judgement, caught);
        if signals.interrupt.is_cancelled() {
            anstream::println!("interrupted; every lab was taken down");
            return Ok(ExitCode::Interrupted);
        }
    }
    anstream::println!(
        "{} of {total} faults are caught by exactly the invariants that name them, in {:.1} s",
        total - missed,
        began.elapsed().as_secs_f64()
    );
    Ok(if missed == 0 { ExitCode::Passed } else { ExitCode::Failed })
}

fn chosen(ids: &[String]) -> Result<Vec<&'static Fault>, CommandError> {
    if ids.is_empty() {
        return Ok(CATALOGUE.iter().collect());
    }
    let unknown = |id: &String| {
        CommandError::usage(format!(
            "there is no fault {id}\n  to mend it: `acrossk8s faults --list` lists those that there are"
        ))
    };
    ids.iter().map(|id| find(id).ok_or_else(|| unknown(id))).collect()
}

async fn one(
    runs: &Path,
    topology: &Topology,
    fault: &'static Fault,
    signals: &Signals,
) -> Result<(&'static Fault, RunDirectory, Judgement), CommandError> {
    let directory = RunDirectory::create(runs).map_err(CommandError::usage)?;
    let recorder = Recorder::append(&directory.file(run_directory::EVENTS)).map_err(CommandError::usage)?;
    let environment: Arc<dyn Environment> =
        Arc::new(Embedded::start(&EmbeddedOptions::default()).await.map_err(CommandError::environment)?);
    let mut wanted = topology.clone();
    (fault.topology)(&mut wanted);
    let outcome = run::run(Options {
        topology: wanted,
        environment,
        directory: directory.clone(),
        sink: EventSink::new(&directory.id, vec![Box::new(recorder)]),
        fault: Some(fault),
        keep: false,
        interrupt: signals.interrupt.clone(),
        abort: signals.abort.clone(),
    })
    .await
    .map_err(CommandError::unexpected)?;
    Ok((fault, directory, judge(fault, &outcome)))
}

fn show(fault: &Fault, directory: &RunDirectory, judgement: &Judgement, caught: bool) {
    let list = |ids: &BTreeSet<String>| ids.iter().cloned().collect::<Vec<_>>().join(", ");
    let mark = if caught { "✓ caught".green().to_string() } else { "✗ NOT AS IT SHOULD BE".red().to_string() };
    anstream::println!("{mark} {}: {}", fault.id.bold(), fault.title);
    anstream::println!("    failed:  {}", list(&judgement.failed));
    if !judgement.blocked.is_empty() {
        anstream::println!("    blocked: {}", list(&judgement.blocked));
    }
    if !judgement.missed.is_empty() {
        anstream::println!("    {}: {}", "should have failed".red(), list(&judgement.missed));
    }
    if !judgement.surplus.is_empty() {
        anstream::println!("    {}: {}", "should not have failed".red(), list(&judgement.surplus));
    }
    if !judgement.left.is_empty() {
        anstream::println!("    {}: {}", "left behind".red(), judgement.left.join(", "));
    }
    if !caught {
        anstream::println!("    see {}", directory.path.display());
    }
}
