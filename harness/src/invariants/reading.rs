//! Whether everything could be read at all.

use super::Invariant;
use super::check::{Finding, none_wrong};
use super::verdict::Subject;
use crate::document::{ClauseId, Level};
use crate::observation::{self, Observation};
use crate::topology::Topology;

/// Id of the invariant that explains whatever was not seen.
pub(super) const COMPLETE: &str = "observation-complete";

pub(super) const INVARIANTS: &[Invariant] = &[Invariant {
    id: COMPLETE,
    title: "AWS, Kubernetes and every probe answered",
    level: Level::Should,
    clauses: &[ClauseId::beyond(0, 3)],
    causes: &[],
    check: complete,
}];

fn complete(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let explanation = "What could not be read cannot be judged: everything that depends on it is blocked.";
    let remedy = "Mend what is named in the evidence (credentials and their permissions, endpoints, kubeconfig) and \
                  observe again.";
    let unread = |cluster: Option<usize>| {
        let entries = observation.unread.iter().filter(move |it| it.cluster == cluster);
        entries.map(|it| format!("{}: {}", it.what, it.why)).collect::<Vec<_>>()
    };
    let mut whole = unread(None);
    if observation.version != observation::VERSION {
        let (has, knows) = (observation.version, observation::VERSION);
        whole.push(format!("the observation has version {has} of its form, and this program knows version {knows}"));
    }
    let strange = observation.unread.iter().filter(|it| it.cluster.is_some_and(|it| it >= topology.clusters.len()));
    whole.extend(strange.map(|it| format!("{} of a cluster that is not of the topology: {}", it.what, it.why)));
    let all = Finding { subject: Subject::All, judged: none_wrong(whole, explanation, remedy) };
    let clusters = topology.indices().map(|index| {
        let mut wrong = unread(Some(index.0));
        if observation.clusters.get(index.0).is_none() {
            wrong.push(format!("the observation holds nothing of {}", topology.cluster(index).name));
        }
        Finding { subject: Subject::cluster(index), judged: none_wrong(wrong, explanation, remedy) }
    });
    std::iter::once(all).chain(clusters).collect()
}
