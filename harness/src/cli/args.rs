//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::environment::network;

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
    /// Judge the manifests of TidbClusters that are to become one TiDB cluster, which the operator does not.
    Lint(LintArgs),
    /// Observe existing clusters and assert every invariant.
    Verify(VerifyArgs),
    /// Show the path of every probe of an observation, hop by hop, and what stops it.
    Diagnose(DiagnoseArgs),
    /// Make each deviation of the catalogue in a lab of its own and show what catches it.
    Faults(FaultsArgs),
    /// Step into a pod, a node or a load balancer of a kept run on the kernel's network, with a shell of this machine.
    #[cfg(target_os = "linux")]
    Shell(ShellArgs),
    /// Run a program of this machine in a pod, a node or a load balancer of a kept run on the kernel's network.
    #[cfg(target_os = "linux")]
    Exec(ExecArgs),
    /// Capture the packets of a pod, a node or a load balancer of a kept run on the kernel's network.
    #[cfg(target_os = "linux")]
    Capture(CaptureArgs),
    /// Be the first process in a host: what `shell` and `exec` start.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Init(InitArgs),
    /// Take down what a run made, from its journal alone.
    Teardown(TeardownArgs),
    /// List the runs and what is left of each.
    Runs,
    /// Tell what this machine allows, what is missing, and what to do about it.
    Doctor(DoctorArgs),
    /// Make the reports of a run again from its events.
    Report(ReportArgs),
    /// Serve an embedded lab (AWS endpoint and cluster provisioner) until interrupted.
    Lab(LabArgs),
    /// Try out the kernel's network and print what came of it, for the command that started this.
    #[command(name = network::SUBCOMMAND, hide = true)]
    TryNetwork(TryNetworkArgs),
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
    /// What carries the packets.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub network: network::Wish,
    /// Real programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
}

/// Real programs in the place of those in process. They need the kernel's network.
#[derive(Debug, Default, Args)]
pub struct ProgramArgs {
    /// Run the real coredns, nginx and curl, found on the PATH.
    #[arg(long)]
    pub real_binaries: bool,
    /// Run this CoreDNS.
    #[arg(long, value_name = "PATH")]
    pub coredns: Option<PathBuf>,
    /// Run this nginx.
    #[arg(long, value_name = "PATH")]
    pub nginx: Option<PathBuf>,
    /// Run this curl in pods.
    #[arg(long, value_name = "PATH")]
    pub curl: Option<PathBuf>,
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

/// `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// A cluster of the scenario and the file with its TidbCluster.
    #[arg(value_name = "CLUSTER=FILE", required = true)]
    pub manifests: Vec<String>,
}

/// `faults`.
#[derive(Debug, Args)]
pub struct FaultsArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Only these faults, by id, or two at once with + between their ids; all when none is named.
    #[arg(value_name = "FAULT")]
    pub faults: Vec<String>,
    /// List the catalogue and end.
    #[arg(long)]
    pub list: bool,
    /// What carries the packets. Not the kernel unless it is asked for: a hundred labs wait for it much longer than for
    /// the model.
    #[arg(long, value_enum, default_value_t = network::Wish::Model, value_name = "KIND")]
    pub network: network::Wish,
    /// How many labs at once; when left out, two for each core, and one on the kernel's network, whose packets would wait
    /// for each other longer than the probes do.
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

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `try-network`.
#[derive(Debug, Args)]
pub struct TryNetworkArgs {
    /// In a user namespace.
    #[arg(long)]
    pub in_user_namespace: bool,
}

/// A host of a kept run.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// `cluster/namespace/pod`, or its end where that is one only; a node or load balancer by name; or an address.
    #[arg(value_name = "POD")]
    pub host: String,
    /// The kept run; needed where there are several.
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Only hosts of this cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Only pods of this namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// Where.
    #[command(flatten)]
    pub host: HostArgs,
}

/// `exec`.
#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is the program's: 128 and the signal's number when a signal ended it, 127 when it is \
                        not found, 126 when it cannot be run."
)]
pub struct ExecArgs {
    /// Where.
    #[command(flatten)]
    pub host: HostArgs,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Where.
    #[command(flatten)]
    pub host: HostArgs,
    /// File to write, in pcap's format; `-` is standard output. When left out, a new one named after the host and the time.
    #[arg(long, short, value_name = "FILE.pcap")]
    pub output: Option<PathBuf>,
    /// End after so many packets.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, short, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..))]
    pub duration: Option<u32>,
}

/// What `shell` and `exec` start.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where, as JSON.
    #[arg(long)]
    pub door: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
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
    /// What carries the packets.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub network: network::Wish,
    /// Real programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
    /// Print the lab's handle as one line of JSON, for the command that started it.
    #[arg(long, hide = true)]
    pub handle: bool,
}
