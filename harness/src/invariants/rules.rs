//! What security group rules and network ACL entries let through.
//!
//! One rule has to cover the whole block: several that do so only together are not added up.

use acrossk8s_vpc::{AclEntry, RulePeer, RuleProtocol};
use ipnet::Ipv4Net;

use crate::observation::{Rule, SecurityGroup};

/// Whether a rule speaks of every protocol and port.
fn is_all(rule: &Rule) -> bool {
    rule.protocol == "-1"
}

/// Whether a rule speaks of a TCP port.
fn has_tcp_port(rule: &Rule, port: u16) -> bool {
    let port = i32::from(port);
    let in_range = rule.from_port == -1 || (rule.from_port <= port && port <= rule.to_port);
    is_all(rule) || matches!(rule.protocol.as_str(), "tcp" | "6") && in_range
}

fn covers(rule: &Rule, block: Ipv4Net) -> bool {
    matches!(rule.peer, RulePeer::Cidr(cidr) if cidr.contains(&block))
}

/// Whether rules let all traffic with every address of a block through.
pub(super) fn allow_all(rules: &[Rule], block: Ipv4Net) -> bool {
    rules.iter().any(|rule| is_all(rule) && covers(rule, block))
}

/// Whether rules have the documented one: all traffic, with exactly this block.
pub(super) fn have_documented(rules: &[Rule], block: Ipv4Net) -> bool {
    rules.iter().any(|rule| is_all(rule) && matches!(rule.peer, RulePeer::Cidr(cidr) if cidr == block))
}

/// Whether an interface with these groups takes connections to a TCP port from every address of a block. An interface
/// without any group, as that of a load balancer may be, takes everything.
pub(super) fn groups_take_tcp(groups: &[&SecurityGroup], block: Ipv4Net, port: u16) -> bool {
    groups.is_empty()
        || groups.iter().flat_map(|group| &group.ingress).any(|rule| has_tcp_port(rule, port) && covers(rule, block))
}

/// Why a network ACL does not let all traffic with a block through in one direction, if it does not.
///
/// Source: VPC user guide, "Network ACLs": the lowest matching number decides, and no match denies.
pub(super) fn acl_stops(entries: &[AclEntry], egress: bool, block: Ipv4Net) -> Option<String> {
    let mut entries: Vec<&AclEntry> = entries.iter().filter(|entry| entry.egress == egress).collect();
    entries.sort_by_key(|entry| entry.number);
    for entry in entries {
        let overlaps = entry.cidr_block.contains(&block) || block.contains(&entry.cidr_block);
        if !entry.allow && overlaps {
            return Some(format!("entry {} denies {}", entry.number, entry.cidr_block));
        }
        if entry.allow && entry.protocol == RuleProtocol::All && entry.cidr_block.contains(&block) {
            return None;
        }
    }
    Some(format!("no entry allows all traffic with {block}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use rstest::rstest;

    use super::*;

    fn rule(protocol: &str, from_port: i32, to_port: i32, cidr: &str) -> Rule {
        let peer = RulePeer::Cidr(cidr.parse().unwrap());
        Rule { protocol: protocol.to_owned(), from_port, to_port, peer, description: None }
    }

    #[rstest]
    #[case("-1", -1, -1, "10.2.0.0/16", true)]
    #[case("tcp", 50, 60, "10.2.0.0/16", true)]
    #[case("6", 53, 53, "0.0.0.0/0", true)]
    #[case("tcp", -1, -1, "10.0.0.0/8", true)]
    #[case("tcp", 54, 60, "10.2.0.0/16", false)]
    #[case("udp", 53, 53, "10.2.0.0/16", false)]
    #[case("tcp", 53, 53, "10.2.0.0/17", false)]
    fn tcp(#[case] protocol: &str, #[case] from: i32, #[case] to: i32, #[case] cidr: &str, #[case] taken: bool) {
        let ingress = vec![rule(protocol, from, to, cidr)];
        let group =
            SecurityGroup { id: "sg-1".into(), group_name: "g".into(), name: None, ingress, egress: Vec::new() };
        assert_eq!(groups_take_tcp(&[&group], "10.2.0.0/16".parse().unwrap(), 53), taken);
    }

    fn entry(number: u16, allow: bool, protocol: RuleProtocol, cidr: &str) -> AclEntry {
        AclEntry { number, egress: false, allow, protocol, ports: (0, 65535), cidr_block: cidr.parse().unwrap() }
    }

    #[rstest]
    #[case(&[entry(100, true, RuleProtocol::All, "0.0.0.0/0")], None)]
    #[case(&[], Some("no entry allows all traffic with 10.2.0.0/16"))]
    #[case(&[entry(100, true, RuleProtocol::All, "0.0.0.0/0"), entry(90, false, RuleProtocol::Tcp, "10.2.3.0/24")],
        Some("entry 90 denies 10.2.3.0/24"))]
    #[case(&[entry(90, true, RuleProtocol::All, "10.2.0.0/16"), entry(100, false, RuleProtocol::All, "0.0.0.0/0")], None)]
    #[case(&[entry(90, true, RuleProtocol::Tcp, "10.2.0.0/16")], Some("no entry allows all traffic with 10.2.0.0/16"))]
    #[case(&[entry(90, false, RuleProtocol::All, "10.3.0.0/16"), entry(100, true, RuleProtocol::All, "10.0.0.0/8")], None)]
    fn acl(#[case] entries: &[AclEntry], #[case] stops: Option<&str>) {
        assert_eq!(acl_stops(entries, false, "10.2.0.0/16".parse().unwrap()).as_deref(), stops);
    }
}
