//! `acrossk8s shell`.

use std::path::Path;

use super::CommandError;
use super::args::ShellArgs;
use super::exec::run;
use super::host;

/// The shell where none is set.
const SHELL: &str = "/bin/sh";

/// Steps into a host with the person's shell. Returns its exit code.
pub fn shell(runs: &Path, args: &ShellArgs) -> Result<u8, CommandError> {
    let host = host::find(runs, &args.host)?;
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into());
    let door = &host.door;
    anstream::eprintln!("in {} ({}, {}); `exit` leaves it", door.host, host.address, host.vpc);
    run(door, &[shell])
}
