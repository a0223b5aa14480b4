//! An embedded lab in a process of its own: what `run --keep` leaves running and `acrossk8s lab` runs in the foreground.

use std::path::Path;
use std::process::Stdio;

use acrossk8s_mocks::lab::Lab;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::embedded::not_started;
use super::{EmbeddedOptions, EnvironmentError, Handle};

/// The argument that makes this program a lab process.
pub const SUBCOMMAND: &str = "lab";

/// A lab process.
pub struct LabProcess;

impl LabProcess {
    /// Starts this very program as a lab, detached from the terminal, and waits until it says where it listens.
    pub(super) async fn spawn(options: &EmbeddedOptions, log: &Path) -> Result<Handle, EnvironmentError> {
        let what = "the lab process could not be started";
        let program = std::env::current_exe().map_err(|error| EnvironmentError::new(what, error))?;
        let log_file = std::fs::File::create(log)
            .map_err(|error| EnvironmentError::new(what, format!("{}: {error}", log.display())))?;
        let mut child = tokio::process::Command::new(program)
            .args([SUBCOMMAND, "--handle", "--aws-port", &options.aws_port.to_string()])
            .args(["--network", &options.network.to_string()])
            .args(options.programs.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // A group of its own: Ctrl-C in the terminal is for the command, not for the kept lab.
            .process_group(0)
            .spawn()
            .map_err(|error| EnvironmentError::new(what, error))?;
        let stdout = child.stdout.take().ok_or_else(|| EnvironmentError::new(what, "it has no standard output"))?;
        let line = BufReader::new(stdout)
            .lines()
            .next_line()
            .await
            .map_err(|error| EnvironmentError::new(what, error))?
            .ok_or_else(|| EnvironmentError::new(what, format!("it ended at once; see {}", log.display())))?;
        serde_json::from_str(&line).map_err(|error| EnvironmentError::new(what, error))
    }

    /// Runs a lab until it is told to end or `stop` completes. Calls `ready` with its handle.
    ///
    /// # Errors
    /// When the lab cannot be started.
    pub async fn serve(
        options: &EmbeddedOptions,
        ready: impl FnOnce(&Handle),
        stop: impl Future<Output = ()>,
    ) -> Result<(), EnvironmentError> {
        let lab = Lab::start(options.config()).await.map_err(not_started)?;
        ready(&Handle::of(&lab, true, options.programs.versions()));
        tokio::select! {
            () = lab.ended() => {}
            () = stop => {}
        }
        lab.shutdown().await;
        Ok(())
    }
}
