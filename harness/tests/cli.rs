//! The command as a person or a CI job uses it: what it prints, how it ends, and what is left when it is killed.
//! Its runs are on the in-process network, for speed; `unprivileged.rs` is about the one that it chooses by itself.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;

mod common;
mod lint;
use common::{command, lab_has_ended, only_run, repository, run, text, two_clusters};

/// Waits until the journal of the only run has so many records, or the run has ended.
fn await_records(runs: &Path, child: &mut Child, records: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let journal =
            fs::read_dir(runs).ok().and_then(|mut it| it.next()).map(|it| it.unwrap().path().join("journal.ndjson"));
        let written = journal.and_then(|it| fs::read_to_string(it).ok()).map_or(0, |it| it.lines().count());
        if written >= records || child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the journal has no {records} records after a minute");
}

#[test]
fn the_documented_run_passes_and_reports() {
    let runs = tempfile::tempdir().unwrap();
    let output = run(runs.path(), &["run"]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("verdicts: ") && shown.contains(" 0 fail, 0 blocked"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "NO_COLOR is honoured");

    let directory = only_run(runs.path());
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(directory.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["remaining"], serde_json::json!([]));
    let junit = fs::read_to_string(directory.join("junit.xml")).unwrap();
    assert!(junit.contains("http-to-peer [tidb-1 to tidb-2]"));
    let listed = text(&run(runs.path(), &["runs"]));
    assert!(listed.contains("taken down, nothing left"), "{listed}");

    // Reports are made again from the recorded events alone.
    let again = tempfile::tempdir().unwrap();
    let events = directory.join("events.ndjson").display().to_string();
    let output = run(runs.path(), &["report", "--from", &events, "--to", &again.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let remade = fs::read_to_string(again.path().join("report.json")).unwrap();
    assert_eq!(remade, fs::read_to_string(directory.join("report.json")).unwrap());
}

#[test]
fn a_kept_lab_is_verified_and_taken_down_by_later_commands() {
    let runs = tempfile::tempdir().unwrap();
    let output = run(runs.path(), &["run", "--keep", "-s", &two_clusters()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let directory = only_run(runs.path());
    let id = directory.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(directory.join("kubeconfig").is_file());

    for _ in 0..2 {
        let verified = run(runs.path(), &["verify", "--run", &id]);
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    }
    let saved = directory.join("observation.json").display().to_string();
    let offline = run(runs.path(), &["verify", "--observation", &saved, "-s", &two_clusters()]);
    assert_eq!(offline.status.code(), Some(0), "{}", text(&offline));

    let down = run(runs.path(), &["teardown", "--run", &id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(lab_has_ended(&directory));
    let again = run(runs.path(), &["teardown", "--run", &id]);
    assert!(text(&again).contains("taken down already"), "{}", text(&again));
    let gone = run(runs.path(), &["verify", "--run", &id]);
    assert_eq!(gone.status.code(), Some(2), "{}", text(&gone));
}

#[rstest]
fn killed_at_any_moment_it_is_taken_down_from_its_journal(#[values(1, 2, 4, 7, 12, 20, 30, 38)] records: usize) {
    let runs = tempfile::tempdir().unwrap();
    let mut child =
        command(runs.path(), &["run", "--keep", "-s", &two_clusters()]).stdout(Stdio::null()).spawn().unwrap();
    await_records(runs.path(), &mut child, records);
    child.kill().unwrap();
    child.wait().unwrap();

    let directory = only_run(runs.path());
    let id = directory.file_name().unwrap().to_str().unwrap().to_owned();
    let down = run(runs.path(), &["teardown", "--run", &id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(text(&down).contains("nothing carries the run's tag any more"), "{}", text(&down));
    assert!(lab_has_ended(&directory));
}

#[test]
fn a_journal_cut_in_the_middle_of_a_line_is_enough() {
    let runs = tempfile::tempdir().unwrap();
    run(runs.path(), &["run", "--keep", "-s", &two_clusters()]);
    let directory = only_run(runs.path());
    let id = directory.file_name().unwrap().to_str().unwrap().to_owned();
    let journal = directory.join("journal.ndjson");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 17]).unwrap();

    let down = run(runs.path(), &["teardown", "--run", &id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(lab_has_ended(&directory));
}

#[test]
fn a_lab_that_died_with_its_process_leaves_nothing_to_take_down() {
    let runs = tempfile::tempdir().unwrap();
    let mut child = command(runs.path(), &["run", "-s", &two_clusters()]).stdout(Stdio::null()).spawn().unwrap();
    await_records(runs.path(), &mut child, 10);
    child.kill().unwrap();
    child.wait().unwrap();
    let directory = only_run(runs.path());
    let id = directory.file_name().unwrap().to_str().unwrap().to_owned();

    let down = run(runs.path(), &["teardown", "--run", &id]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert!(text(&down).contains("the environment is gone"), "{}", text(&down));
}

#[rstest]
fn interrupted_at_any_moment_it_takes_everything_down(
    #[values(1, 3, 8, 15, 25, 36)] records: usize,
    #[values("INT", "TERM")] signal: &str,
) {
    let runs = tempfile::tempdir().unwrap();
    let mut child = command(runs.path(), &["run", "-s", &two_clusters()]).stdout(Stdio::piped()).spawn().unwrap();
    await_records(runs.path(), &mut child, records);
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(40), "{shown}");
    assert!(shown.contains("nothing carries the run's tag any more"), "{shown}");
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let runs = tempfile::tempdir().unwrap();
    let spawn = || command(runs.path(), &["run", "-s", &two_clusters()]).stdout(Stdio::piped()).spawn().unwrap();
    let both = [spawn(), spawn()];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 2);
}

#[test]
fn a_run_in_use_is_not_taken_down_by_another_process() {
    let runs = tempfile::tempdir().unwrap();
    let mut child = command(runs.path(), &["run", "-s", &two_clusters()]).stdout(Stdio::null()).spawn().unwrap();
    await_records(runs.path(), &mut child, 1);
    let id = only_run(runs.path()).file_name().unwrap().to_str().unwrap().to_owned();
    let down = run(runs.path(), &["teardown", "--run", &id]);
    let running = child.try_wait().unwrap().is_none();
    assert!(!running || down.status.code() == Some(2), "{}", text(&down));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[rstest]
#[case::no_such_file("no.toml", None, "cannot be read")]
#[case::not_toml("x.toml", Some("name = "), "x.toml:1:8: ")]
#[case::unknown_field("x.toml", Some("name = \"x\"\ncolour = 1\n"), "x.toml:2:1: unknown field `colour`")]
#[case::none("x.toml", Some("name = \"x\"\n"), "x.toml:1:1: there are 0 clusters")]
fn a_bad_scenario_ends_with_two_and_nothing_is_made(
    #[case] name: &str,
    #[case] content: Option<&str>,
    #[case] expected: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    if let Some(content) = content {
        fs::write(&file, content).unwrap();
    }
    let runs = directory.path().join("runs");
    let output = run(&runs, &["run", "-s", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains(expected), "{}", text(&output));
    assert!(text(&output).contains("to mend it:"), "{}", text(&output));
    assert!(!runs.exists(), "nothing is made");
}

#[test]
fn a_run_directory_that_cannot_be_made_is_told() {
    let output = run(Path::new("/proc/nowhere"), &["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("--runs-dir"), "{}", text(&output));
}

#[test]
fn a_port_in_use_is_told_and_leaves_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let runs = tempfile::tempdir().unwrap();
    let output = run(runs.path(), &["run", "--aws-port", &port]);
    assert_eq!(output.status.code(), Some(20), "{}", text(&output));
    assert!(text(&output).contains("--aws-port"), "{}", text(&output));
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0);
}

#[test]
fn the_plan_shows_the_documents_commands() {
    let output = run(Path::new("unused"), &["plan", "-s", &two_clusters()]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output));
}

#[test]
fn the_catalogue_is_listed() {
    let output = run(Path::new("unused"), &["faults", "--list"]);
    insta::assert_snapshot!(text(&output));
}

#[test]
fn managed_node_groups_fail_with_the_reason_and_the_remedy() {
    let runs = tempfile::tempdir().unwrap();
    let scenario = repository().join("scenarios/managed-node-groups.toml").display().to_string();
    let output = run(runs.path(), &["run", "-s", &scenario]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(10), "{shown}");
    assert!(shown.contains("eks-cluster-sg-managed-2"), "{shown}");
    assert!(shown.contains("to mend it: ") && shown.contains("authorize-security-group-ingress"), "{shown}");
}

/// A saved observation is diagnosed offline: the path, the cause and the command that mends it.
#[test]
fn a_saved_observation_is_diagnosed() {
    let runs = tempfile::tempdir().unwrap();
    let fixture = fs::read_to_string(repository().join("fixtures/observations/missing-route.json")).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&fixture).unwrap();
    let saved = runs.path().join("observation.json");
    fs::write(&saved, fixture["observation"].to_string()).unwrap();
    let saved = saved.display().to_string();
    let command = "aws ec2 create-route --region us-west-1 --route-table-id rtb-00000000000000102 \
                   --destination-cidr-block 10.2.0.0/16 --vpc-peering-connection-id pcx-00000000000000102";

    let verified = run(runs.path(), &["verify", "--observation", &saved]);
    assert_eq!(verified.status.code(), Some(10));
    let shown = text(&verified);
    assert!(shown.contains("NO_ROUTE_TO_DESTINATION at route-table rtb-00000000000000102"), "{shown}");
    assert!(shown.contains(command), "{shown}");

    let diagnose = |more: &[&str]| run(runs.path(), &[&["diagnose", "--observation", &saved], more].concat());
    let stopped = diagnose(&["--from", "tidb-1", "--to", "tidb-2"]);
    assert_eq!(stopped.status.code(), Some(10));
    assert!(text(&stopped).contains(command) && !text(&stopped).contains("tidb-3"));
    let clear = diagnose(&["--from", "tidb-1", "--to", "tidb-3"]);
    assert_eq!(clear.status.code(), Some(0));
    assert!(text(&clear).contains("10.3.96.12:80 of tidb-3 over TCP, and back"), "{}", text(&clear));
    assert_eq!(diagnose(&["--from", "tidb-9"]).status.code(), Some(2));
}
