//! Which route table a subnet obeys, which of its routes a packet takes, and whether that route carries anything.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Fabric, PeeringState, Route, RouteTable, RouteTarget};

/// State of a route as `DescribeRouteTables` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteState {
    /// Its target takes packets.
    Active,
    /// Its target does not: packets are dropped, and no shorter prefix is tried in its place.
    Blackhole,
}

/// The route table that decides for a subnet, with its id: the explicitly associated one, else the VPC's main one.
///
/// `None` when the subnet, its VPC or the table is not in the fabric.
/// Source: VPC User Guide, "Subnet route tables".
#[must_use]
pub fn effective_route_table<'f>(fabric: &'f Fabric, subnet: &str) -> Option<(&'f str, &'f RouteTable)> {
    let subnet = fabric.subnets.get(subnet)?;
    let id = match &subnet.route_table {
        Some(explicit) => explicit,
        None => &fabric.vpcs.get(&subnet.vpc)?.main_route_table,
    };
    fabric.route_tables.get_key_value(id).map(|(id, table)| (id.as_str(), table))
}

/// The route that a packet to `destination` takes: the one with the longest prefix that contains the address.
///
/// Two routes with one destination do not exist on AWS; here the `local` one, then the first, wins.
/// Source: VPC User Guide, "Route priority".
#[must_use]
pub fn longest_prefix(table: &RouteTable, destination: Ipv4Addr) -> Option<&Route> {
    let mut best: Option<&Route> = None;
    for route in table.routes.iter().filter(|route| route.destination.contains(&destination)) {
        let rank = |route: &Route| (route.destination.prefix_len(), route.target == RouteTarget::Local);
        if best.is_none_or(|best| rank(route) > rank(best)) {
            best = Some(route);
        }
    }
    best
}

