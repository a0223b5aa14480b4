//! The procedure on the kernel's network, one lab at a time: several at once on a small machine would wait for each other
//! longer than the probes do. These tests need the right to make network namespaces (root): without it they say so and end,
//! except where `ACROSSK8S_KERNEL_TESTS` is set, as in CI.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use acrossk8s::environment::{Embedded, EmbeddedOptions};
use acrossk8s::events::{EventSink, Outcome};
use acrossk8s::exit::ExitCode;
use acrossk8s::faults::{Fault, find, judge};
use acrossk8s::run::{self, Options};
use acrossk8s::run_directory::RunDirectory;
use acrossk8s::scenario;
use acrossk8s::topology::Topology;
use acrossk8s_mocks::network::NetworkKind;
use acrossk8s_mocks::network::kernel::Kernel;
use rstest::rstest;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn is_allowed() -> bool {
    let allowed = Kernel::try_out().await;
    if let Err(error) = &allowed {
        assert!(std::env::var_os("ACROSSK8S_KERNEL_TESTS").is_none(), "no kernel network: {error}");
        eprintln!("not tested: no kernel network: {error}");
    }
    allowed.is_ok()
}

fn documented() -> Topology {
    scenario::parse(Path::new("three-clusters.toml"), scenario::DOCUMENTED).unwrap()
}

async fn run(fault: Option<Fault>) -> run::Outcome {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut topology = documented();
    if let Some(fault) = &fault {
        fault.change_topology(&mut topology);
    }
    let runs = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(runs.path()).unwrap();
    let options = EmbeddedOptions { network: NetworkKind::Kernel, ..EmbeddedOptions::default() };
    let options = Options {
        topology,
        environment: Arc::new(Embedded::start(&options).await.unwrap()),
        sink: EventSink::new(&directory.id, Vec::new()),
        directory,
        fault,
        keep: false,
        interrupt: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    run::run(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_procedure_holds() {
    if !is_allowed().await {
        return;
    }
    let outcome = run(None).await;
    let bad: Vec<_> = outcome.verdicts.iter().filter(|it| it.outcome != Outcome::Pass).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(outcome.exit, ExitCode::Passed);
}

/// One fault for a route table, one for the security groups.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn packets_are_lost_where_the_model_loses_them(#[values("missing-route", "rules-on-unattached-group")] id: &str) {
    if !is_allowed().await {
        return;
    }
    let fault = find(&documented(), id).unwrap();
    let judgement = judge(&fault, &documented(), &run(Some(fault.clone())).await);
    assert!(judgement.is_exact(), "{judgement:#?}");
}
