//! Several deviations at once: whatever they are, the cause is one of them.

use std::collections::BTreeSet;

use acrossk8s_vpc::PeeringState;
use proptest::prelude::*;

use super::fail;
use crate::diagnosis::{Conclusion, diagnose, diagnose_all, told};
use crate::invariants::fixture::{BROKEN, documented, lose};
use crate::observation::Observation;
use crate::topology::Topology;

type Deviate = fn(&mut Topology, &mut Observation);

/// What may be wrong between cluster 1 and cluster 2, with the codes that it can come out as.
const DEVIATIONS: &[(&[&str], Deviate)] = &[
    (&["NO_ROUTE_TO_DESTINATION"], |_, o| {
        let peer = "10.2.0.0/16".parse().unwrap();
        o.clusters[0].route_tables.iter_mut().for_each(|table| table.routes.retain(|it| it.destination != peer));
    }),
    (&["NO_ROUTE_TO_DESTINATION"], |_, o| {
        let peer = "10.1.0.0/16".parse().unwrap();
        o.clusters[1].route_tables.iter_mut().for_each(|table| table.routes.retain(|it| it.destination != peer));
    }),
    (&["BAD_STATE_ROUTE"], |_, o| o.peerings[0].state = PeeringState::PendingAcceptance),
    (&["BAD_STATE_ROUTE", "PCX_NOT_ACTIVE"], |_, o| o.peerings[0].state = PeeringState::Failed),
    (&["ENI_SG_RULES_MISMATCH"], |_, o| o.clusters[1].security_groups[0].ingress.clear()),
    (&["ENI_SG_RULES_MISMATCH"], |_, o| o.clusters[0].security_groups.iter_mut().for_each(|it| it.egress.clear())),
    (&["SUBNET_ACL_RESTRICTION"], |_, o| o.clusters[1].network_acls[0].entries.clear()),
    (&["COREFILE_FORCE_TCP_MISSING"], |_, o| edit(o, " {\n        force_tcp\n    }", "")),
    (&["COREFILE_UPSTREAMS_MISMATCH"], |_, o| edit(o, ".200", ".201")),
    (&["COREFILE_ZONE_MISSING"], |_, o| edit(o, "tidb-ns-2", "tidb-ns-9")),
    (&["COREFILE_REFUSED"], |_, o| edit(o, "cache 30", "cash 30")),
    (&["COREFILE_RELOAD_MISSING"], |_, o| edit(o, "    reload\n", "")),
    (&["BAD_STATE"], |_, o| o.clusters[1].load_balancers[0].state = "provisioning".to_owned()),
    (&["ELBV2_LISTENER_HAS_NO_TG"], |_, o| o.clusters[1].load_balancers[0].listeners[0].targets.clear()),
    (&["DNS_SERVICE_WITHOUT_ENDPOINTS"], |_, o| {
        o.clusters[1].kubernetes.as_mut().unwrap().dns_service.as_mut().unwrap().ready_endpoints.clear();
    }),
    (&["POD_NOT_READY"], |_, o| o.clusters[1].kubernetes.as_mut().unwrap().nginx.as_mut().unwrap().ready = false),
    (&["NAMESPACE_NOT_UNIQUE"], |topology, _| topology.clusters[1].namespace = topology.clusters[0].namespace.clone()),
];

fn edit(observation: &mut Observation, from: &str, to: &str) {
    let corefile = observation.clusters[0].kubernetes.as_mut().unwrap().corefile.as_mut().unwrap();
    *corefile = corefile.replace(from, to);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_cause_is_one_of_the_deviations(
        chosen in proptest::sample::subsequence((0..DEVIATIONS.len()).collect::<Vec<_>>(), 1..6),
    ) {
        let (mut topology, mut observation) = documented(3);
        let mut possible = BTreeSet::new();
        for (codes, deviate) in chosen.iter().map(|at| &DEVIATIONS[*at]) {
            deviate(&mut topology, &mut observation);
            possible.extend(codes.iter().copied());
        }
        fail(&mut observation, 0, 1);
        for it in diagnose(&topology, &observation) {
            match &it.conclusion {
                Conclusion::Stopped(cause) => {
                    prop_assert!(possible.contains(cause.code.as_str()), "{possible:?}: {cause:#?}");
                    prop_assert!(!cause.resources.is_empty());
                    prop_assert!(!cause.mend.commands.is_empty() || cause.mend.advice.is_some());
                }
                // A probe past DNS may have a clear way when only DNS is wrong.
                Conclusion::Unknown { reason } => prop_assert!(reason.starts_with("nothing that was observed"), "{reason}"),
                Conclusion::Clear => prop_assert!(false, "a failed probe is never called clear"),
            }
        }
        for it in diagnose_all(&topology, &observation) {
            told(&topology, &it);
        }
    }

    /// Parts that are missing make a diagnosis less sure, and never wrong: causes are those that the whole gives, or
    /// none. Kubernetes objects that are gone without a word of why count as not existing, so they stay.
    #[test]
    fn what_is_missing_is_never_made_up(
        fault in 0..BROKEN.len(),
        drop in proptest::collection::vec(0usize..7, 1..4),
        cluster in 0usize..3,
    ) {
        let (topology, mut observation) = (BROKEN[fault].make)();
        let codes = |observation: &Observation| -> BTreeSet<&'static str> {
            let found = diagnose(&topology, observation);
            found.iter().filter_map(|it| match &it.conclusion {
                Conclusion::Stopped(cause) => Some(cause.code.as_str()),
                _ => None,
            }).collect()
        };
        let whole = codes(&observation);
        for part in drop {
            lose(&mut observation.clusters[cluster], part);
        }
        let part = codes(&observation);
        prop_assert!(part.is_subset(&whole), "{part:?} of {whole:?}");
    }
}