/// Whether a route carries packets. A route to a peering connection does only while that is `active`; the state of
/// gateways is not part of a [`Fabric`], so routes to them count as active.
///
/// Source: VPC Peering Guide: a route to a peering connection that is not active has the state `blackhole`.
#[must_use]
pub fn route_state(fabric: &Fabric, route: &Route) -> RouteState {
    match &route.target {
        RouteTarget::Peering(id) => match fabric.peerings.get(id).map(|peering| peering.state) {
            Some(PeeringState::Active) => RouteState::Active,
            _ => RouteState::Blackhole,
        },
        RouteTarget::Local | RouteTarget::InternetGateway(_) | RouteTarget::NatGateway(_) | RouteTarget::Other(_) => {
            RouteState::Active
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::{Peering, Subnet, Vpc};
    use ipnet::Ipv4Net;
    use proptest::prelude::*;
    use rstest::rstest;

    fn route(destination: &str, target: RouteTarget) -> Route {
        Route { destination: destination.parse().unwrap(), target }
    }

    fn table() -> RouteTable {
        RouteTable {
            vpc: "vpc-1".into(),
            routes: vec![
                route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into())),
                route("10.1.0.0/16", RouteTarget::Local),
                route("10.2.0.0/16", RouteTarget::Peering("pcx-12".into())),
                route("10.2.64.0/19", RouteTarget::Peering("pcx-other".into())),
            ],
        }
    }

    #[rstest]
    #[case::local("10.1.3.4", "10.1.0.0/16")]
    #[case::peer("10.2.0.1", "10.2.0.0/16")]
    #[case::more_specific("10.2.64.1", "10.2.64.0/19")]
    #[case::default("10.3.0.1", "0.0.0.0/0")]
    fn the_longest_prefix_wins(#[case] destination: Ipv4Addr, #[case] expected: Ipv4Net) {
        assert_eq!(longest_prefix(&table(), destination).unwrap().destination, expected);
    }

    #[test]
    fn without_a_matching_prefix_there_is_no_route() {
        let mut table = table();
        table.routes.remove(0);
        assert_eq!(longest_prefix(&table, [10, 3, 0, 1].into()), None);
    }

    #[rstest]
    #[case(PeeringState::InitiatingRequest, RouteState::Blackhole)]
    #[case(PeeringState::PendingAcceptance, RouteState::Blackhole)]
    #[case(PeeringState::Provisioning, RouteState::Blackhole)]
    #[case(PeeringState::Active, RouteState::Active)]
    #[case(PeeringState::Deleting, RouteState::Blackhole)]
    #[case(PeeringState::Deleted, RouteState::Blackhole)]
    #[case(PeeringState::Rejected, RouteState::Blackhole)]
    #[case(PeeringState::Expired, RouteState::Blackhole)]
    #[case(PeeringState::Failed, RouteState::Blackhole)]
    fn a_route_is_as_good_as_its_peering(#[case] state: PeeringState, #[case] expected: RouteState) {
        let mut fabric = Fabric::default();
        let peering = Peering { requester: "vpc-1".into(), accepter: "vpc-2".into(), state };
        fabric.peerings.insert("pcx-12".into(), peering);
        let to = |id: &str| route("10.2.0.0/16", RouteTarget::Peering(id.into()));
        assert_eq!(route_state(&fabric, &to("pcx-12")), expected);
        assert_eq!(route_state(&fabric, &to("pcx-gone")), RouteState::Blackhole);
    }

    #[rstest]
    #[case(RouteTarget::Local)]
    #[case(RouteTarget::InternetGateway("igw-1".into()))]
    #[case(RouteTarget::NatGateway("nat-1".into()))]
    #[case(RouteTarget::Other("tgw-1".into()))]
    fn other_targets_count_as_active(#[case] target: RouteTarget) {
        assert_eq!(route_state(&Fabric::default(), &route("0.0.0.0/0", target)), RouteState::Active);
    }

    #[rstest]
    #[case::explicit(Some("rtb-private"), Some("rtb-private"))]
    #[case::main(None, Some("rtb-main"))]
    #[case::dangling(Some("rtb-gone"), None)]
    fn an_explicit_association_beats_the_main_table(#[case] explicit: Option<&str>, #[case] expected: Option<&str>) {
        let mut fabric = Fabric::default();
        let cidr: Ipv4Net = "10.1.0.0/16".parse().unwrap();
        fabric.vpcs.insert(
            "vpc-1".into(),
            Vpc { region: "us-west-1".into(), cidr_blocks: vec![cidr], main_route_table: "rtb-main".into() },
        );
        fabric.route_tables.insert("rtb-main".into(), table());
        fabric.route_tables.insert("rtb-private".into(), table());
        fabric.subnets.insert(
            "subnet-1".into(),
            Subnet {
                vpc: "vpc-1".into(),
                cidr_block: cidr,
                availability_zone: "us-west-1a".into(),
                route_table: explicit.map(Into::into),
                network_acl: None,
            },
        );
        assert_eq!(effective_route_table(&fabric, "subnet-1").map(|(id, _)| id), expected);
        assert_eq!(effective_route_table(&fabric, "subnet-gone"), None);
    }

    proptest! {
        #[test]
        fn longest_prefix_agrees_with_trying_every_length(
            blocks in prop::collection::vec((any::<[u8; 2]>(), 0u8..=32), 0..24), address in any::<[u8; 2]>(),
        ) {
            let routes: Vec<Route> = blocks
                .iter()
                .map(|(bits, length)| Route {
                    destination: Ipv4Net::new([10, 0, bits[0] & 3, bits[1]].into(), *length).unwrap().trunc(),
                    target: RouteTarget::Other("x".into()),
                })
                .collect();
            let destination = Ipv4Addr::from([10, 0, address[0] & 3, address[1]]);
            let naive = (0..=32u8).rev().find_map(|length| {
                let block = Ipv4Net::new(destination, length).unwrap().trunc();
                routes.iter().find(|route| route.destination == block).map(|route| route.destination)
            });
            let table = RouteTable { vpc: "vpc-1".into(), routes };
            prop_assert_eq!(longest_prefix(&table, destination).map(|route| route.destination), naive);
        }
    }
}
