//! `acrossk8s capture`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::CaptureArgs;
use super::{CommandError, host};
use crate::exit::ExitCode;
use crate::inside::capture::{CaptureError, Limits, Output, capture as write_packets};

/// Captures the packets of a host. What it says goes to standard error: standard output may be the packets.
pub fn capture(runs: &Path, args: &CaptureArgs) -> Result<ExitCode, CommandError> {
    let host = host::find(runs, &args.host)?;
    let output = match &args.output {
        Some(path) if path == Path::new("-") => Output::Stdout,
        Some(path) => Output::File(path.clone()),
        None => Output::File(named_after(&host.door.host)),
    };
    let limits =
        Limits { count: args.count, duration: args.duration.map(|seconds| Duration::from_secs(seconds.into())) };
    let ready = || anstream::eprintln!("capturing in {} to {output}; Ctrl-C ends it", host.door.host);
    let captured = write_packets(&host.door, &output, limits, ready).map_err(|error| match error {
        CaptureError::Enter(error) => host::not_entered(error),
        error @ CaptureError::Write { .. } => CommandError::usage(error),
        error @ CaptureError::Socket { .. } => CommandError::unexpected(error),
    })?;
    anstream::eprintln!("{}", captured.describe(&output));
    Ok(ExitCode::Passed)
}

/// `tidb-1-kube-system-coredns-6sgsmxjtdd-npz4c-20261124-152221.pcap`.
fn named_after(host: &str) -> PathBuf {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
    PathBuf::from(format!("{}-{now}.pcap", host.replace('/', "-")))
}
