//! Each fault fails exactly the invariants that are to catch it.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use rstest::rstest;
use serde::{Deserialize, Serialize};

use super::fixture::{BROKEN, Broken, documented};
use super::{Outcome, Verdict, judge};
use crate::observation::Observation;
use crate::topology::Topology;

fn failing(verdicts: &[Verdict]) -> BTreeSet<&str> {
    verdicts.iter().filter(|verdict| verdict.outcome.is_fail()).map(|verdict| verdict.invariant.as_ref()).collect()
}

fn assert_caught(broken: &Broken, topology: &Topology, observation: &Observation) {
    let verdicts = judge(topology, observation);
    let expected: BTreeSet<&str> = broken.caught_by.iter().copied().collect();
    let fails: Vec<_> = verdicts.iter().filter(|verdict| verdict.outcome.is_fail()).collect();
    assert_eq!(failing(&verdicts), expected, "{}: {fails:#?}", broken.fault);
    for verdict in &verdicts {
        if let Outcome::Blocked { by, .. } = &verdict.outcome {
            assert!(!by.is_empty());
            for root in by {
                let named = fails.iter().any(|it| it.invariant == root.invariant && it.subject == root.subject);
                assert!(named, "{}: {} is blocked by {root}, which does not fail", broken.fault, verdict.invariant);
            }
        }
    }
    // A fault has consequences: if nothing were blocked, the roots would not be told from them.
    assert!(verdicts.iter().any(|verdict| verdict.outcome.is_blocked()), "{}", broken.fault);
}

#[rstest]
#[case(2)]
#[case(3)]
#[case(5)]
fn what_is_as_documented_passes(#[case] count: usize) {
    let (topology, observation) = documented(count);
    let bad: Vec<_> = judge(&topology, &observation).into_iter().filter(|it| !it.outcome.is_pass()).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn every_fault_is_caught_by_exactly_its_invariants() {
    for broken in BROKEN {
        let (topology, observation) = (broken.make)();
        assert_caught(broken, &topology, &observation);
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Saved {
    topology: Topology,
    observation: Observation,
}

/// The committed observations are those that the faults make, and are judged as they are.
/// With `UPDATE_FIXTURES` set they are written anew.
#[test]
fn committed_observations_of_broken_topologies_are_caught() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/observations");
    for broken in BROKEN {
        let path = folder.join(format!("{}.json", broken.fault));
        let (topology, observation) = (broken.make)();
        let made = Saved { topology, observation };
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
        }
        let saved: Saved = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(saved, made, "{}", broken.fault);
        assert_caught(broken, &saved.topology, &saved.observation);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), BROKEN.len());
}
