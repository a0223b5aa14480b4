//! The procedure with the real CoreDNS, nginx and curl in the pods. `ci/real-programs.sh` provides them and sets
//! `ACROSSK8S_REAL_PROGRAMS`; without it these tests say so and end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

use acrossk8s::events::Kind;

fn is_asked_for() -> bool {
    let asked = std::env::var_os("ACROSSK8S_REAL_PROGRAMS").is_some();
    if !asked {
        eprintln!("not tested: ACROSSK8S_REAL_PROGRAMS is not set (ci/real-programs.sh sets it)");
    }
    asked
}

fn acrossk8s(runs: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_acrossk8s")).args(arguments).arg("--runs-dir").arg(runs).output().unwrap()
}

/// What the processes of this machine were started with.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// The folder of the only run.
fn run_of(runs: &Path) -> std::path::PathBuf {
    std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn the_documented_procedure_holds_and_leaves_nothing() {
    if !is_asked_for() {
        return;
    }
    let runs = tempfile::tempdir().unwrap();
    let output = acrossk8s(runs.path(), &["run", "--network", "kernel", "--real-binaries"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let events = acrossk8s::events::read(&run_of(runs.path()).join("events.ndjson")).unwrap();
    let programs = events.iter().find_map(|event| match &event.kind {
        Kind::RunStarted { programs, .. } => Some(programs.clone()),
        _ => None,
    });
    let programs = programs.unwrap();
    let names: Vec<&str> = programs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["coredns", "nginx", "curl"]);
    for (name, version) in &programs {
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name} {version}");
        assert!(printed.contains(&format!("{name} {version}")), "{printed}");
    }
    assert!(printed.contains(" 0 fail, 0 blocked, 0 not applicable"), "{printed}");
}

#[test]
fn a_program_that_no_pod_would_see_is_refused_before_anything_is_made() {
    if !is_asked_for() {
        return;
    }
    let runs = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let curl = folder.path().join("curl");
    std::fs::copy(installed("curl"), &curl).unwrap();
    let output = acrossk8s(runs.path(), &["run", "--network", "kernel", "--curl", curl.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("copy it out of /tmp and /run"), "{said}");
    assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0);
}

/// A program on the PATH.
fn installed(name: &str) -> std::path::PathBuf {
    let path = std::env::var("PATH").unwrap();
    path.split(':').map(|it| Path::new(it).join(name)).find(|it| it.is_file()).unwrap()
}

/// The real programs, of a lab that outlives its command, are gone with it.
#[test]
fn a_kept_lab_runs_them_until_it_is_taken_down() {
    if !is_asked_for() {
        return;
    }
    let runs = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/two-clusters.toml");
    // A path of its own tells its nginx from those of other labs. Pods have a /tmp of their own.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let nginx = folder.path().join("nginx-of-this-test");
    std::fs::copy(installed("nginx"), &nginx).unwrap();
    let arguments =
        ["run", "--keep", "--network", "kernel", "--scenario", scenario, "--nginx", nginx.to_str().unwrap()];
    let output = acrossk8s(runs.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("real programs: nginx "));
    let run = run_of(runs.path());
    let id = run.file_name().unwrap().to_str().unwrap();
    let verified = acrossk8s(runs.path(), &["verify", "--run", id]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    let torn_down = acrossk8s(runs.path(), &["teardown", "--run", id]);
    assert_eq!(torn_down.status.code(), Some(0), "{}", String::from_utf8_lossy(&torn_down.stdout));
    let left: Vec<_> = command_lines().into_iter().filter(|line| line.contains("nginx-of-this-test")).collect();
    assert_eq!(left, Vec::<String>::new());
}
