//! What holds for every topology.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use acrossk8s_vpc::*;
use common::*;
use proptest::prelude::*;

const NODES: [(&str, &str); 8] = [
    ("vpc-1", "10.1.96.10"),
    ("vpc-1", "10.1.96.31"),
    ("vpc-1", "10.1.128.10"),
    ("vpc-1", "10.1.128.31"),
    ("vpc-2", "10.2.96.10"),
    ("vpc-2", "10.2.96.31"),
    ("vpc-2", "10.2.128.10"),
    ("vpc-2", "10.2.128.31"),
];

/// One thing that a connection from the first VPC to the load balancer of the second cannot do without.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    RouteThere,
    RouteFromLoadBalancer,
    RouteFromTarget,
    Peering,
    Egress,
    Ingress,
    Listener,
    Target,
    Client,
    LoadBalancerAddress,
}

const PARTS: [Part; 10] = [
    Part::RouteThere,
    Part::RouteFromLoadBalancer,
    Part::RouteFromTarget,
    Part::Peering,
    Part::Egress,
    Part::Ingress,
    Part::Listener,
    Part::Target,
    Part::Client,
    Part::LoadBalancerAddress,
];

/// A topology of nothing but what is needed.
fn minimal() -> Fabric {
    let mut fabric = fabric();
    listener(&mut fabric).targets.remove(0);
    routes(&mut fabric, "rtb-1a").retain(|route| route.destination == "10.2.0.0/16".parse().unwrap());
    for table in ["rtb-2a", "rtb-2b"] {
        routes(&mut fabric, table).retain(|route| !matches!(route.target, RouteTarget::NatGateway(_)));
    }
    fabric.security_groups.get_mut("sg-1").unwrap().ingress.clear();
    let group = fabric.security_groups.get_mut("sg-2").unwrap();
    group.egress.clear();
    group.ingress = vec![allow(RuleProtocol::Tcp, (30053, 30053), "10.1.0.0/16")];
    fabric
}

fn remove(fabric: &mut Fabric, part: Part) {
    match part {
        Part::RouteThere => routes(fabric, "rtb-1a").clear(),
        Part::RouteFromLoadBalancer => routes(fabric, "rtb-2a").retain(|route| route.target == RouteTarget::Local),
        Part::RouteFromTarget => routes(fabric, "rtb-2b").retain(|route| route.target == RouteTarget::Local),
        Part::Peering => fabric.peerings.get_mut("pcx-12").unwrap().state = PeeringState::Deleted,
        Part::Egress => fabric.security_groups.get_mut("sg-1").unwrap().egress.clear(),
        Part::Ingress => fabric.security_groups.get_mut("sg-2").unwrap().ingress.clear(),
        Part::Listener => load_balancer(fabric).listeners.clear(),
        Part::Target => load_balancer(fabric).listeners.iter_mut().for_each(|listener| listener.targets.clear()),
        Part::Client => fabric.interfaces.get_mut("eni-1a").unwrap().addresses.clear(),
        Part::LoadBalancerAddress => fabric.interfaces.get_mut("eni-nlb-a").unwrap().addresses.clear(),
    }
}

proptest! {
    #[test]
    fn any_missing_part_breaks_the_path(missing in prop::sample::subsequence(&PARTS[..], 0..4), port in 1024u16..) {
        let mut fabric = minimal();
        for part in &missing {
            remove(&mut fabric, *part);
        }
        let trace = trace_connection(&fabric, &to_load_balancer(port));
        prop_assert_eq!(trace.outcome.is_ok(), missing.is_empty(), "{:?}: {}", missing, verdict(&trace));
    }

    /// With everything open, whoever reaches can be reached.
    #[test]
    fn open_networks_are_symmetric(
        from in 0usize..8, to in 0usize..8, peered in any::<bool>(), tables in prop::collection::vec(any::<bool>(), 4),
    ) {
        let mut fabric = fabric();
        if !peered {
            fabric.peerings.get_mut("pcx-12").unwrap().state = PeeringState::Deleted;
        }
        for (table, keep) in ["rtb-1a", "rtb-1b", "rtb-2a", "rtb-2b"].into_iter().zip(tables) {
            if !keep {
                routes(&mut fabric, table).pop();
            }
        }
        for group in fabric.security_groups.values_mut() {
            group.ingress = vec![allow(RuleProtocol::All, (-1, -1), ANY)];
            group.egress = group.ingress.clone();
        }
        let ((vpc, from), (other_vpc, to)) = (NODES[from], NODES[to]);
        let there = trace(&fabric, &tcp(vpc, from, to, 80));
        let back = trace(&fabric, &tcp(other_vpc, to, from, 80));
        prop_assert_eq!(there.outcome.is_ok(), back.outcome.is_ok(), "{} / {}", verdict(&there), verdict(&back));
    }

    /// Adding an allow rule never closes a path, and taking one away never opens one.
    #[test]
    fn rules_only_open(
        from in 0usize..8, to in 0usize..8, port in 1u16..100,
        rules in prop::collection::vec((1u8..3, any::<bool>(), 0i32..100, 0i32..100, 0u8..4), 0..6), extra in 0usize..6,
    ) {
        let ((vpc, from), (_, to)) = (NODES[from], NODES[to]);
        let flow = tcp(vpc, from, to, port);
        let with = |skip: Option<usize>| {
            let mut fabric = fabric();
            for group in fabric.security_groups.values_mut() {
                group.ingress.clear();
                group.egress.clear();
            }
            for (_, (vpc, ingress, first, last, block)) in rules.iter().enumerate().filter(|(at, _)| Some(*at) != skip) {
                let rule = allow(RuleProtocol::Tcp, (*first, *last), &format!("10.{block}.0.0/16"));
                let group = fabric.security_groups.get_mut(&format!("sg-{vpc}")).unwrap();
                if *ingress { group.ingress.push(rule) } else { group.egress.push(rule) }
            }
            trace(&fabric, &flow).outcome.is_ok()
        };
        prop_assert!(with(None) || !with(Some(extra)));
    }

    /// The index gives what a search through all interfaces gives.
    #[test]
    fn the_index_agrees_with_a_search(octets in prop::array::uniform4(0u8..=255), node in 0usize..8, pick in any::<bool>()) {
        let fabric = fabric();
        let address = if pick { ip(NODES[node].1) } else { [10, octets[1] % 3, octets[2], octets[3]].into() };
        for vpc in ["vpc-1", "vpc-2", "vpc-3"] {
            let searched = fabric.interfaces.iter().find(|(_, interface)| {
                fabric.subnets[&interface.subnet].vpc == vpc && interface.addresses.contains(&address)
            });
            let prepared = Prepared::new(fabric.clone().into());
            prop_assert_eq!(prepared.interface(vpc, address).map(|(id, _)| id), searched.map(|(id, _)| id.as_str()));
        }
    }
}
