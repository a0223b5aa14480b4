//! The procedure on the embedded environment, end to end, in process.
#![expect(clippy::unwrap_used, reason = "tests")]

mod mends;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use acrossk8s::diagnosis::{Diagnosed, Own};
use acrossk8s::engine::Failure;
use acrossk8s::environment::{Embedded, EmbeddedOptions, Environment};
use acrossk8s::events::{Event, EventSink, Kind, Outcome, Phase, Recorder, read};
use acrossk8s::exit::ExitCode;
use acrossk8s::faults::{Fault, Judgement, catalogue, combine, draw, find, judge};
use acrossk8s::journal::Journal;
use acrossk8s::procedure::{self, Phase as StepPhase, World};
use acrossk8s::run::{self, Options, Stage};
use acrossk8s::run_directory::{self, RunDirectory};
use acrossk8s::topology::{ClusterIndex, Topology};
use acrossk8s::{observation, scenario, teardown};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

fn documented() -> Topology {
    scenario::parse(Path::new("three-clusters.toml"), scenario::DOCUMENTED).unwrap()
}

fn two() -> Topology {
    scenario::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/two-clusters.toml")).unwrap()
}

struct Lab {
    directory: RunDirectory,
    environment: Arc<Embedded>,
    sink: EventSink,
    _runs: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        Self::with(&EmbeddedOptions::default()).await
    }

    async fn with(options: &EmbeddedOptions) -> Self {
        let runs = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(runs.path()).unwrap();
        let recorder = Recorder::append(&directory.file(run_directory::EVENTS)).unwrap();
        Self {
            environment: Arc::new(Embedded::start(options).await.unwrap()),
            sink: EventSink::new(&directory.id, vec![Box::new(recorder)]),
            directory,
            _runs: runs,
        }
    }

    fn options(&self, topology: Topology, keep: bool) -> Options {
        Options {
            topology,
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            sink: self.sink.clone(),
            fault: None,
            keep,
            interrupt: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    fn events(&self) -> Vec<Event> {
        read(&self.directory.file(run_directory::EVENTS)).unwrap()
    }

    async fn take_down(&self, topology: &Topology) -> teardown::Outcome {
        let (journal, _) = Journal::open(&self.directory.file(run_directory::JOURNAL)).unwrap();
        let cancel = CancellationToken::new();
        teardown::take_down(&*self.environment, &journal, topology, &self.sink, &cancel).await.unwrap()
    }

    /// What an outsider sees in the account.
    async fn left(&self) -> Vec<String> {
        let inventory = self.environment.inventory().await.unwrap();
        inventory.into_iter().flat_map(|(kind, ids)| ids.into_iter().map(move |id| format!("{kind} {id}"))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_procedure_holds_and_leaves_nothing() {
    let lab = Lab::new().await;
    let outcome = run::run(lab.options(documented(), true)).await.unwrap();

    let bad: Vec<_> = outcome.verdicts.iter().filter(|it| it.outcome != Outcome::Pass).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(outcome.exit, ExitCode::Passed);
    let welcomed = outcome.verdicts.iter().filter(|it| it.invariant == "http-to-peer").count();
    assert_eq!(welcomed, 6, "every direction is checked");
    assert!(!lab.left().await.is_empty(), "a kept lab keeps something");

    assert!(lab.take_down(&documented()).await.is_clean());
    assert_eq!(lab.left().await, Vec::<String>::new(), "what an outsider finds after teardown");
    let cleared = lab
        .events()
        .iter()
        .any(|event| matches!(&event.kind, Kind::InventoryTaken { remaining, failure: None } if remaining.is_empty()));
    assert!(cleared, "teardown proves that nothing is left");
}

/// Some faults; `acrossk8s faults` runs all of them. Diagnosed with the true cause are they, too.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_caught_by_exactly_what_names_it(
    #[values(
        "missing-route",
        "peering-not-accepted",
        "overlapping-cidr-blocks",
        "missing-security-group-rule",
        "network-acl-denies-answers",
        "without-create-cluster",
        "service-with-another-port",
        "nested-zone",
        "reload-once-a-day",
        "nginx-with-the-nodes-dns",
        // Of each of these one was diagnosed wrongly because of the other.
        "rules-on-unattached-group+host-name-of-another-controller",
        "peering-deleted+route-to-gateway",
        "route-table-forgotten+empty-back-up"
    )]
    id: &str,
) {
    let judgement = run_with(&find(&documented(), id).unwrap()).await;
    assert!(judgement.is_exact(), "{judgement:#?}");
}

/// Two things wrong at once: names stop at the Corefile, connections by address at the security group.
#[tokio::test(flavor = "multi_thread")]
async fn two_faults_are_diagnosed_each_where_it_stops_something() {
    let both = ["missing-security-group-rule", "wrong-upstreams"].map(|id| find(&documented(), id).unwrap());
    let both = combine(&both[0], &both[1]);
    let lab = Lab::with(&both.lab).await;
    let outcome = run::run(Options { fault: Some(both), ..lab.options(documented(), false) }).await.unwrap();

    let events = lab.events();
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::ProbeDiagnosed(diagnosis) => Some((diagnosis, diagnosis.cause.as_ref().unwrap())),
            _ => None,
        })
        .collect();
    let codes = |invariant: &str| -> BTreeSet<&str> {
        told.iter().filter(|(it, _)| it.invariant == invariant).map(|(_, cause)| cause.code.as_str()).collect()
    };
    for by_name in ["http-to-peer", "http-from-every-node", "dns-answers-peer"] {
        assert_eq!(codes(by_name), ["COREFILE_UPSTREAMS_MISMATCH"].into(), "{by_name}");
    }
    for by_address in ["tcp-to-peer", "tidb-ports"] {
        assert_eq!(codes(by_address), ["ENI_SG_RULES_MISMATCH"].into(), "{by_address}");
    }
    assert!(told.iter().all(|(it, _)| it.subject == "tidb-1 to tidb-2"), "{told:#?}");
    assert_eq!(acrossk8s::diagnosis::causes_named(&documented(), &outcome.diagnoses).0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_combination_is_caught_by_what_names_either() {
    let all = catalogue(&documented());
    let judgement = run_with(&draw(&all, 1, 1)[0]).await;
    assert!(judgement.is_exact(), "{judgement:#?}");
}

/// A catalogue that is wrong is told so: an invariant that does not fail, one that does, tasks the same, and a cause.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fault_says_is_held_against_what_happens() {
    let mut fault = find(&documented(), "nested-zone").unwrap();
    fault.caught_by = ["route-to-peer"].into();
    fault.stops = ["add-routes/1-to-2".to_owned()].into();
    let wrong = Diagnosed::at(Own::CorefileZoneMissing, "configmap", ClusterIndex(0));
    let right = std::mem::replace(&mut fault.diagnosed, wrong.clone());
    let judgement = run_with(&fault).await;
    assert_eq!(judgement.missed, ["route-to-peer".to_owned()].into());
    assert_eq!(judgement.surplus, ["corefile-zones-top-level".to_owned()].into());
    assert_eq!(judgement.not_stopped, ["add-routes/1-to-2".to_owned()].into());
    assert_eq!(judgement.surplus_stops, ["await-coredns-reload/1".to_owned()].into());
    assert_eq!(judgement.undiagnosed, wrong.causes());
    assert_eq!(judgement.misdiagnosed, right.causes());
    assert!(!judgement.is_exact());
}

