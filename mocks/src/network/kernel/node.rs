//! The namespace of a node: its interfaces, the way to its pods, what kube-proxy programs, and the VPC CNI's source NAT.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use acrossk8s_vpc::Fabric;
use ipnet::Ipv4Net;
use nlink::netlink::nftables::{IcmpxCode, NatStatement, PacketField, Rule};

use super::choice::one_of;
use super::layout::{Base, Layout, MAIN, RoutingRule, Ruleset, Via, disjoint, everything, from, host, jump, to};
use super::router::Port;
use crate::network::{ServiceTable, Transport};

/// Linux tables of the interfaces begin here.
const INTERFACES: u32 = 200;
/// Tells packets that kube-proxy gives the node's address (`--masquerade-bit` 14).
const MASQUERADE: u32 = 1 << 14;
/// Tells connections that are the node's to the outside: those that came to its own address, and those that pods open to the
/// outside of the VPC. What pods send on them leaves by the interface that has the node's address, everything else by the
/// pods' own (the VPC CNI's `AWS_VPC_K8S_CNI_CONNMARK`).
const BY_NODE: u32 = 0x80;

/// Priorities of the VPC CNI's routing rules (amazon-vpc-cni-k8s, `pkg/networkutils`).
mod priority {
    pub const TO_POD: u32 = 512;
    pub const BY_NODE: u32 = 1024;
    pub const FROM_POD: u32 = 1536;
}

/// Devices that lead to pods.
pub(super) const PODS: &str = "po-";

/// A pod of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub device: String,
    pub source_nat: bool,
    pub excluded: Vec<Ipv4Net>,
}

/// What a node is made of.
pub(super) struct Node<'f> {
    pub fabric: &'f Fabric,
    pub vpc: &'f str,
    pub address: Ipv4Addr,
    /// Its connected interfaces.
    pub ports: Vec<&'f Port<'f>>,
    pub pods: &'f BTreeMap<Ipv4Addr, Pod>,
    pub services: Option<&'f ServiceTable>,
}

