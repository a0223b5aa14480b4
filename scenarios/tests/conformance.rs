//! Every scenario file, run on the embedded environment: each ends as its file says it does.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acrossk8s::environment::{Embedded, EmbeddedOptions};
use acrossk8s::events::{EventSink, Outcome};
use acrossk8s::exit::ExitCode;
use acrossk8s::observation::ProbeRequest;
use acrossk8s::run::{self, Options};
use acrossk8s::run_directory::RunDirectory;
use acrossk8s::scenario;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[rstest]
#[case("two-clusters.toml", ExitCode::Passed, &[])]
#[case("three-clusters.toml", ExitCode::Passed, &[])]
#[case("five-clusters.toml", ExitCode::Passed, &[])]
#[case("twenty-clusters.toml", ExitCode::Passed, &[])]
#[case("managed-node-groups.toml", ExitCode::Failed, &["interface-security-groups"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_ends_as_it_says(#[case] name: &str, #[case] exit: ExitCode, #[case] failing: &[&str]) {
    let topology = scenario::read(&file(name)).unwrap();
    let runs = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(runs.path()).unwrap();
    let outcome = run::run(Options {
        topology: topology.clone(),
        environment: Arc::new(Embedded::start(&EmbeddedOptions::default()).await.unwrap()),
        sink: EventSink::new(&directory.id, Vec::new()),
        directory,
        fault: None,
        keep: false,
        interrupt: CancellationToken::new(),
        abort: CancellationToken::new(),
    })
    .await
    .unwrap();

    let failed: BTreeSet<_> =
        outcome.verdicts.iter().filter(|it| it.outcome == Outcome::Fail).map(|it| it.invariant.as_str()).collect();
    assert_eq!(failed, failing.iter().copied().collect());
    assert_eq!(outcome.exit, exit);
    assert_eq!(outcome.left, Vec::<String>::new());
    let n = topology.clusters.len();
    let checked = outcome.verdicts.iter().filter(|it| it.invariant == "http-to-peer").count();
    assert_eq!(checked, n * (n - 1), "every direction is checked");
    for (from, to) in topology.directions() {
        let seen = outcome.observation.clusters[from.0].kubernetes.as_ref().unwrap();
        let asked: BTreeSet<_> = seen
            .probers
            .iter()
            .filter(|prober| {
                let probes = outcome.observation.probes.iter().filter(|it| (it.from, it.to) == (from.0, to.0));
                probes
                    .map(|it| &it.request)
                    .any(|it| matches!(it, ProbeRequest::Http { pod, .. } if *pod == prober.name))
            })
            .map(|prober| &prober.node)
            .collect();
        assert_eq!(asked, seen.nodes.iter().map(|node| &node.name).collect(), "asked from every node of {from}");
    }
}

#[test]
fn every_scenario_file_is_tested() {
    let found: BTreeSet<_> = std::fs::read_dir(file(""))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml") && name != "Cargo.toml")
        .collect();
    let tested = ["five", "three", "twenty", "two"].map(|number| format!("{number}-clusters.toml"));
    let tested: BTreeSet<_> = tested.into_iter().chain(["managed-node-groups.toml".to_owned()]).collect();
    assert_eq!(found, tested);
}