async fn run_with(fault: &Fault) -> Judgement {
    let lab = Lab::with(&fault.lab).await;
    let mut topology = documented();
    fault.change_topology(&mut topology);
    let outcome = run::run(Options { fault: Some(fault.clone()), ..lab.options(topology, false) }).await.unwrap();
    judge(fault, &documented(), &outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_changes_nothing() {
    let lab = Lab::new().await;
    run::run(lab.options(two(), true)).await.unwrap();
    let before = lab.left().await;
    let first = lab.events().len();

    let (journal, state) = Journal::open(&lab.directory.file(run_directory::JOURNAL)).unwrap();
    let world = Arc::new(World::new(
        two(),
        lab.environment.clone(),
        lab.directory.id.clone(),
        lab.directory.path.clone(),
        Arc::new(journal),
    ));
    let tasks = procedure::tasks(&world.topology);
    let interrupt = CancellationToken::new();
    let stage = Stage { world: &world, sink: &lab.sink, interrupt: &interrupt, tasks: &tasks };
    assert!(stage.run(Phase::Provision, &[StepPhase::Provision]).await.unwrap().is_success());
    assert!(stage.run(Phase::Apply, &[StepPhase::Apply]).await.unwrap().is_success());
    // Observing ends with deleting the nginx services, as the document says.
    stage.observe().await.unwrap();
    drop(world);

    assert_eq!(lab.left().await, before);
    let makers = [
        "create-cluster",
        "create-namespace",
        "create-storage-class",
        "create-peering",
        "accept-peering",
        "add-routes",
        "allow-traffic",
        "deploy-dns-service",
        "edit-coredns",
    ];
    for event in &lab.events()[first..] {
        if let Kind::TaskSucceeded { task, changed, .. } = &event.kind
            && makers.iter().any(|maker| task.starts_with(maker))
        {
            assert!(!changed, "{task} changed something the second time");
        }
    }
    // Only the nginx service and the probers, which the first run had deleted again, were made anew.
    let again = acrossk8s::journal::read(&lab.directory.file(run_directory::JOURNAL)).unwrap();
    let mut new: Vec<_> = again.entries.range(state.entries.len() as u64 + 1..).map(|(_, it)| &it.task).collect();
    new.sort();
    let nginx = ["deploy-nginx/1", "deploy-nginx/1", "deploy-nginx/2", "deploy-nginx/2"];
    assert_eq!(new, [&nginx[..], &["deploy-probers/1", "deploy-probers/2"]].concat());
    assert!(lab.take_down(&two()).await.is_clean());
    assert_eq!(lab.left().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_deleted_behind_the_runs_back_breaks_the_real_requests() {
    let lab = Lab::new().await;
    run::run(lab.options(two(), true)).await.unwrap();
    let aws = acrossk8s_aws::Regions::new(&lab.environment.access(), ["eu-central-1"]);
    let ec2 = &aws.get("eu-central-1").unwrap().ec2;
    let tables = ec2.describe_route_tables().send().await.unwrap();
    for table in tables.route_tables() {
        for route in table.routes().iter().filter(|it| it.destination_cidr_block() == Some("192.168.64.0/18")) {
            if route.vpc_peering_connection_id().is_some() {
                let delete = ec2.delete_route().set_route_table_id(table.route_table_id.clone());
                delete.destination_cidr_block("192.168.64.0/18").send().await.unwrap();
            }
        }
    }
    let (journal, _) = Journal::open(&lab.directory.file(run_directory::JOURNAL)).unwrap();
    let interrupt = CancellationToken::new();
    let (seen, verdicts) =
        run::verify(lab.environment.clone(), two(), &lab.directory, journal, &lab.sink, &interrupt).await.unwrap();

    let failed: Vec<_> = verdicts.iter().filter(|it| it.outcome == Outcome::Fail).map(|it| &it.invariant).collect();
    assert_eq!(failed, ["route-to-peer"]);
    let blocked =
        |id: &str| verdicts.iter().any(|it| it.invariant == id && matches!(it.outcome, Outcome::Blocked { .. }));
    assert!(blocked("http-to-peer") && blocked("tcp-to-peer") && blocked("dns-answers-peer"));
    let answered = seen.probes.iter().any(|it| it.from != it.to && it.result == observation::ProbeResult::Connected);
    assert!(!answered, "packets pass neither way without the route");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_no_mark_of_the_run_is_left_alone() {
    let lab = Lab::new().await;
    run::run(lab.options(two(), true)).await.unwrap();
    let aws = acrossk8s_aws::Regions::new(&lab.environment.access(), ["eu-central-1"]);
    let ec2 = &aws.get("eu-central-1").unwrap().ec2;
    let found = ec2.describe_vpc_peering_connections().send().await.unwrap();
    let id = found.vpc_peering_connections()[0].vpc_peering_connection_id().unwrap().to_owned();
    let tag = acrossk8s_aws::ec2::types::Tag::builder().key(procedure::RUN_TAG).value("somebody-elses").build();
    ec2.create_tags().resources(&id).tags(tag).send().await.unwrap();

    let outcome = lab.take_down(&two()).await;

    assert!(!outcome.is_clean());
    assert!(lab.left().await.contains(&format!("vpc-peering-connection {id}")), "a foreign peering is not deleted");
    let told = lab.events().into_iter().any(|event| {
        let says = |failure: &Option<Failure>| failure.as_ref().is_some_and(|it| it.to_string().contains("left alone"));
        matches!(&event.kind, Kind::Removed { failure, .. } if says(failure))
    });
    assert!(told);
}
