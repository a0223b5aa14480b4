//! What tests of the command share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn command(runs: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("acrossk8s"));
    command.arg("--runs-dir").arg(runs).args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    // Unless a test says otherwise: what it is about is not the network, and the model is there everywhere.
    if args.first() == Some(&"run") && !args.contains(&"--network") {
        command.args(["--network", "model"]);
    }
    command
}

pub fn run(runs: &Path, args: &[&str]) -> Output {
    command(runs, args).output().unwrap()
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn two_clusters() -> String {
    repository().join("scenarios/two-clusters.toml").display().to_string()
}

/// The only run in a directory.
pub fn only_run(runs: &Path) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir(runs).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The process of a lab, from the run's journal.
pub fn lab_process(run: &Path) -> Option<u32> {
    let journal = fs::read_to_string(run.join("journal.ndjson")).unwrap_or_default();
    let opened: serde_json::Value = serde_json::from_str(journal.lines().next().unwrap_or("null")).unwrap_or_default();
    opened["environment"]["pid"].as_u64()?.try_into().ok()
}

/// Whether the process of a kept lab has ended: it is nobody's child any more, so its end is seen in /proc.
pub fn lab_has_ended(run: &Path) -> bool {
    let Some(pid) = lab_process(run) else { return true };
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        if status.map_or(true, |it| it.contains("State:\tZ")) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}
