//! What the mend of a cause says mends it: the commands are carried out, and every probe gets through.

mod commands;

use std::collections::BTreeSet;

use acrossk8s::diagnosis::{Conclusion, diagnose};
use acrossk8s::faults::find;
use acrossk8s::journal::Journal;
use acrossk8s::{run, run_directory};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{Lab, documented};
use commands::Shell;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_mends_a_cause_lets_every_probe_through(
    #[values(
        "missing-route",
        "route-to-wrong-peering",
        "route-shadowed",
        "peering-not-accepted",
        "missing-security-group-rule",
        "egress-within-the-vpc-only",
        "network-acl-denies-requests",
        "service-selects-nothing",
        "listener-on-another-port",
        "targets-deregistered",
        "forgotten-zone",
        "without-reload",
        "coredns-scaled-down",
        "without-create-namespace",
        "nginx-with-the-nodes-dns"
    )]
    id: &str,
) {
    let fault = find(&documented(), id).unwrap();
    let lab = Lab::with(&fault.lab).await;
    let outcome = run::run(run::Options { fault: Some(fault), ..lab.options(documented(), true) }).await.unwrap();
    assert!(!outcome.diagnoses.is_empty());
    let shell = Shell::new(&lab).await;
    let mut done = BTreeSet::new();
    for diagnosis in &outcome.diagnoses {
        let Conclusion::Stopped(cause) = &diagnosis.conclusion else { panic!("{diagnosis:#?}") };
        for command in &cause.mend.commands {
            if done.insert(command.clone()) {
                shell.run(command, cause.mend.advice.as_deref()).await;
            }
        }
    }
    let (journal, _) = Journal::open(&lab.directory.file(run_directory::JOURNAL)).unwrap();
    let interrupt = CancellationToken::new();
    let (seen, _) = run::verify(lab.environment.clone(), documented(), &lab.directory, journal, &lab.sink, &interrupt)
        .await
        .unwrap();
    assert_eq!(diagnose(&documented(), &seen), [], "after {done:#?}");
}
