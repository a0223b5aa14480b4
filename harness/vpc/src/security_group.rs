//! Security groups: allow rules only, united over all groups of an interface, stateful.

use std::net::Ipv4Addr;

use crate::{Direction, Fabric, Interface, Rule, RulePeer, Selector};

/// The other end of a packet, as the rules of an interface can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other<'a> {
    /// Its address.
    pub address: Ipv4Addr,
    /// The security groups on its interface that a rule can refer to.
    pub groups: &'a [String],
    /// The security groups on its interface that a rule refers to in vain: the packet comes from another region, or
    /// through a load balancer. Only used to say why nothing matched.
    pub lost_groups: &'a [String],
}

/// What the security groups of an interface say of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupVerdict<'f> {
    /// The interface carries no security group: nothing is filtered.
    Unfiltered,
    /// A rule allows it.
    Allowed {
        /// The security group whose rule it is.
        group: &'f str,
        /// The first rule that allows it.
        rule: &'f Rule,
    },
    /// No rule allows it, but one would if its reference to another security group could be resolved here.
    ReferenceLost {
        /// The security group whose rule it is.
        group: &'f str,
        /// The security group it refers to.
        referenced: &'f str,
    },
    /// No rule allows it.
    Denied,
}

impl GroupVerdict<'_> {
    /// Whether the packet passes.
    #[must_use]
    pub fn allows(&self) -> bool {
        matches!(self, GroupVerdict::Unfiltered | GroupVerdict::Allowed { .. })
    }
}

