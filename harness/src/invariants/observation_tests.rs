//! What holds of every observation: no panic, no pass without having been seen, and no difference in any order.

use proptest::prelude::*;

use super::fixture::{BROKEN, documented, lose, observe};
use super::{Outcome, Root, Subject, Verdict, judge};
use crate::observation::Observation;
use crate::topology::{ClusterIndex, Pair, Topology};

#[test]
fn an_observation_survives_json() -> Result<(), serde_json::Error> {
    for (topology, observation) in BROKEN.iter().map(|broken| (broken.make)()).chain([documented(2), documented(4)]) {
        let text = serde_json::to_string(&observation)?;
        assert_eq!(serde_json::from_str::<Observation>(&text)?, observation);
        let verdicts = judge(&topology, &observation);
        let text = serde_json::to_string(&verdicts)?;
        assert_eq!(serde_json::from_str::<Vec<Verdict>>(&text)?, verdicts);
    }
    Ok(())
}

/// Members that may be missing.
const OPTIONAL: &[&str] = &[
    "accepter_cidr",
    "cluster",
    "cluster_config",
    "cluster_security_group",
    "coredns_backup",
    "corefile",
    "dns_service",
    "eks",
    "hostname",
    "instance",
    "kube_dns",
    "kubernetes",
    "left_after_check",
    "nginx",
    "nginx_service",
    "remote",
    "requester_cidr",
    "resolv_conf",
    "seen_source",
    "service_cidr",
    "subdomain",
];

/// Removes from a JSON value what the choices say: members that may be missing become null, elements go.
fn remove(value: &mut serde_json::Value, choices: &mut impl Iterator<Item = bool>) {
    match value {
        serde_json::Value::Array(items) => {
            items.retain(|_| choices.next().unwrap_or(true));
            items.iter_mut().for_each(|item| remove(item, choices));
        }
        serde_json::Value::Object(members) => {
            let is_pod = members.contains_key("image");
            for (name, member) in members.iter_mut() {
                // Ports are tuples, of which no part may be missing.
                if name == "ports" {
                    continue;
                }
                // The VPC of EKS is a name, the VPC of a cluster is an object that may be missing; a node has an address.
                let optional = match name.as_str() {
                    "vpc" => !member.is_string(),
                    "address" => is_pod,
                    name => OPTIONAL.contains(&name),
                };
                if choices.next().unwrap_or(true) || !optional {
                    remove(member, choices);
                } else {
                    *member = serde_json::Value::Null;
                }
            }
        }
        _ => {}
    }
}

fn permuted(index: ClusterIndex, order: &[usize]) -> ClusterIndex {
    ClusterIndex(order[index.0])
}

fn permute_subject(subject: Subject, order: &[usize]) -> Subject {
    match subject {
        Subject::All => Subject::All,
        Subject::Cluster { cluster } => Subject::cluster(permuted(cluster, order)),
        Subject::Pair { pair } => {
            Pair::of(permuted(pair.requester, order), permuted(pair.accepter, order)).map_or(subject, Subject::pair)
        }
        Subject::Direction { from, to } => Subject::direction(permuted(from, order), permuted(to, order)),
    }
}

/// What a verdict says without the words, in which clusters are numbered.
fn essence(verdicts: &[Verdict], order: &[usize]) -> Vec<(String, Subject, String, Vec<Root>)> {
    let mut essence: Vec<_> = verdicts
        .iter()
        // The document's roles go by the order itself.
        .filter(|verdict| verdict.invariant != "peering-roles")
        .map(|verdict| {
            let (outcome, mut by) = match &verdict.outcome {
                Outcome::Pass => ("pass", Vec::new()),
                Outcome::Fail { .. } => ("fail", Vec::new()),
                Outcome::Blocked { by, .. } => ("blocked", by.clone()),
                Outcome::NotApplicable { .. } => ("not applicable", Vec::new()),
            };
            for root in &mut by {
                root.subject = permute_subject(root.subject, order);
            }
            by.sort();
            (verdict.invariant.to_string(), permute_subject(verdict.subject, order), outcome.to_owned(), by)
        })
        .collect();
    essence.sort();
    essence
}

