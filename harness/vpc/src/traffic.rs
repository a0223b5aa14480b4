//! What of a packet the rules of security groups and network ACLs look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RuleProtocol;

/// Protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP: an echo request and its reply.
    Icmp,
}

/// Which way a rule looks, seen from the interface or the subnet that it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the interface or subnet.
    Ingress,
    /// Out of it.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Ingress => "inbound",
            Direction::Egress => "outbound",
        })
    }
}

/// Protocol and destination port of a packet, or the type and code of an ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub enum Selector {
    /// TCP to a port.
    Tcp {
        /// Destination port.
        port: u16,
    },
    /// UDP to a port.
    Udp {
        /// Destination port.
        port: u16,
    },
    /// An ICMP message.
    Icmp {
        /// ICMP type: 8 for an echo request, 0 for its reply.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
}

impl Selector {
    /// ICMP's "destination unreachable, port unreachable": how a closed UDP port refuses, and how kube-proxy refuses for a
    /// Service without endpoints.
    pub const PORT_UNREACHABLE: Selector = Selector::Icmp { kind: 3, code: 3 };

    /// The selector of a request of this protocol to a port. ICMP has no ports: it stands for an echo request.
    #[must_use]
    pub fn request(protocol: Protocol, port: u16) -> Self {
        match protocol {
            Protocol::Tcp => Selector::Tcp { port },
            Protocol::Udp => Selector::Udp { port },
            Protocol::Icmp => Selector::Icmp { kind: 8, code: 0 },
        }
    }

    /// The selector of the answer to a request that came from `port`.
    #[must_use]
    pub fn answer(protocol: Protocol, port: u16) -> Self {
        match protocol {
            Protocol::Icmp => Selector::Icmp { kind: 0, code: 0 },
            Protocol::Tcp | Protocol::Udp => Selector::request(protocol, port),
        }
    }

    /// Whether a rule for `protocol` and `ports` speaks of such a packet. For ICMP, `ports` are type and code, and -1
    /// stands for any.
    #[must_use]
    pub fn matches(self, protocol: RuleProtocol, ports: (i32, i32)) -> bool {
        let within = |port: u16| (ports.0..=ports.1).contains(&i32::from(port));
        let is = |wanted: i32, actual: u8| wanted == -1 || wanted == i32::from(actual);
        match (protocol, self) {
            (RuleProtocol::All, _) => true,
            (RuleProtocol::Tcp, Selector::Tcp { port }) | (RuleProtocol::Udp, Selector::Udp { port }) => within(port),
            (RuleProtocol::Icmp, Selector::Icmp { kind, code }) => is(ports.0, kind) && is(ports.1, code),
            _ => false,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Tcp { port } => write!(f, "tcp port {port}"),
            Selector::Udp { port } => write!(f, "udp port {port}"),
            Selector::Icmp { kind, code } => write!(f, "icmp type {kind} code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ECHO: Selector = Selector::Icmp { kind: 8, code: 0 };

    #[rstest]
    #[case::all(RuleProtocol::All, (-1, -1), Selector::Udp { port: 53 }, true)]
    #[case::all_ignores_ports(RuleProtocol::All, (1, 2), Selector::Tcp { port: 80 }, true)]
    #[case::first_port(RuleProtocol::Tcp, (80, 90), Selector::Tcp { port: 80 }, true)]
    #[case::last_port(RuleProtocol::Tcp, (80, 90), Selector::Tcp { port: 90 }, true)]
    #[case::below(RuleProtocol::Tcp, (80, 90), Selector::Tcp { port: 79 }, false)]
    #[case::above(RuleProtocol::Tcp, (80, 90), Selector::Tcp { port: 91 }, false)]
    #[case::every_port(RuleProtocol::Tcp, (0, 65535), Selector::Tcp { port: 65535 }, true)]
    #[case::other_protocol(RuleProtocol::Tcp, (53, 53), Selector::Udp { port: 53 }, false)]
    #[case::udp(RuleProtocol::Udp, (53, 53), Selector::Udp { port: 53 }, true)]
    #[case::any_icmp(RuleProtocol::Icmp, (-1, -1), ECHO, true)]
    #[case::echo_of_any_code(RuleProtocol::Icmp, (8, -1), ECHO, true)]
    #[case::other_type(RuleProtocol::Icmp, (3, 4), ECHO, false)]
    #[case::other_code(RuleProtocol::Icmp, (8, 1), ECHO, false)]
    #[case::icmp_is_not_tcp(RuleProtocol::Icmp, (-1, -1), Selector::Tcp { port: 8 }, false)]
    fn matching(
        #[case] protocol: RuleProtocol,
        #[case] ports: (i32, i32),
        #[case] packet: Selector,
        #[case] expected: bool,
    ) {
        assert_eq!(packet.matches(protocol, ports), expected);
    }

    #[test]
    fn an_echo_request_is_answered_by_an_echo_reply() {
        assert_eq!(Selector::request(Protocol::Icmp, 0), ECHO);
        assert_eq!(Selector::answer(Protocol::Icmp, 0), Selector::Icmp { kind: 0, code: 0 });
    }
}