/// Holds a packet against every rule of every security group of an interface: one match is enough.
///
/// Only the first packet of a flow is held against the rules: security groups are stateful, so the answers to an
/// allowed packet pass whatever the rules say. A group that is not in the fabric has no rules.
/// Source: VPC User Guide, "Security group basics" and "Security group connection tracking".
#[must_use]
pub fn evaluate_groups<'f>(
    fabric: &'f Fabric,
    interface: &Interface,
    direction: Direction,
    packet: Selector,
    other: Other<'_>,
) -> GroupVerdict<'f> {
    if interface.security_groups.is_empty() {
        return GroupVerdict::Unfiltered;
    }
    let mut lost = None;
    for id in &interface.security_groups {
        let Some((id, group)) = fabric.security_groups.get_key_value(id) else { continue };
        let rules = match direction {
            Direction::Ingress => &group.ingress,
            Direction::Egress => &group.egress,
        };
        for rule in rules.iter().filter(|rule| packet.matches(rule.protocol, rule.ports)) {
            match &rule.peer {
                RulePeer::Cidr(block) if block.contains(&other.address) => {
                    return GroupVerdict::Allowed { group: id, rule };
                }
                RulePeer::Group(referenced) if other.groups.contains(referenced) => {
                    return GroupVerdict::Allowed { group: id, rule };
                }
                RulePeer::Group(referenced) if other.lost_groups.contains(referenced) => {
                    lost.get_or_insert(GroupVerdict::ReferenceLost { group: id, referenced });
                }
                RulePeer::Cidr(_) | RulePeer::Group(_) => {}
            }
        }
    }
    lost.unwrap_or(GroupVerdict::Denied)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::{RuleProtocol, SecurityGroup};
    use proptest::prelude::*;
    use rstest::rstest;

    fn tcp(ports: (i32, i32), peer: RulePeer) -> Rule {
        Rule { protocol: RuleProtocol::Tcp, ports, peer }
    }

    fn cidr(block: &str) -> RulePeer {
        RulePeer::Cidr(block.parse().unwrap())
    }

    fn group(ingress: Vec<Rule>) -> SecurityGroup {
        SecurityGroup { vpc: "vpc-1".into(), ingress, egress: vec![] }
    }

    fn interface(groups: &[&str]) -> Interface {
        Interface {
            subnet: "subnet-1".into(),
            addresses: vec![],
            security_groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            description: String::new(),
            instance: None,
        }
    }

    fn fabric() -> Fabric {
        let mut fabric = Fabric::default();
        fabric.security_groups.insert("sg-web".into(), group(vec![tcp((80, 80), cidr("10.2.0.0/16"))]));
        let nodes = vec![tcp((0, 65535), RulePeer::Group("sg-nodes".into()))];
        fabric.security_groups.insert("sg-nodes".into(), group(nodes));
        fabric.security_groups.insert("sg-empty".into(), group(vec![]));
        fabric
    }

    fn other<'a>(address: &str, groups: &'a [String], lost_groups: &'a [String]) -> Other<'a> {
        Other { address: address.parse().unwrap(), groups, lost_groups }
    }

    #[rstest]
    #[case::no_groups(&[], "192.0.2.1", 9, true)]
    #[case::matches(&["sg-web"], "10.2.3.4", 80, true)]
    #[case::wrong_port(&["sg-web"], "10.2.3.4", 81, false)]
    #[case::wrong_source(&["sg-web"], "10.3.3.4", 80, false)]
    #[case::empty_group_denies(&["sg-empty"], "10.2.3.4", 80, false)]
    #[case::unknown_group_denies(&["sg-gone"], "10.2.3.4", 80, false)]
    #[case::one_of_many_is_enough(&["sg-empty", "sg-gone", "sg-web"], "10.2.3.4", 80, true)]
    fn cidr_rules(#[case] groups: &[&str], #[case] from: &str, #[case] port: u16, #[case] expected: bool) {
        let packet = Selector::Tcp { port };
        let fabric = fabric();
        let verdict = evaluate_groups(&fabric, &interface(groups), Direction::Ingress, packet, other(from, &[], &[]));
        assert_eq!(verdict.allows(), expected, "{verdict:?}");
    }

    #[test]
    fn a_reference_matches_what_the_source_carries() {
        let fabric = fabric();
        let nodes = ["sg-nodes".to_owned()];
        let evaluate = |carried: &[String], lost: &[String]| {
            let other = other("10.1.0.9", carried, lost);
            let packet = Selector::Tcp { port: 10250 };
            format!("{:?}", evaluate_groups(&fabric, &interface(&["sg-nodes"]), Direction::Ingress, packet, other))
        };
        assert!(evaluate(&nodes, &[]).starts_with("Allowed"));
        assert_eq!(evaluate(&["sg-web".to_owned()], &[]), "Denied");
        assert_eq!(evaluate(&[], &nodes), r#"ReferenceLost { group: "sg-nodes", referenced: "sg-nodes" }"#);
    }

    #[test]
    fn the_directions_have_rules_of_their_own() {
        let fabric = fabric();
        let packet = Selector::Tcp { port: 80 };
        let other = other("10.2.3.4", &[], &[]);
        let interface = interface(&["sg-web"]);
        assert!(evaluate_groups(&fabric, &interface, Direction::Ingress, packet, other).allows());
        assert!(!evaluate_groups(&fabric, &interface, Direction::Egress, packet, other).allows());
    }

    proptest! {
        /// Several groups allow what any one of them allows: no more, no less, whatever their order.
        #[test]
        fn groups_unite(
            rules in prop::collection::vec((0usize..3, 0i32..8, 0i32..8, 0u8..4), 0..12), port in 0u16..8, from in 0u8..4,
        ) {
            let mut fabric = Fabric::default();
            let names = ["sg-0", "sg-1", "sg-2"];
            for name in names {
                fabric.security_groups.insert(name.into(), group(vec![]));
            }
            for (owner, first, last, source) in rules {
                let rule = tcp((first, last), cidr(&format!("10.{source}.0.0/16")));
                fabric.security_groups.get_mut(names[owner]).unwrap().ingress.push(rule);
            }
            let address = format!("10.{from}.0.1");
            let allows = |groups: &[&str]| {
                let packet = Selector::Tcp { port };
                evaluate_groups(&fabric, &interface(groups), Direction::Ingress, packet, other(&address, &[], &[])).allows()
            };
            let any = names.iter().any(|name| allows(&[name]));
            prop_assert_eq!(allows(&names), any);
            prop_assert_eq!(allows(&["sg-2", "sg-0", "sg-1"]), any);
        }
    }
}
