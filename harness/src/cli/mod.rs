//! The command line: one file for each subcommand, and errors mapped to exit codes.

mod args;
mod diagnose;
mod faults;
mod lab;
mod plan;
mod report;
mod run;
mod runs;
mod signals;
mod teardown;
mod verify;

use std::fmt;
use std::path::Path;

use clap::Parser as _;

pub use args::Cli;
use args::{Command, ScenarioArgs};

use crate::exit::ExitCode;
use crate::scenario;
use crate::topology::Topology;

/// Why a command could not do its work: one message for the person, and the exit code.
#[derive(Debug)]
pub struct CommandError {
    code: ExitCode,
    message: String,
}

impl CommandError {
    fn usage(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Usage, message: message.to_string() }
    }

    fn environment(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::NotProvisioned, message: message.to_string() }
    }

    fn unexpected(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Unexpected, message: message.to_string() }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Passed };
            let _ = error.print();
            return code;
        }
    };
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("ACROSSK8S_LOG").unwrap_or_else(|_| "warn,nlink=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: no threads can be started: {error}");
            return ExitCode::Unexpected;
        }
    };
    let code = runtime.block_on(dispatch(cli)).unwrap_or_else(|error| {
        anstream::eprintln!("error: {}", error.message);
        error.code
    });
    // What is left running holds nothing that matters: everything was flushed.
    runtime.shutdown_background();
    code
}

async fn dispatch(cli: Cli) -> Result<ExitCode, CommandError> {
    let runs = &cli.runs_dir;
    match cli.command {
        Command::Run(args) => run::run(runs, &args).await,
        Command::Plan(args) => plan::plan(&args),
        Command::Verify(args) => verify::verify(runs, &args).await,
        Command::Diagnose(args) => diagnose::diagnose(runs, &args),
        Command::Faults(args) => faults::faults(runs, &args).await,
        Command::Teardown(args) => teardown::teardown(runs, &args).await,
        Command::Runs => runs::runs(runs),
        Command::Report(args) => report::report(&args),
        Command::Lab(args) => lab::lab(&args).await,
    }
}

/// The topology of the scenario that was named, or the documented one.
fn topology(args: &ScenarioArgs) -> Result<Topology, CommandError> {
    match &args.scenario {
        Some(path) => scenario::read(path),
        None => scenario::parse(Path::new("scenarios/three-clusters.toml"), scenario::DOCUMENTED),
    }
    .map_err(CommandError::usage)
}
