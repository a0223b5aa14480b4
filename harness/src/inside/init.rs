//! The first process of the PID namespace: it enters the host, starts the program, buries what ends, and ends with the
//! program or with the lab.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::door::OrRefused as _;
use super::enter::{pass_on, pid, waited_for};
use super::{Door, EnterError, mounts};

/// Exit codes of a shell.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// 128 and SIGKILL, which is what the program gets when the lab ends.
const KILLED: u8 = 128 + 9;

/// Enters the host and runs a program there to its end.
///
/// # Errors
/// [`EnterError`], before anything runs.
pub fn init(door: &Door, command: &[OsString]) -> Result<u8, EnterError> {
    let [program, arguments @ ..] = command else { return Ok(0) };
    // Who is killed cannot pass on that the person's command is gone.
    set_pdeathsig(Signal::SIGKILL).or_refused("the end of the command cannot be followed")?;
    let mut signals = waited_for()?;
    let lab = door.until_the_end()?;
    door.join_network()?;
    mounts::make_own(door.files.as_ref())?;
    let child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => pid(child.id()),
        Err(source) => {
            let code = if source.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
            let program = program.to_string_lossy().into_owned();
            anstream::eprintln!("error: {}", EnterError::Program { program, source });
            return Ok(code);
        }
    };
    let host = door.host.clone();
    std::thread::Builder::new()
        .name("lab".into())
        .spawn(move || end_with(lab, &host))
        .or_refused("the end of the lab cannot be followed")?;
    let failed = "what runs in the host cannot be waited for";
    loop {
        if let Some(code) = bury(child).or_refused(failed)? {
            return Ok(code);
        }
        pass_on(&mut signals, child);
    }
}

/// Ends this process when the lab has ended, and the kernel ends every other one here with it.
fn end_with(mut lab: TcpStream, host: &str) {
    // Nothing is ever sent: whatever comes of it is the end.
    let _ = lab.read(&mut [0]);
    anstream::eprintln!("\nthe lab has ended, and what ran in {host} with it");
    std::process::exit(KILLED.into());
}

/// Takes note of all that has ended. Returns the exit code of the program when it is among them.
fn bury(program: Pid) -> Result<Option<u8>, Errno> {
    let mut code = None;
    loop {
        let ended = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, status),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
            Ok(_) => continue,
            Err(error) => return Err(error),
        };
        if ended.0 == program {
            code = Some(u8::try_from(ended.1).unwrap_or(u8::MAX));
        }
    }
}
