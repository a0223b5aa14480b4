//! `acrossk8s exec`, and the process that it starts in a host.

use std::ffi::OsString;
use std::path::Path;

use super::args::{ExecArgs, InitArgs};
use super::{CommandError, host};
use crate::inside::{self, Door};

/// Runs a program in a host. Returns its exit code.
pub fn exec(runs: &Path, args: &ExecArgs) -> Result<u8, CommandError> {
    run(&host::find(runs, &args.host)?.door, &args.command)
}

pub(super) fn run(door: &Door, command: &[OsString]) -> Result<u8, CommandError> {
    inside::run(door, command).map_err(host::not_entered)
}

/// Is the first process in a host.
pub fn init(args: &InitArgs) -> Result<u8, CommandError> {
    let door: Door =
        serde_json::from_str(&args.door).map_err(|error| CommandError::usage(format!("--door is none: {error}")))?;
    inside::init(&door, &args.command).map_err(host::not_entered)
}
