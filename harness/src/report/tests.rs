//! The renderings, from one stream of events that has one of each.

use std::path::Path;

use jiff::Timestamp;

use super::{Plain, events_schema, report_schema, summarise, to_json, to_junit};
use crate::engine::Failure;
use crate::events::{
    self, Cause, Diagnosis, Event, Finding, Hop, Kind, Leg, Level, Outcome, Phase, Resource, VERSION, Verdict, Way,
};

fn verdict(invariant: &str, subject: &str, outcome: Outcome, finding: Option<Finding>) -> Kind {
    Kind::VerdictReached(Verdict {
        invariant: invariant.to_owned(),
        title: format!("what {invariant} demands"),
        level: Level::Must,
        heading: "Set up the network".to_owned(),
        clauses: vec!["C3.1".to_owned()],
        subject: subject.to_owned(),
        outcome,
        finding,
    })
}

fn started(task: &str, title: &str, clusters: &[&str], heading: &str) -> Kind {
    Kind::TaskStarted {
        task: task.to_owned(),
        step: task.split(':').next().unwrap_or_default().to_owned(),
        title: title.to_owned(),
        clusters: clusters.iter().map(|it| (*it).to_owned()).collect(),
        heading: heading.to_owned(),
        clauses: vec!["C3.1".to_owned()],
        gap: None,
    }
}

/// The answer finds no route.
fn diagnosis(probe: &str) -> Diagnosis {
    let hop = |way, through: &str| Hop { way, through: through.to_owned() };
    let resource = |kind: &str, id: &str| Resource { kind: kind.into(), id: id.into(), cluster: Some("a".into()) };
    Diagnosis {
        invariant: "route-to-peer".to_owned(),
        subject: "b to a".to_owned(),
        probe: probe.to_owned(),
        result: "no answer".to_owned(),
        path: vec![
            Leg {
                title: "the Corefile of b".to_owned(),
                passed: true,
                hops: vec![hop(Way::Forward, "server block a:53 (line 9) forwards it")],
            },
            Leg {
                title: "pod of b to 10.1.0.9:80 of a".to_owned(),
                passed: false,
                hops: vec![
                    hop(Way::Forward, "route 10.1.0.0/16 to pcx-1 in rtb-2"),
                    hop(Way::Return, "default network ACL of subnet-1"),
                ],
            },
        ],
        cause: Some(Cause {
            code: "NO_ROUTE_TO_DESTINATION".to_owned(),
            of_reachability_analyzer: true,
            way: Way::Return,
            resources: vec![resource("route-table", "rtb-1")],
            explanation: "the answer finds no route".to_owned(),
            commands: vec!["aws ec2 create-route --route-table-id rtb-1".to_owned()],
            advice: Some("and look again".to_owned()),
        }),
        not_known: None,
    }
}

