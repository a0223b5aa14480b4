//! Properties of the catalogue that need no run.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;

use rstest::rstest;

use super::omissions::id_of;
use super::*;
use crate::diagnosis::Code;
use crate::invariants::{self, fixture::BROKEN};
use crate::procedure::{STEPS, tasks};
use crate::scenario;

fn documented() -> Topology {
    scenario::parse(Path::new("three-clusters.toml"), scenario::DOCUMENTED).unwrap()
}

fn two() -> Topology {
    scenario::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/two-clusters.toml")).unwrap()
}

#[test]
fn there_are_at_least_sixty_with_ids_of_their_own() {
    let all = catalogue(&documented());
    assert!(all.len() >= 60, "{}", all.len());
    let ids: BTreeSet<&str> = all.iter().map(|fault| fault.id.as_str()).collect();
    assert_eq!(ids.len(), all.len());
}

#[test]
fn every_step_has_an_omission() {
    let all = catalogue(&documented());
    for step in STEPS {
        let omission = all.iter().find(|fault| fault.id == id_of(step.id)).unwrap();
        assert_eq!(omission.touches.len(), 1, "{}", step.id);
        let shown = !omission.caught_by.is_empty() || !omission.stops.is_empty();
        assert_ne!(shown, omission.luck.is_some(), "{}: an omission is caught, or it says why it need not be", step.id);
    }
}

#[rstest]
#[case(documented())]
#[case(two())]
fn every_fault_names_what_there_is_and_changes_something(#[case] topology: Topology) {
    let known: BTreeSet<String> = tasks(&topology).iter().map(Task::id).collect();
    for fault in catalogue(&topology) {
        for id in fault.caught_by.iter().chain(&fault.may_fail) {
            assert!(invariants::find(id).is_some(), "{}: {id}", fault.id);
        }
        let mut wanted = topology.clone();
        fault.change_topology(&mut wanted);
        assert_eq!(wanted != topology, fault.topology.is_some(), "{}", fault.id);
        for task in fault.stops.iter().chain(&fault.touches) {
            assert!(known.contains(task), "{}: {task}", fault.id);
        }
        assert!(fault.topology.is_some() || !fault.touches.is_empty(), "{} changes nothing", fault.id);
        let is_shown = !fault.caught_by.is_empty() || !fault.stops.is_empty() || !fault.leaves.is_empty();
        assert!(is_shown || fault.luck.is_some(), "{} is caught by nothing", fault.id);
    }
}

#[test]
fn a_task_left_out_is_needed_by_none() {
    let topology = documented();
    let all = tasks(&topology);
    for fault in super::omissions::faults(&topology) {
        let left = fault.change_tasks(&topology, all.clone());
        assert_eq!(left.len() + 1, all.len(), "{}", fault.id);
        assert!(!left.iter().any(|task| task.needs.iter().any(|need| fault.touches.contains(need))), "{}", fault.id);
    }
}

#[rstest]
#[case(documented())]
#[case(two())]
fn every_clause_that_the_document_demands_is_guarded(#[case] topology: Topology) {
    let unguarded: Vec<String> = unguarded(&catalogue(&topology)).iter().map(|it| it.id.to_string()).collect();
    assert!(unguarded.is_empty(), "{unguarded:?}");
}

#[test]
fn a_clause_without_a_fault_is_told() {
    let mut all = catalogue(&documented());
    all.retain(|fault| !fault.caught_by.contains("nginx-removed"));
    let unguarded: Vec<String> = unguarded(&all).iter().map(|it| it.id.to_string()).collect();
    assert_eq!(unguarded, ["C3.6"]);
}

#[test]
fn what_a_topology_cannot_show_is_not_tried() {
    let ids: BTreeSet<String> = catalogue(&two()).into_iter().map(|fault| fault.id).collect();
    let missing: Vec<String> =
        catalogue(&documented()).into_iter().map(|fault| fault.id).filter(|id| !ids.contains(id)).collect();
    assert!(missing.contains(&"route-to-wrong-peering".to_owned()), "{missing:?}");
}

