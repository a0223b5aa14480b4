//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Tests PingCAP's procedure "Build Multiple Interconnected AWS EKS Clusters": provisions it, applies every documented
/// step, asserts every invariant, and takes everything down again.
#[derive(Debug, Parser)]
#[command(name = "acrossk8s", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Directory that holds one directory for each run.
    #[arg(long, global = true, env = "ACROSSK8S_RUNS_DIR", value_name = "DIR", default_value = ".acrossk8s/runs")]
    pub runs_dir: PathBuf,
}

const EXIT_CODES: &str = "Exit codes:
  0   passed
  1   unexpected
  2   usage or configuration
  10  an invariant failed
  20  the environment could not be provisioned
  30  teardown left something
  40  interrupted, everything taken down
  41  interrupted, something left
  50  the document drifted";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Provision, apply every step, assert every invariant, tear down, report.
    Run(RunArgs),
    /// Print the graph of tasks with the document's commands and the API calls, without making any.
    Plan(PlanArgs),
    /// Observe existing clusters and assert every invariant.
    Verify(VerifyArgs),
    /// Show the path of every probe of an observation, hop by hop, and what stops it.
    Diagnose(DiagnoseArgs),
    /// Make each deviation of the catalogue in a lab of its own and show what catches it.
    Faults(FaultsArgs),
    /// Take down what a run made, from its journal alone.
    Teardown(TeardownArgs),
    /// List the runs and what is left of each.
    Runs,
    /// Make the reports of a run again from its events.
    Report(ReportArgs),
    /// Serve an embedded lab (AWS endpoint and cluster provisioner) until interrupted.
    Lab(LabArgs),
}

/// The scenario.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// Scenario file; the documented three clusters when none is named.
    #[arg(long, short, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Leave everything in place; an embedded lab goes on in a process of its own.
    #[arg(long)]
    pub keep: bool,
    /// Port of the emulated AWS endpoint; 0 picks a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub aws_port: u16,
    /// What carries the packets: the in-process `model`, or the Linux `kernel` (as root).
    #[arg(long, default_value_t, value_name = "KIND")]
    pub network: acrossk8s_mocks::network::NetworkKind,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The kept run whose clusters to look at.
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Judge a saved observation (JSON) instead of live clusters.
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub observation: Option<PathBuf>,
    /// The scenario that a saved observation is of.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// The run whose observation to look at.
    #[arg(long, value_name = "ID", required_unless_present = "observation")]
    pub run: Option<String>,
    /// A saved observation (JSON).
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub observation: Option<PathBuf>,
    /// The scenario that a saved observation is of.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Only probes from this cluster, by name.
    #[arg(long, value_name = "CLUSTER")]
    pub from: Option<String>,
    /// Only probes to this cluster, by name.
    #[arg(long, value_name = "CLUSTER")]
    pub to: Option<String>,
}

/// `faults`.
#[derive(Debug, Args)]
pub struct FaultsArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Only these faults, by id; all when none is named.
    #[arg(value_name = "FAULT")]
    pub faults: Vec<String>,
    /// List the catalogue and end.
    #[arg(long)]
    pub list: bool,
    /// How many labs at once; two for each core when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub parallel: Option<u8>,
    /// How many combinations of two faults; 6 when left out, and none where faults are named.
    #[arg(long, value_name = "N")]
    pub combinations: Option<usize>,
    /// What the combinations are drawn with; random when left out, and printed.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Also write the matrix to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `teardown`.
#[derive(Debug, Args)]
pub struct TeardownArgs {
    /// The run to take down.
    #[arg(long, value_name = "ID")]
    pub run: String,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A recorded stream of events.
    #[arg(long, value_name = "EVENTS.NDJSON")]
    pub from: PathBuf,
    /// Directory to write report.json and junit.xml to; next to the events when left out.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// `lab`.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// Port of the AWS endpoint; 0 picks a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub aws_port: u16,
    /// What carries the packets: the in-process `model`, or the Linux `kernel` (as root).
    #[arg(long, default_value_t, value_name = "KIND")]
    pub network: acrossk8s_mocks::network::NetworkKind,
    /// Print the lab's handle as one line of JSON, for the command that started it.
    #[arg(long, hide = true)]
    pub handle: bool,
}
