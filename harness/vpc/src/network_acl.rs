//! Network ACLs: stateless, the lowest matching rule number decides, and no match denies.

use std::net::Ipv4Addr;

use crate::{AclEntry, Direction, NetworkAcl, Selector};

/// The entry of an ACL that decides over a packet crossing the border of its subnet; `None` is the last, implicit
/// entry, which denies.
///
/// `other` is the address outside the subnet: the source of an inbound packet, the destination of an outbound one.
/// Answers are packets like any other: the ACL must allow them towards the port that the request came from (1024 to
/// 65535). Source: VPC User Guide, "Network ACL rules" and "Ephemeral ports".
#[must_use]
pub fn deciding_entry(acl: &NetworkAcl, direction: Direction, packet: Selector, other: Ipv4Addr) -> Option<&AclEntry> {
    acl.entries
        .iter()
        .filter(|entry| entry.egress == (direction == Direction::Egress))
        .filter(|entry| entry.cidr_block.contains(&other) && packet.matches(entry.protocol, entry.ports))
        .min_by_key(|entry| entry.number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::RuleProtocol;
    use rstest::rstest;

    fn entry(number: u16, egress: bool, allow: bool, ports: (i32, i32), block: &str) -> AclEntry {
        AclEntry { number, egress, allow, protocol: RuleProtocol::Tcp, ports, cidr_block: block.parse().unwrap() }
    }

    #[rstest]
    #[case::lowest_number_first("10.2.0.1", 80, Direction::Ingress, Some((90, false)))]
    #[case::next("10.3.0.1", 80, Direction::Ingress, Some((100, true)))]
    #[case::default_deny("10.3.0.1", 81, Direction::Ingress, None)]
    #[case::other_direction("10.3.0.1", 40_000, Direction::Egress, Some((100, true)))]
    #[case::directions_are_apart("10.3.0.1", 80, Direction::Egress, None)]
    fn the_lowest_match_decides(
        #[case] other: Ipv4Addr,
        #[case] port: u16,
        #[case] direction: Direction,
        #[case] expected: Option<(u16, bool)>,
    ) {
        let acl = NetworkAcl {
            vpc: "vpc-1".into(),
            entries: vec![
                entry(100, false, true, (80, 80), "0.0.0.0/0"),
                entry(90, false, false, (80, 80), "10.2.0.0/16"),
                entry(100, true, true, (1024, 65535), "0.0.0.0/0"),
            ],
        };
        let decided = deciding_entry(&acl, direction, Selector::Tcp { port }, other);
        assert_eq!(decided.map(|entry| (entry.number, entry.allow)), expected);
    }
}