#[test]
fn every_invariant_fails_for_a_fault_or_it_is_said_why_none_does() {
    let all = catalogue(&documented());
    for invariant in invariants::invariants() {
        let shown = all.iter().any(|fault| fault.caught_by.contains(invariant.id));
        let excused = UNSHOWN.iter().any(|(id, _)| *id == invariant.id);
        assert_ne!(shown, excused, "{}", invariant.id);
    }
}

#[test]
fn what_was_reported_is_shown_by_faults_of_the_catalogue() {
    let all = catalogue(&documented());
    for reported in REPORTED {
        match reported.shown {
            Shown::By(ids) => {
                assert!(!ids.is_empty(), "{}", reported.symptom);
                for id in ids {
                    assert!(all.iter().any(|fault| fault.id == *id), "{}: there is no fault {id}", reported.symptom);
                }
            }
            Shown::Not(why) => assert!(!why.is_empty(), "{}", reported.symptom),
        }
    }
}

/// A code that nothing can come to would never be named.
#[rstest]
#[case(documented())]
#[case(two())]
fn a_cause_is_of_the_topology_and_its_code_of_somebody(#[case] topology: Topology) {
    for fault in catalogue(&topology) {
        for named in fault.diagnosed.causes() {
            assert!(named.cluster.is_none_or(|index| index.0 < topology.clusters.len()), "{}: {named}", fault.id);
            if let Code::Analyzer(code) = named.code {
                assert!(
                    acrossk8s_vpc::CODES.contains(&code),
                    "{}: {code} is no code of Reachability Analyzer",
                    fault.id
                );
            }
        }
    }
}

#[test]
fn a_combination_is_diagnosed_with_the_causes_of_either() {
    let all = catalogue(&documented());
    let fault = |id: &str| all.iter().find(|fault| fault.id == id).unwrap();
    let both = combine(fault("missing-route"), fault("nested-zone"));
    assert_eq!(both.diagnosed.causes().len(), 2);
    let one = combine(fault("nested-zone"), fault("empty-back-up"));
    assert_eq!(one.diagnosed, fault("nested-zone").diagnosed);
}

/// What would take away what a fault shows is not combined with it.
#[rstest]
#[case("peering-requested-twice", "peering-deleted")]
#[case("without-deploy-probers", "without-delete-probers")]
fn faults_that_hide_one_another_are_not_combined(#[case] one: &str, #[case] other: &str) {
    let all = catalogue(&documented());
    for it in [one, other, "missing-route"] {
        assert!(among(&all, it).is_some(), "{it}");
    }
    assert!(among(&all, &format!("{one}+{other}")).is_none());
    assert!(among(&all, &format!("{one}+missing-route")).is_some());
}

#[test]
fn observations_of_broken_topologies_are_of_faults_of_the_catalogue() {
    let all = catalogue(&documented());
    for broken in BROKEN {
        let fault = all.iter().find(|fault| fault.id == broken.fault).unwrap();
        assert!(broken.caught_by.iter().copied().eq(fault.caught_by.iter().copied()), "{}", fault.id);
    }
}

#[test]
fn a_seed_draws_the_same_compatible_combinations_again() {
    let all = catalogue(&documented());
    let drawn = draw(&all, 7, 12);
    let ids = |faults: &[Fault]| faults.iter().map(|fault| fault.id.clone()).collect::<Vec<_>>();
    assert_eq!(drawn.len(), 12);
    assert_eq!(ids(&drawn), ids(&draw(&all, 7, 12)));
    assert_ne!(ids(&drawn), ids(&draw(&all, 8, 12)));
    for both in drawn {
        let parts: Vec<&Fault> = both.of.iter().map(|id| all.iter().find(|it| it.id == *id).unwrap()).collect();
        let [one, two] = parts[..] else { panic!("{} is not of two", both.id) };
        assert!(are_compatible(one, two) && are_compatible(two, one), "{}", both.id);
        assert_eq!(both.touches.len(), one.touches.len() + two.touches.len());
        assert!(one.caught_by.union(&two.caught_by).all(|id| both.caught_by.contains(id)));
    }
}
