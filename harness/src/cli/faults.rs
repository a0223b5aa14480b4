//! `acrossk8s faults`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use acrossk8s_mocks::network::NetworkKind;
use futures::StreamExt as _;
use futures::stream;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::args::FaultsArgs;
use super::signals::Signals;
use super::{CommandError, topology};
use crate::environment::{Embedded, EmbeddedOptions, Environment};
use crate::events::{EventSink, Recorder};
use crate::exit::ExitCode;
use crate::faults::{Fault, REPORTED, Row, Shown, among, catalogue, draw, head, judge, legend, unguarded};
use crate::run::{self, Options};
use crate::run_directory::{self, RunDirectory};
use crate::topology::Topology;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    version: u32,
    scenario: String,
    /// What the combinations were drawn with.
    seed: u64,
    seconds: f64,
    faults: Vec<Row>,
    /// Clauses that the document demands, an invariant checks, and no fault of the catalogue guards.
    unguarded: Vec<String>,
}

/// Lists the catalogue.
pub fn list(args: &FaultsArgs) -> Result<ExitCode, CommandError> {
    for fault in catalogue(&topology(&args.scenario)?) {
        let mut shown: Vec<&str> = fault.caught_by.iter().copied().collect();
        shown.extend(fault.stops.iter().map(String::as_str));
        shown.extend(fault.leaves.iter().map(|_| "teardown"));
        let by = match fault.luck {
            Some(why) => format!("a matter of luck: {why}"),
            None => format!("caught by {}", shown.join(", ")),
        };
        anstream::println!("{}\n    {}\n    {by}\n    diagnosed: {}", fault.id.bold(), fault.title, fault.diagnosed);
        for it in REPORTED.iter().filter(|it| matches!(it.shown, Shown::By(ids) if ids.contains(&fault.id.as_str()))) {
            anstream::println!("    reported: {} ({})", it.symptom, it.source);
        }
    }
    Ok(ExitCode::Passed)
}

/// Makes each deviation in a lab of its own and shows what catches it. The labs have the network of these options.
pub async fn faults(runs: &Path, args: &FaultsArgs, lab: EmbeddedOptions) -> Result<ExitCode, CommandError> {
    let topology = topology(&args.scenario)?;
    let all = catalogue(&topology);
    let seed = args.seed.unwrap_or_else(rand::random);
    let chosen = chosen(&all, args, seed)?;
    let signals = Signals::listen(None)?;
    let began = Instant::now();
    if let Some(because) = &lab.network_because {
        anstream::println!("network: {because}");
    }
    anstream::println!("{}", head());
    // Labs wait for a good part of their time: two for each core keep the cores busy.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let fitting = if lab.network == NetworkKind::Kernel { 1 } else { 2 * cores };
    let parallel = args.parallel.map_or(fitting, usize::from);
    // Tasks of their own, so that labs use all cores.
    let labs = chosen.into_iter().enumerate().map(async |(index, fault)| {
        let options =
            EmbeddedOptions { network: lab.network, network_because: lab.network_because.clone(), ..fault.lab.clone() };
        let row = tokio::spawn(one(runs.to_owned(), topology.clone(), fault, options, signals.clone()));
        (index, row.await.map_err(CommandError::unexpected).flatten())
    });
    // Not `buffered`: a slow lab would keep those behind it from starting. Rows are shown in order all the same.
    let mut results = stream::iter(labs).buffer_unordered(parallel);
    let mut ahead = BTreeMap::new();
    let mut rows = Vec::new();
    while let Some((index, row)) = results.next().await {
        ahead.insert(index, row?);
        if signals.interrupt.is_cancelled() {
            anstream::println!("interrupted; every lab was taken down");
            return Ok(ExitCode::Interrupted);
        }
        while let Some(row) = ahead.remove(&rows.len()) {
            anstream::println!("{}", row.show());
            rows.push(row);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    anstream::println!("\n{}\n", legend());
    let unguarded: Vec<_> =
        unguarded(&all).iter().map(|clause| format!("{}: {}", clause.id, clause.statement)).collect();
    for clause in &unguarded {
        anstream::println!("{} {clause}", "guarded by no fault:".red());
    }
    let exact = rows.iter().filter(|row| row.exact).count();
    anstream::println!(
        "{exact} of {} faults are caught by exactly what names them, in {seconds:.1} s; seed {seed}",
        rows.len(),
    );
    let passed = exact == rows.len() && unguarded.is_empty();
    if let Some(path) = &args.json {
        let report = Report { version: 1, scenario: topology.name.clone(), seed, seconds, faults: rows, unguarded };
        write(path, &report)?;
    }
    Ok(if passed { ExitCode::Passed } else { ExitCode::Failed })
}

/// The faults that were named, or all and some combinations.
fn chosen(all: &[Fault], args: &FaultsArgs, seed: u64) -> Result<Vec<Fault>, CommandError> {
    let find = |id: &String| {
        among(all, id).ok_or_else(|| {
            CommandError::usage(format!(
                "there is no fault {id}\n  to mend it: `acrossk8s faults --list` lists those that there are; two that do not \
                 meddle with the same task are combined with + between them"
            ))
        })
    };
    let mut chosen = if args.faults.is_empty() {
        all.to_vec()
    } else {
        args.faults.iter().map(find).collect::<Result<Vec<_>, _>>()?
    };
    let combinations = args.combinations.unwrap_or(if args.faults.is_empty() { 6 } else { 0 });
    chosen.extend(draw(all, seed, combinations));
    Ok(chosen)
}

async fn one(
    runs: PathBuf,
    topology: Topology,
    fault: Fault,
    lab: EmbeddedOptions,
    signals: Signals,
) -> Result<Row, CommandError> {
    let directory = RunDirectory::create(&runs).map_err(CommandError::usage)?;
    let recorder = Recorder::append(&directory.file(run_directory::EVENTS)).map_err(CommandError::usage)?;
    let environment: Arc<dyn Environment> = Arc::new(Embedded::start(&lab).await.map_err(CommandError::environment)?);
    let mut wanted = topology;
    fault.change_topology(&mut wanted);
    let names = wanted.clone();
    let outcome = run::run(Options {
        topology: wanted,
        environment,
        directory: directory.clone(),
        sink: EventSink::new(&directory.id, vec![Box::new(recorder)]),
        fault: Some(fault.clone()),
        keep: false,
        interrupt: signals.interrupt,
        abort: signals.abort,
    })
    .await
    .map_err(CommandError::unexpected)?;
    let judgement = judge(&fault, &names, &outcome);
    // Only what is not as it should be is worth a look.
    let kept = !judgement.is_exact() || std::fs::remove_dir_all(&directory.path).is_err();
    Ok(Row::new(&fault, judgement, kept.then(|| directory.path.display().to_string())))
}

fn write(path: &Path, report: &Report) -> Result<(), CommandError> {
    let failed =
        |error: &dyn std::fmt::Display| CommandError::usage(format!("{} cannot be written: {error}", path.display()));
    let json = serde_json::to_vec_pretty(report).map_err(|error| failed(&error))?;
    std::fs::write(path, json).map_err(|error| failed(&error))
}
