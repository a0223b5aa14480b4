//! `acrossk8s diagnose`.

use std::path::{Path, PathBuf};

use owo_colors::OwoColorize as _;

use super::args::DiagnoseArgs;
use super::verify::read_observation;
use super::{CommandError, topology};
use crate::diagnosis::{Conclusion, diagnose_all, told};
use crate::exit::ExitCode;
use crate::report::diagnosis_lines;
use crate::run_directory::{self, RunDirectory};
use crate::topology::{ClusterIndex, Topology};
use crate::{journal, observation};

/// Shows the path of every probe of a saved observation.
pub fn diagnose(runs: &Path, args: &DiagnoseArgs) -> Result<ExitCode, CommandError> {
    let (topology, path) = source(runs, args)?;
    let cluster = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => topology.index_of(name).map(Some).ok_or_else(|| {
            let names: Vec<_> = topology.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            CommandError::usage(format!("there is no cluster {name}\n  to mend it: name one of {}", names.join(", ")))
        }),
    };
    let (from, to) = (cluster(&args.from)?, cluster(&args.to)?);
    let observation: observation::Observation = read_observation(&topology, &path)?;
    let is = |wanted: Option<ClusterIndex>, index| wanted.is_none_or(|wanted| wanted == index);
    let (mut shown, mut stopped) = (0, 0);
    for diagnosis in diagnose_all(&topology, &observation) {
        if !is(from, diagnosis.from) || !is(to, diagnosis.to) {
            continue;
        }
        shown += 1;
        stopped += usize::from(diagnosis.conclusion != Conclusion::Clear);
        let told = told(&topology, &diagnosis);
        anstream::println!("{}", told.subject.bold());
        for line in diagnosis_lines(&told) {
            anstream::println!("  {line}");
        }
    }
    if shown == 0 {
        return Err(CommandError::usage("the observation has no such probe"));
    }
    Ok(if stopped == 0 { ExitCode::Passed } else { ExitCode::Failed })
}

/// The topology, and where the observation of it is saved.
fn source(runs: &Path, args: &DiagnoseArgs) -> Result<(Topology, PathBuf), CommandError> {
    let Some(id) = &args.run else {
        return Ok((topology(&args.scenario)?, args.observation.clone().unwrap_or_default()));
    };
    let directory = RunDirectory::find(runs, id).map_err(CommandError::usage)?;
    let state = journal::read(&directory.file(run_directory::JOURNAL)).map_err(super::teardown::journal_error)?;
    let topology = serde_json::from_value(state.topology)
        .map_err(|error| CommandError::usage(format!("the journal's topology cannot be read: {error}")))?;
    Ok((topology, directory.file(run_directory::OBSERVATION)))
}
