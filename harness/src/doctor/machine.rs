//! What is looked up about a machine.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};

use crate::environment::network::Access;

/// What was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Number of the user.
    pub user: u32,
    /// What came of trying the kernel's network.
    pub access: Access,
    /// How many files a process may hold open: the hard limit, since a run raises its own to that.
    pub open_files: Result<u64, String>,
    /// Whether a port of the loopback address can be listened on.
    pub loopback: Result<(), String>,
    /// The directory that holds the runs.
    pub runs_directory: PathBuf,
    /// Whether a run's directory can be made in there.
    pub runs_writable: Result<(), String>,
    /// Real programs that stand for what the pods run.
    pub programs: Vec<Program>,
}

/// A real program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The first line that it says about its version; `None` when it is not on the PATH.
    pub version: Option<String>,
}

/// The programs, each with the argument that makes it tell its version.
const PROGRAMS: &[(&str, &str)] = &[("coredns", "-version"), ("nginx", "-v"), ("curl", "--version")];

impl Machine {
    /// Looks at this machine, with this directory for runs. Nothing that it makes stays.
    pub fn look(runs: &Path) -> Self {
        Self {
            user: nix::unistd::geteuid().as_raw(),
            access: Access::find_out_all(),
            open_files: getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard).map_err(|error| error.to_string()),
            loopback: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop).map_err(|error| error.to_string()),
            runs_directory: runs.to_owned(),
            runs_writable: writable(runs).map_err(|error| error.to_string()),
            programs: PROGRAMS
                .iter()
                .map(|(name, argument)| Program { name, version: version(name, argument) })
                .collect(),
        }
    }
}

/// Whether a directory can be made in another one, or in what is there of its parents.
fn writable(directory: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(directory)?;
    let there = absolute.ancestors().find(|it| it.exists()).unwrap_or(&absolute);
    tempfile::tempdir_in(there)?.close()
}

/// What a program says about its version, wherever it says it.
fn version(name: &str, argument: &str) -> Option<String> {
    let output = Command::new(name).arg(argument).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Some(said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not tell its version").to_owned())
}
