//! The network that the command chooses by itself, as a user without rights: the kernel's, in a user namespace, and the
//! in-process model where that is forbidden.
//!
//! Who runs these tests as root needs `setpriv` to be somebody else. Where that user may have no user namespace, or there
//! is no `unshare` to forbid it with, a test says so and ends, except where `ACROSSK8S_KERNEL_TESTS` is set, as in CI.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;

/// nobody
const USER: u32 = 65534;

/// A directory that belongs to a user without rights, with a program that the user can read.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The one that was built may lie where only its owner may look.
        fs::copy(assert_cmd::cargo::cargo_bin!("acrossk8s"), directory.path().join("acrossk8s")).unwrap();
        fs::create_dir(directory.path().join("runs")).unwrap();
        if is_root() {
            std::os::unix::fs::chown(directory.path(), Some(USER), Some(USER)).unwrap();
            std::os::unix::fs::chown(directory.path().join("runs"), Some(USER), Some(USER)).unwrap();
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// The command, as a user without rights, started by others.
    fn command(&self, by: &[&str], args: &[&str]) -> Command {
        let program = self.directory.path().join("acrossk8s").display().to_string();
        let mut command = unprivileged(&[by, &[&program]].concat());
        command.args(args).arg("--runs-dir").arg(self.runs()).current_dir(self.directory.path());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    fn only_run(&self) -> PathBuf {
        let mut found: Vec<_> = fs::read_dir(self.runs()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn report(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.only_run().join("report.json")).unwrap()).unwrap()
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn unprivileged(command: &[&str]) -> Command {
    let user = USER.to_string();
    let as_user = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
    let words = if is_root() { [&as_user[..], command].concat() } else { command.to_vec() };
    let mut made = Command::new(words[0]);
    made.args(&words[1..]);
    made
}

/// Makes the rest of the command line a process that has no rights and may make no user namespace.
const FORBIDDEN: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- \"$@\"",
    "sh",
];

/// Whether a user without rights may make user namespaces here.
fn is_allowed() -> bool {
    let tried = unprivileged(&["unshare", "--user", "--map-root-user", "--net", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("setpriv and unshare: {error}"),
    };
    assert!(std::env::var_os("ACROSSK8S_KERNEL_TESTS").is_none(), "no user namespace: {why}");
    eprintln!("not tested: no user namespace for a user without rights: {why}");
    false
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether every file of a directory belongs to the user without rights.
fn owned_by_user(directory: &Path) -> bool {
    let user = if is_root() { USER } else { fs::metadata("/proc/self").unwrap().uid() };
    let mut entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.all(|path| fs::metadata(path).unwrap().uid() == user)
}

#[rstest]
#[case::by_itself("auto")]
#[case::asked_for("kernel")]
fn a_user_without_rights_runs_on_the_kernels_packets(#[case] network: &str) {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let output = place.command(&[], &["run", "--network", network]).output().unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("kernel network\n"), "{shown}");
    assert!(shown.contains("  network: the Linux kernel's, in a user namespace of its own\n"), "{shown}");
    let report = place.report();
    assert_eq!(report["network"], "kernel");
    let verdicts = report["verdicts"].as_array().unwrap();
    assert!(verdicts.len() > 200, "{}", verdicts.len());
    let bad: Vec<_> = verdicts.iter().filter(|it| it["outcome"]["outcome"] != "pass").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(owned_by_user(&place.only_run()));
}

/// The lab lives on in the user namespace when the process that made it has ended. Other commands need none.
#[test]
fn a_kept_lab_of_a_user_without_rights_outlives_its_command() {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let kept = place.command(&[], &["run", "--keep"]).output().unwrap();
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept));
    assert_eq!(place.report()["network"], "kernel");
    let id = place.only_run().file_name().unwrap().to_str().unwrap().to_owned();
    let verified = place.command(FORBIDDEN, &["verify", "--run", &id]).output().unwrap();
    let down = place.command(&[], &["teardown", "--run", &id]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(owned_by_user(&place.only_run()));
}

/// A signal of the user's reaches the process in its user namespace.
#[test]
fn a_user_without_rights_interrupts_the_run() {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let mut child = place.command(&[], &["run"]).stdout(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let begun = || {
        let run = fs::read_dir(place.runs()).unwrap().next()?.unwrap().path();
        fs::read_to_string(run.join("journal.ndjson")).ok().filter(|it| it.lines().count() > 5)
    };
    while begun().is_none() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "the run has not begun");
        std::thread::yield_now();
    }
    let sent = unprivileged(&["kill", "-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(40), "{}", text(&output));
}

#[test]
fn where_user_namespaces_are_forbidden_the_model_takes_over_and_says_so() {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let output = place.command(FORBIDDEN, &["run"]).output().unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let because = "the in-process model, since user.max_user_namespaces is 0 (`acrossk8s doctor` tells more)";
    assert!(shown.contains(&format!("  network: {because}\n")), "{shown}");
    let report = place.report();
    assert_eq!((&report["network"], &report["network_because"]), (&"model".into(), &because.into()));
}

#[test]
fn where_user_namespaces_are_forbidden_who_asks_for_the_kernel_is_told_what_to_enable() {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    for args in [&["run", "--network", "kernel"][..], &["lab", "--network", "kernel"]] {
        let output = place.command(FORBIDDEN, args).output().unwrap();
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(20), "{shown}");
        assert!(shown.contains("to mend it: as root: sysctl -w user.max_user_namespaces="), "{shown}");
    }
    assert_eq!(fs::read_dir(place.runs()).unwrap().count(), 0, "nothing is made");
}

#[rstest]
#[case::allowed(&[], "kernel", "user-namespace", "fine")]
#[case::forbidden(FORBIDDEN, "model", "user-namespace", "lacking")]
#[case::what_forbids_it(FORBIDDEN, "model", "user.max_user_namespaces", "lacking")]
fn the_doctor_tells_beforehand_what_a_run_takes(
    #[case] by: &[&str],
    #[case] network: &str,
    #[case] check: &str,
    #[case] state: &str,
) {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let output = place.command(by, &["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["network"], network);
    let sections = findings["sections"].as_array().unwrap();
    let mut checks = sections.iter().flat_map(|section| section["checks"].as_array().unwrap());
    assert_eq!(checks.find(|it| it["id"] == check).unwrap()["state"], state, "{findings:#}");
}

#[test]
fn where_no_run_can_be_written_the_doctor_ends_with_twenty() {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("acrossk8s"))
        .args(["doctor", "--runs-dir", "/proc/nowhere"])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(20), "{shown}");
    assert!(shown.contains("✗ the directory of the runs: /proc/nowhere cannot be written"), "{shown}");
    assert!(shown.contains("--runs-dir"), "{shown}");
}

/// The usual limit of open files is too low for a lab of six clusters: a command raises its own.
#[test]
fn a_low_limit_of_open_files_is_raised() {
    if !is_allowed() {
        return;
    }
    let place = Place::new();
    let low = ["sh", "-c", "ulimit -Sn 128 && exec \"$@\"", "sh"];
    let output = place.command(&low, &["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(place.report()["network"], "kernel");
}