/// The same topology and observation with its clusters in another order: cluster `index` becomes `order[index]`.
fn permute(topology: &Topology, observation: &Observation, order: &[usize]) -> (Topology, Observation) {
    let (mut topology_after, mut after) = (topology.clone(), observation.clone());
    for (index, place) in order.iter().enumerate() {
        topology_after.clusters[*place] = topology.clusters[index].clone();
        after.clusters[*place] = observation.clusters[index].clone();
    }
    for probe in &mut after.probes {
        (probe.from, probe.to) = (order[probe.from], order[probe.to]);
    }
    (topology_after, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is missing, there is a verdict for each subject.
    #[test]
    fn judging_any_part_of_an_observation_gives_every_verdict(
        fault in 0..=BROKEN.len(),
        kept in 0.5..1.0f64,
        seed in any::<u64>(),
    ) {
        use rand::{Rng as _, SeedableRng as _};
        let (topology, observation) = BROKEN.get(fault).map_or_else(|| documented(3), |broken| (broken.make)());
        let whole = judge(&topology, &observation);
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let mut choices = std::iter::repeat_with(|| random.random_bool(kept));
        let mut json = serde_json::to_value(&observation).map_err(|error| TestCaseError::fail(error.to_string()))?;
        remove(&mut json, &mut choices);
        let part: Observation =
            serde_json::from_value(json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(judge(&topology, &part).len(), whole.len());
    }

    /// Taking out parts that may be missing never turns a failed judgement into one in which everything passes.
    #[test]
    fn removed_parts_never_make_it_pass(
        fault in 0..BROKEN.len(),
        drop in proptest::collection::vec(0usize..14, 1..6),
        cluster in 0usize..3,
    ) {
        let (topology, mut observation) = (BROKEN[fault].make)();
        for part in drop {
            let it = &mut observation.clusters[cluster];
            match part {
                0..=6 => lose(it, part),
                7 => it.interfaces.clear(),
                8 => it.load_balancers.clear(),
                9 => it.cluster_config = None,
                10 => it.coredns_backup = None,
                11 => observation.peerings.clear(),
                12 => observation.probes.clear(),
                _ => observation.clusters.truncate(cluster + 1),
            }
            if observation.clusters.len() <= cluster {
                break;
            }
        }
        let verdicts = judge(&topology, &observation);
        prop_assert!(verdicts.iter().any(|verdict| verdict.outcome.is_fail()));
        for verdict in &verdicts {
            if let Outcome::Blocked { by, .. } = &verdict.outcome {
                for root in by {
                    let fails = verdicts.iter().any(|it| {
                        it.invariant == root.invariant && it.subject == root.subject && it.outcome.is_fail()
                    });
                    prop_assert!(fails, "{} is blocked by {} which does not fail", verdict.invariant, root);
                }
            }
        }
    }

    /// The order of the clusters is of no account, but for who requests a peering.
    #[test]
    fn permuted_clusters_get_the_permuted_verdicts(
        fault in 0..=BROKEN.len(),
        order in Just(vec![0usize, 1, 2]).prop_shuffle(),
    ) {
        let (topology, observation) = BROKEN.get(fault).map_or_else(|| documented(3), |broken| (broken.make)());
        let (topology_after, after) = permute(&topology, &observation, &order);
        let before = judge(&topology, &observation);
        prop_assert_eq!(essence(&before, &order), essence(&judge(&topology_after, &after), &[0, 1, 2]));
    }

    /// However many clusters there are, each pair and direction has its verdict.
    #[test]
    fn every_size_is_judged(count in 2usize..9) {
        let (topology, observation) = documented(count);
        prop_assert_eq!(&observe(&topology), &observation);
        let verdicts = judge(&topology, &observation);
        let of = |id: &str| verdicts.iter().filter(|verdict| verdict.invariant == id).count();
        prop_assert_eq!(of("peering-exists"), count * (count - 1) / 2);
        prop_assert_eq!(of("http-to-peer"), count * (count - 1));
        prop_assert_eq!(of("cluster-active"), count);
        prop_assert!(verdicts.iter().all(|verdict| verdict.outcome.is_pass()));
    }
}