impl Node<'_> {
    /// What the namespace looks like.
    pub(super) fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let primary = self.ports.iter().find(|port| port.interface.addresses.contains(&self.address));
        if let Some(primary) = primary {
            layout.route(MAIN, everything(), Via::Device(primary.device.clone()));
        }
        for (address, pod) in self.pods {
            layout.route(MAIN, host(*address), Via::Device(pod.device.clone()));
            let local = RoutingRule {
                priority: priority::TO_POD,
                to: Some(host(*address)),
                table: MAIN,
                ..RoutingRule::default()
            };
            layout.rules.insert(local);
        }
        for (table, port) in (INTERFACES..).zip(&self.ports) {
            if primary.is_some_and(|primary| primary.id == port.id) {
                continue;
            }
            layout.route(table, everything(), Via::Device(port.device.clone()));
            for (address, pod) in self.pods.iter().filter(|(address, _)| port.interface.addresses.contains(address)) {
                layout.rules.insert(RoutingRule {
                    priority: priority::FROM_POD,
                    // What comes back in its name from outside is not the pod's to send.
                    input: Some(pod.device.clone()),
                    from: Some(host(*address)),
                    table,
                    ..RoutingRule::default()
                });
            }
        }
        if let Some(services) = self.services {
            self.proxy(services, &mut layout.filter);
        }
        let (priority, mark) = (priority::BY_NODE, Some(BY_NODE));
        layout.rules.insert(RoutingRule { priority, mark, table: MAIN, ..RoutingRule::default() });
        if let Some(primary) = primary {
            let own = |rule: Rule| to(rule.match_iif(&primary.device), host(self.address));
            layout.filter.base(Base::Mark, |rule| own(rule).set_ct_mark(BY_NODE));
        }
        layout.filter.base(Base::Mark, |rule| rule.match_iif_prefix(PODS).restore_mark_from_ct());
        self.translate(&mut layout.filter);
        layout
    }

    /// Where a pod's own address is seen: in the VPC, and where the VPC CNI is told to leave it.
    fn untranslated(&self, pod: &Pod) -> Vec<Ipv4Net> {
        let own = self.fabric.vpcs.get(self.vpc).map_or(&[][..], |vpc| &vpc.cidr_blocks);
        disjoint(own.iter().chain(&pod.excluded).copied())
    }

    /// Source NAT of the VPC CNI, after that of kube-proxy.
    fn translate(&self, rules: &mut Ruleset) {
        let node = NatStatement::snat(self.address).fully_random();
        let masqueraded = |rule: Rule| rule.match_mark_masked(MASQUERADE, MASQUERADE);
        for port in self.ports.iter().filter(|port| !port.interface.addresses.contains(&self.address)) {
            // kube-proxy takes the address of the interface that the packet leaves by.
            let Some(own) = port.interface.addresses.first() else { continue };
            let own = NatStatement::snat(*own).fully_random();
            rules.base(Base::Postrouting, |rule| masqueraded(rule).match_oif(&port.device).nat(own));
        }
        rules.base(Base::Postrouting, |rule| masqueraded(rule).nat(node.clone()));
        let mut alike: BTreeMap<Vec<Ipv4Net>, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        for (address, pod) in self.pods.iter().filter(|(_, pod)| pod.source_nat) {
            alike.entry(self.untranslated(pod)).or_default().insert(*address);
        }
        for (index, (blocks, pods)) in alike.into_iter().enumerate() {
            let (translated, kept) = (format!("pods-{index}"), format!("kept-{index}"));
            rules.sets.insert(translated.clone(), pods);
            rules.blocks.insert(kept.clone(), blocks);
            let outbound = |rule: Rule| {
                rule.match_in_set(PacketField::Ip4Saddr, &translated)
                    .match_not_in_interval_set(PacketField::Ip4Daddr, &kept)
            };
            // After kube-proxy, which may have led it back into the VPC.
            rules.base(Base::Prerouting, |rule| {
                outbound(rule).match_iif_prefix(PODS).set_ct_mark(BY_NODE).set_mark(BY_NODE)
            });
            rules.base(Base::Postrouting, |rule| outbound(rule).nat(node.clone()));
        }
    }

    /// kube-proxy, in its iptables mode's terms: one chain for each service, one for each of its endpoints.
    fn proxy(&self, services: &ServiceTable, rules: &mut Ruleset) {
        for ((address, port, transport), endpoints) in &services.cluster {
            let chain = format!("svc-{address}-{port}-{}", name(*transport));
            let met = |rule: Rule| at_port(to(rule, host(*address)), *transport, *port);
            self.service(&chain, *transport, endpoints, None, &met, rules);
        }
        for ((port, transport), endpoints) in &services.node_ports {
            let chain = format!("node-{port}-{}", name(*transport));
            let met = |rule: Rule| at_port(to(rule, host(self.address)), *transport, *port);
            self.service(&chain, *transport, endpoints, Some(MASQUERADE), &met, rules);
            if !endpoints.is_empty() {
                let local = |rule: Rule| at_port(to(rule, host(Ipv4Addr::LOCALHOST)), *transport, *port);
                rules.base(Base::Output, |rule| jump(local(rule), &chain));
            }
        }
    }

    fn service(
        &self,
        chain: &str,
        transport: Transport,
        endpoints: &[SocketAddrV4],
        mark: Option<u32>,
        met: &dyn Fn(Rule) -> Rule,
        rules: &mut Ruleset,
    ) {
        if endpoints.is_empty() {
            for base in [Base::Pass, Base::Input, Base::Send] {
                rules.base(base, |rule| met(rule).reject_icmpx(IcmpxCode::PortUnreachable));
            }
            return;
        }
        for base in [Base::Prerouting, Base::Output] {
            rules.base(base, |rule| jump(met(rule), chain));
        }
        if let Some(mark) = mark {
            rules.chain(chain, |rule| rule.set_mark(mark));
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            let own = format!("{chain}-{}-{}", endpoint.ip(), endpoint.port());
            rules.chain(chain, |rule| jump(one_of(rule, endpoints.len() - index), &own));
            // An endpoint that reaches itself would answer itself: the node stands in for it.
            rules.chain(&own, |rule| from(rule, host(*endpoint.ip())).set_mark(MASQUERADE));
            rules.chain(&own, |rule| {
                let rule = rule.match_l4proto(number(transport));
                rule.nat(NatStatement::dnat(*endpoint.ip()).port(endpoint.port()))
            });
        }
    }
}

/// What the namespace of a pod looks like.
pub(super) fn pod(device: &str) -> Layout {
    let mut layout = Layout::default();
    layout.route(MAIN, everything(), Via::Device(device.to_owned()));
    layout
}

fn at_port(rule: Rule, transport: Transport, port: u16) -> Rule {
    let rule = rule.match_l4proto(number(transport));
    match transport {
        Transport::Tcp => rule.match_tcp_dport(port),
        Transport::Udp => rule.match_udp_dport(port),
    }
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    }
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}
