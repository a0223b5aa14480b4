//! How many calls the procedure makes of AWS: they cost time, and AWS throttles.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use acrossk8s::environment::{Embedded, Handle};
use acrossk8s::events::EventSink;
use acrossk8s::exit::ExitCode;
use acrossk8s::run::{self, Options};
use acrossk8s::run_directory::RunDirectory;
use acrossk8s::scenario;
use acrossk8s::topology::Topology;
use acrossk8s_mocks::lab::{Lab, LabConfig};
use tokio_util::sync::CancellationToken;

fn topology(file: &str) -> Topology {
    scenario::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(file)).unwrap()
}

/// A lab that this test can look into, and the harness's own way to it.
async fn lab() -> (Arc<Lab>, Arc<Embedded>) {
    let lab = Lab::start(LabConfig::default()).await.unwrap();
    let handle = Handle::of(&lab, false, Vec::new());
    (lab, Arc::new(Embedded::connect(handle)))
}

async fn run(environment: &Arc<Embedded>, topology: Topology, directory: &RunDirectory, keep: bool) {
    let outcome = run::run(Options {
        topology,
        environment: environment.clone(),
        sink: EventSink::new(&directory.id, Vec::new()),
        directory: directory.clone(),
        fault: None,
        keep,
        interrupt: CancellationToken::new(),
        abort: CancellationToken::new(),
    });
    assert_eq!(outcome.await.unwrap().exit, ExitCode::Passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_grow_no_faster_than_pairs() {
    let mut per_pair = Vec::new();
    for file in ["two-clusters.toml", "three-clusters.toml", "five-clusters.toml"] {
        let (lab, environment) = lab().await;
        let runs = tempfile::tempdir().unwrap();
        let topology = topology(file);
        let pairs = topology.pairs().len();
        run(&environment, topology, &RunDirectory::create(runs.path()).unwrap(), false).await;
        let calls = lab.aws().calls().len();
        println!("{file}: {calls} calls of AWS, {} for each of {pairs} pairs", calls / pairs);
        per_pair.push(calls as f64 / pairs as f64);
    }
    assert!(per_pair.is_sorted_by(|fewer, more| fewer >= more), "{per_pair:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_reads_ec2_once_a_region() {
    let (lab, environment) = lab().await;
    let runs = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(runs.path()).unwrap();
    // Two clusters in the same region.
    let topology = topology("two-clusters.toml");
    run(&environment, topology.clone(), &directory, true).await;
    let before = lab.aws().calls().len();
    let path = directory.file(acrossk8s::run_directory::JOURNAL);
    let (journal, _) = acrossk8s::journal::Journal::open(&path).unwrap();
    let sink = EventSink::new(&directory.id, Vec::new());
    let interrupt = CancellationToken::new();
    let (seen, _) = run::verify(environment, topology, &directory, journal, &sink, &interrupt).await.unwrap();
    assert_eq!(seen.unread, []);

    let mut reads: BTreeMap<(String, String), usize> = BTreeMap::new();
    for call in lab.aws().calls().drain(before..).filter(|call| call.service == acrossk8s_mocks::aws::Service::Ec2) {
        *reads.entry((call.region, call.action)).or_default() += 1;
    }
    assert!(reads.len() >= 6, "{reads:?}");
    for ((region, action), count) in &reads {
        // A peering is asked for from both of its sides: two filters, and EC2 joins filters with "and".
        let expected = if action == "DescribeVpcPeeringConnections" { 2 } else { 1 };
        assert_eq!(*count, expected, "{action} in {region}: {reads:?}");
    }
}
