//! The command line: one file for each subcommand, and errors mapped to exit codes.

mod args;
#[cfg(target_os = "linux")]
mod capture;
mod diagnose;
mod doctor;
#[cfg(target_os = "linux")]
mod exec;
mod faults;
#[cfg(target_os = "linux")]
mod host;
mod lab;
mod lint;
mod open_files;
mod plan;
mod report;
mod run;
mod runs;
#[cfg(target_os = "linux")]
mod shell;
mod signals;
mod teardown;
mod try_network;
mod verify;

use std::fmt;
use std::path::Path;

use clap::Parser as _;

use acrossk8s_mocks::network::NetworkKind;
pub use args::Cli;
use args::{Command, ProgramArgs, ScenarioArgs};

use crate::environment::network::{self, Wish};
use crate::environment::{EmbeddedOptions, RealPrograms, Wanted};
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

/// Runs the command that the arguments name. To be called while the process has one thread.
pub fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Passed };
            let _ = error.print();
            return code.into();
        }
    };
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("ACROSSK8S_LOG").unwrap_or_else(|_| "warn,nlink=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match cli.command {
        #[cfg(target_os = "linux")]
        Command::Shell(args) => inside(shell::shell(&cli.runs_dir, &args)),
        #[cfg(target_os = "linux")]
        Command::Exec(args) => inside(exec::exec(&cli.runs_dir, &args)),
        #[cfg(target_os = "linux")]
        Command::Init(args) => inside(exec::init(&args)),
        command => ended(dispatch(&cli.runs_dir, command)).into(),
    }
}

/// How a program in a host ended, or why it did not run.
#[cfg(target_os = "linux")]
fn inside(result: Result<u8, CommandError>) -> std::process::ExitCode {
    result.map_or_else(|error| ended(Err(error)).into(), std::process::ExitCode::from)
}

/// How a command ended, told when it is an error.
fn ended(result: Result<ExitCode, CommandError>) -> ExitCode {
    result.unwrap_or_else(|error| {
        anstream::eprintln!("error: {}", error.message);
        error.code
    })
}

fn dispatch(runs: &Path, command: Command) -> Result<ExitCode, CommandError> {
    match command {
        Command::Run(args) => {
            let lab = embedded(args.network, args.aws_port, &args.programs)?;
            with_threads(run::run(runs, &args, lab))
        }
        Command::Plan(args) => plan::plan(&args),
        Command::Lint(args) => lint::lint(&args),
        Command::Verify(args) => with_threads(verify::verify(runs, &args)),
        Command::Diagnose(args) => diagnose::diagnose(runs, &args),
        Command::Faults(args) if args.list => faults::list(&args),
        Command::Faults(args) => {
            let lab = embedded(args.network, 0, &ProgramArgs::default())?;
            with_threads(faults::faults(runs, &args, lab))
        }
        Command::Teardown(args) => with_threads(teardown::teardown(runs, &args)),
        Command::Runs => runs::runs(runs),
        Command::Doctor(args) => doctor::doctor(runs, &args),
        Command::Report(args) => report::report(&args),
        Command::Lab(args) => {
            let lab = embedded(args.network, args.aws_port, &args.programs)?;
            with_threads(lab::lab(&args, lab))
        }
        Command::TryNetwork(args) => try_network::try_network(&args),
        #[cfg(target_os = "linux")]
        Command::Capture(args) => capture::capture(runs, &args),
        #[cfg(target_os = "linux")]
        Command::Shell(_) | Command::Exec(_) | Command::Init(_) => {
            Err(CommandError::unexpected("a command that ends as the program in a host does was not taken as one"))
        }
    }
}

/// Does a command's work with as many threads as there are cores.
fn with_threads(work: impl Future<Output = Result<ExitCode, CommandError>>) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::unexpected(format!("no threads can be started: {error}")))?;
    let result = runtime.block_on(work);
    // What is left running holds nothing that matters: everything was flushed.
    runtime.shutdown_background();
    result
}

/// What a command's labs are started with. The process may be in a user namespace afterwards, and can be taken into one
/// only while it has one thread.
fn embedded(wish: Wish, aws_port: u16, programs: &ProgramArgs) -> Result<EmbeddedOptions, CommandError> {
    open_files::raise_limit();
    let network = network::choose(wish).map_err(CommandError::environment)?;
    let programs = real(programs, network.kind)?;
    Ok(EmbeddedOptions {
        aws_port,
        network: network.kind,
        network_because: network.because,
        programs,
        ..EmbeddedOptions::default()
    })
}

/// The real programs that were asked for, found and asked for their versions.
fn real(args: &ProgramArgs, network: NetworkKind) -> Result<RealPrograms, CommandError> {
    let wanted = Wanted {
        all: args.real_binaries,
        coredns: args.coredns.clone(),
        nginx: args.nginx.clone(),
        curl: args.curl.clone(),
    };
    let programs = RealPrograms::find(&wanted).map_err(CommandError::usage)?;
    if !programs.is_empty() && network != NetworkKind::Kernel {
        return Err(CommandError::usage(format!(
            "real programs cannot run on the network {network}: it has no namespaces to run them in\n  to mend it: add \
             --network kernel, or leave --real-binaries, --coredns, --nginx and --curl out"
        )));
    }
    if let Some(path) = programs.hidden() {
        return Err(CommandError::usage(format!(
            "{} cannot run in pods: they have folders of their own in its place\n  to mend it: copy it out of /tmp and /run",
            path.display()
        )));
    }
    Ok(programs)
}

/// The topology of the scenario that was named, or the documented one.
fn topology(args: &ScenarioArgs) -> Result<Topology, CommandError> {
    match &args.scenario {
        Some(path) => scenario::read(path),
        None => scenario::parse(Path::new("scenarios/three-clusters.toml"), scenario::DOCUMENTED),
    }
    .map_err(CommandError::usage)
}
