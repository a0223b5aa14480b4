//! The command that a person started: it makes the PID namespace, waits for what runs in it, and passes signals on.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::door::OrRefused as _;
use super::{Door, EnterError};

/// The argument that makes this program the first process of a PID namespace.
pub const SUBCOMMAND: &str = "init";

/// Runs a program in a host and returns its exit code: as in a shell, 128 and the signal when one killed it, 127 when it
/// is not found, 126 when it cannot be run. To be called while the process has one thread.
///
/// # Errors
/// [`EnterError`], before anything runs.
pub fn run(door: &Door, command: &[OsString]) -> Result<u8, EnterError> {
    door.join_user_namespace()?;
    unshare(CloneFlags::CLONE_NEWPID).or_refused("no PID namespace can be made")?;
    let mut signals = waited_for()?;
    let program = std::env::current_exe().or_refused("this program does not find itself")?;
    let described = serde_json::to_string(door).or_refused("the host cannot be described")?;
    let mut init = Command::new(&program)
        .args([SUBCOMMAND, "--door", &described, "--"])
        .args(command)
        .spawn()
        .map_err(|source| EnterError::Program { program: program.display().to_string(), source })?;
    let failed = "what runs in the host cannot be waited for";
    loop {
        if let Some(status) = init.try_wait().or_refused(failed)? {
            return Ok(code(status));
        }
        pass_on(&mut signals, pid(init.id()));
    }
}

/// Takes note of signals instead of suffering them, from now on. A program that is started starts without that.
pub(super) fn waited_for() -> Result<Signals, EnterError> {
    Signals::new([SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT]).or_refused("signals cannot be waited for")
}

/// Waits for signals and passes a request to end on to a child. What the terminal sends, the child has got by itself.
pub(super) fn pass_on(signals: &mut Signals, child: Pid) {
    for signal in signals.wait() {
        if let (SIGTERM | SIGHUP, Ok(signal)) = (signal, Signal::try_from(signal)) {
            // That it has ended by itself is no error.
            let _ = kill(child, signal);
        }
    }
}

pub(super) fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

/// The exit code that a shell shows.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