fn stream() -> Vec<Event> {
    let task = |id: &str| id.to_owned();
    let failure = || Failure::new("CreateRoute was refused").because("RouteTableLimitExceeded").advise("ask for more");
    let finding = Finding {
        evidence: vec!["rtb-1 has no route to 10.2.0.0/16".to_owned()],
        explanation: "packets to the peer are dropped".to_owned(),
        remedy: "add the route & check it".to_owned(),
    };
    let kinds = vec![
        Kind::RunStarted {
            scenario: "pair".to_owned(),
            environment: "embedded".to_owned(),
            network: "model".to_owned(),
            network_because: Some("the in-process model, since the kernel forbids its own".to_owned()),
            programs: vec![("nginx".to_owned(), "1.22.1".to_owned())],
            clusters: vec![("a".into(), "us-east-1".into()), ("b".into(), "us-west-2".into())],
            fault: Some("missing-route".to_owned()),
        },
        Kind::PhaseStarted { phase: Phase::Apply, tasks: 3 },
        started("accept-peering:a:b", "Accept the peering", &["a", "b"], "Set up the network"),
        Kind::TaskRetried {
            task: task("accept-peering:a:b"),
            attempt: 1,
            failure: Failure::new("throttled"),
            delay_ms: 20,
        },
        Kind::TaskSucceeded {
            task: task("accept-peering:a:b"),
            duration_ms: 1234,
            changed: true,
            note: Some("pcx-1".into()),
        },
        started("add-routes:a", "Add the routes", &["a"], "Set up the network"),
        Kind::TaskFailed { task: task("add-routes:a"), duration_ms: 5, failure: failure() },
        Kind::TaskSkipped { task: task("probe-nginx:a:b"), because: "add-routes:a did not succeed".to_owned() },
        Kind::PhaseFinished { phase: Phase::Apply, duration_ms: 1300 },
        Kind::PhaseStarted { phase: Phase::Judge, tasks: 4 },
        verdict("peering-active", "a to b", Outcome::Pass, None),
        verdict("route-to-peer", "a to b", Outcome::Fail, Some(finding)),
        verdict("route-to-peer", "b to a", Outcome::Blocked { by: "peering-active [a to b]".to_owned() }, None),
        verdict("no-subject", "-", Outcome::NotApplicable { reason: "nothing of the kind".to_owned() }, None),
        Kind::ProbeDiagnosed(diagnosis("connection to 10.1.0.9:80")),
        Kind::ProbeDiagnosed(diagnosis("connection to 10.1.0.9:2379")),
        Kind::ClauseUnchecked { clause: "C0.1".to_owned(), reason: "it is about a person's machine".to_owned() },
        Kind::PhaseFinished { phase: Phase::Judge, duration_ms: 3 },
        Kind::Interrupted { signal: "SIGINT".to_owned() },
        Kind::Notice { message: "a note".to_owned() },
        Kind::PhaseStarted { phase: Phase::Teardown, tasks: 2 },
        Kind::Removed { resource: "peering pcx-1".to_owned(), failure: None, outcome: "gone".to_owned() },
        Kind::Removed { resource: "cluster a".to_owned(), failure: Some(failure()), outcome: "failed".to_owned() },
        Kind::PhaseFinished { phase: Phase::Teardown, duration_ms: 8 },
        Kind::PhaseStarted { phase: Phase::Prove, tasks: 2 },
        Kind::InventoryTaken { remaining: vec!["vpc-1 in us-east-1".to_owned()], failure: None },
        Kind::PhaseFinished { phase: Phase::Prove, duration_ms: 2 },
        Kind::RunFinished { exit_code: 30, meaning: "something was left behind".to_owned(), duration_ms: 2500 },
    ];
    (1..)
        .zip(kinds)
        .map(|(seq, kind)| Event {
            version: VERSION,
            run_id: "20261124-101502-a1b2c3".to_owned(),
            seq,
            at: Timestamp::UNIX_EPOCH,
            elapsed_ms: seq * 10,
            kind,
        })
        .collect()
}

#[test]
fn the_lines_of_a_run() {
    let mut plain = Plain::default();
    let lines: Vec<_> = stream().iter().flat_map(|event| plain.lines(event)).collect();
    insta::assert_snapshot!(anstream::adapter::strip_str(&lines.join("\n")).to_string());
}

#[test]
fn junit_of_a_run() {
    insta::assert_snapshot!(to_junit(&summarise(&stream())).expect("it can be written"));
}

#[test]
fn the_report_of_a_run() {
    insta::assert_snapshot!(to_json(&summarise(&stream())).expect("it can be written"));
}

/// The committed schemas are those of the types. `UPDATE_SCHEMAS=1 cargo test -p acrossk8s schemas` writes them.
#[test]
fn the_committed_schemas_are_current() {
    for (name, schema) in [("report", report_schema()), ("events", events_schema())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}.schema.json"));
        let current = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &current).expect("the schema can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == current, "{} is not current: run this test with UPDATE_SCHEMAS=1", path.display());
    }
}

#[test]
fn a_record_is_read_as_it_was_written_and_a_line_cut_off_is_passed_over() {
    use crate::events::{Recorder, Subscriber as _};
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events.ndjson");
    let stream = stream();
    let mut recorder = Recorder::append(&path).expect("it can be written");
    for event in &stream {
        recorder.take(event).expect("it can be written");
    }
    assert_eq!(events::read(&path).expect("it can be read"), stream);

    let whole = std::fs::read(&path).expect("it can be read");
    std::fs::write(&path, &whole[..whole.len() - 9]).expect("it can be written");
    assert_eq!(events::read(&path).expect("it can be read"), stream[..stream.len() - 1]);

    let mut broken = b"{\"event\": 1}\n".to_vec();
    broken.extend(&whole);
    std::fs::write(&path, broken).expect("it can be written");
    let error = events::read(&path).expect_err("the first line is no event");
    assert!(error.to_string().contains("events.ndjson:1: not an event"), "{error}");
}

/// A reader of today passes over what a writer of tomorrow adds.
#[test]
fn an_event_of_a_newer_version_is_kept_as_unknown() {
    let line = r#"{"version":1,"run_id":"r","seq":1,"at":"2026-11-24T10:00:00Z","elapsed_ms":0,"event":"moon_rose","phase":"full"}"#;
    let event: Event = serde_json::from_str(line).expect("it is an event");
    assert_eq!(event.kind, Kind::Unknown);
}
