//! Saved observations of faults, diagnosed offline. Every fault of the catalogue is held to its true cause when it is run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::{can_be_mended, conclusion, text};
use crate::diagnosis::{Cause, Conclusion, Diagnosis, causes_named, diagnose, diagnose_all};
use crate::faults::find;
use crate::invariants::fixture::{BROKEN, documented};
use crate::observation::Observation;
use crate::topology::Topology;

#[derive(Deserialize)]
struct Saved {
    topology: Topology,
    observation: Observation,
}

fn saved(fault: &str) -> Option<Saved> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/observations");
    let text = std::fs::read_to_string(folder.join(format!("{fault}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn cause(diagnosis: &Diagnosis) -> &Cause {
    match &diagnosis.conclusion {
        Conclusion::Stopped(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_saved_observation_is_diagnosed_with_its_true_cause() {
    for broken in BROKEN {
        let Saved { topology, observation } = saved(broken.fault).unwrap();
        let (causes, not_known) = causes_named(&topology, &diagnose(&topology, &observation));
        let fault = find(&documented(3).0, broken.fault).unwrap();
        assert_eq!(causes, fault.diagnosed.causes(), "{}", broken.fault);
        assert_eq!(not_known, BTreeSet::new(), "{}", broken.fault);
        for it in diagnose(&topology, &observation) {
            can_be_mended(cause(&it), &observation);
        }
    }
}

/// Ids are those of the observation, to the letter: a person pastes the commands.
#[test]
fn causes_name_resources_by_their_ids() {
    let ids = |fault: &str| -> BTreeSet<String> {
        let Saved { topology, observation } = saved(fault).unwrap();
        let found = diagnose(&topology, &observation);
        found.iter().map(|it| cause(it).resources.first().unwrap().to_string()).collect()
    };
    let one = |text: &str| BTreeSet::from([text.to_owned()]);
    // One table for each private subnet: nodes are in two of them.
    let tables = ["rtb-00000000000000102", "rtb-00000000000000103"];
    let tables: BTreeSet<_> = tables.map(|id| format!("route-table {id} of tidb-1")).into();
    assert_eq!(ids("missing-route"), tables);
    assert_eq!(ids("route-to-wrong-peering"), tables);
    assert_eq!(ids("peering-not-accepted"), one("vpc-peering-connection pcx-00000000000000102"));
    assert_eq!(ids("overlapping-cidr-blocks"), one("vpc vpc-00000000000000200 of tidb-2"));
    assert_eq!(ids("missing-security-group-rule"), one("security-group sg-00000000000000201 of tidb-2"));
    let attached = [1, 2, 3].map(|number| format!("security-group sg-00000000000000{number}03 of tidb-{number}"));
    assert_eq!(ids("rules-on-unattached-group"), attached.into());
    for fault in ["nested-zone", "missing-force-tcp", "wrong-upstreams"] {
        assert_eq!(ids(fault), one("configmap kube-system/coredns of tidb-1"));
    }
    assert_eq!(ids("same-namespace"), one("namespace tidb-ns-1 of tidb-2"));
}

#[test]
fn what_is_as_documented_has_no_cause_and_every_path_leads_through() {
    for count in [2, 3, 5] {
        let (topology, observation) = documented(count);
        assert_eq!(diagnose(&topology, &observation), []);
        let all = diagnose_all(&topology, &observation);
        assert_eq!(all.len(), observation.probes.len());
        for it in &all {
            assert_eq!(it.conclusion, Conclusion::Clear, "{it:#?}");
            assert!(it.legs.iter().all(|leg| leg.passed), "{it:#?}");
        }
    }
}

#[test]
fn the_lines_of_a_diagnosis() {
    let mut shown = Vec::new();
    for fault in ["missing-route", "missing-security-group-rule", "missing-force-tcp", "same-namespace"] {
        let Saved { topology, observation } = saved(fault).unwrap();
        let found = diagnose(&topology, &observation);
        shown.push(format!("== {fault}\n{}", text(&topology, found.first().unwrap())));
    }
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn what_was_not_read_is_not_guessed() {
    let (topology, mut observation) = documented(3);
    let kubernetes = observation.clusters[1].kubernetes.as_mut().unwrap();
    kubernetes.dns_service = None;
    observation.unread.push(crate::observation::Unread {
        cluster: Some(1),
        what: "the Service across-cluster-dns-tcp".to_owned(),
        why: "Forbidden".to_owned(),
    });
    super::fail(&mut observation, 0, 1);
    for it in diagnose(&topology, &observation) {
        let told = conclusion(&it);
        let by_name = !matches!(it.probe.request, crate::observation::ProbeRequest::Tcp { .. });
        assert_eq!(
            told.starts_with("not known: the Service across-cluster-dns-tcp of tidb-2 was not read: Forbidden"),
            by_name,
            "{told}"
        );
    }
}
