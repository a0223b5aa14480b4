//! Security groups and network ACLs as nftables rules of a VPC's router.
//!
//! They are where AWS has them, outside of the instance: a node cannot switch them off. Security groups are asked about
//! the first packet of a connection, network ACLs about every packet that crosses the border of a subnet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use acrossk8s_vpc::{AclEntry, Direction, Fabric, Interface, RulePeer, RuleProtocol};
use nlink::netlink::nftables::{CmpOp, CtDirection, CtState, Expr, PacketField, PayloadBase, Register, Rule};

use super::layout::{Base, Ruleset, done, from, host, jump, to};
use super::router::{Numbers, Port, View};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The rules of a router.
pub(super) fn ruleset(view: &View<'_>, numbers: &mut Numbers) -> Ruleset {
    let mut rules = Ruleset::default();
    sources(view, &mut rules);
    if let Some((device, _)) = &view.resolver {
        // Neither security groups nor ACLs filter what goes to the resolver, and nothing else comes from it.
        rules.base(Base::Forward, |rule| rule.match_oif(device).accept());
        rules.base(Base::Forward, |rule| rule.match_iif(device).accept());
    }
    acls(view, &mut rules);
    rules.base(Base::Forward, |rule| rule.match_ct_state(CtState::ESTABLISHED | CtState::RELATED).accept());
    load_balancers(view, numbers, &mut rules);
    groups(view, &mut rules);
    rules.base(Base::Forward, Rule::accept);
    rules
}

/// An interface sends in no other name than those of its own addresses, unless it is a load balancer's: the
/// source/destination check (EC2 User Guide, "Elastic network interfaces").
fn sources(view: &View<'_>, rules: &mut Ruleset) {
    for port in view.ports.iter().filter(|port| !port.load_balancer) {
        let set = format!("own-{}", port.id);
        rules.sets.insert(set.clone(), port.interface.addresses.iter().copied().collect());
        rules.base(Base::Forward, |rule| {
            rule.match_iif(&port.device).match_not_in_set(PacketField::Ip4Saddr, &set).drop()
        });
    }
}

/// Network ACLs, first out of the subnet and then into it. What stays in a subnet is not asked about.
fn acls(view: &View<'_>, rules: &mut Ruleset) {
    let mut subnets: BTreeMap<&str, Vec<&Port<'_>>> = BTreeMap::new();
    for port in &view.ports {
        subnets.entry(&port.interface.subnet).or_default().push(port);
    }
    for (id, ports) in subnets {
        let acl = view.fabric.subnets.get(id).and_then(|subnet| subnet.network_acl.as_ref());
        let Some(acl) = acl else { continue };
        let entries = view.fabric.network_acls.get(acl).map_or(&[][..], |acl| &acl.entries);
        for direction in [Direction::Egress, Direction::Ingress] {
            let chain = format!("acl-{direction}-{id}");
            for port in &ports {
                rules.base(Base::Forward, |rule| jump(at(rule, direction, &port.device), &chain));
                rules.chain(&chain, |rule| done(at(rule, opposite(direction), &port.device)));
                if direction == Direction::Ingress {
                    // The router itself sends nothing but "fragmentation needed" (VPC User Guide, "Network ACLs and path
                    // MTU discovery": it has to be allowed).
                    rules.base(Base::Send, |rule| jump(rule.match_oif(&port.device), &chain));
                }
            }
            let mut entries: Vec<&AclEntry> =
                entries.iter().filter(|entry| entry.egress == (direction == Direction::Egress)).collect();
            entries.sort_by_key(|entry| entry.number);
            for entry in entries {
                for protocol in protocols(entry.protocol, entry.ports) {
                    rules.chain(&chain, |rule| {
                        let rule = protocol(other_end(rule, direction, entry.cidr_block));
                        if entry.allow { done(rule) } else { rule.drop() }
                    });
                }
            }
            rules.chain(&chain, Rule::drop);
        }
    }
}

/// What load balancers pass on in their clients' names is marked, so that answers find back; an instance is not reached
/// by itself that way.
fn load_balancers(view: &View<'_>, numbers: &mut Numbers, rules: &mut Ruleset) {
    let balancers = || view.ports.iter().filter(|port| port.load_balancer);
    if balancers().next().is_some() {
        rules.base(Base::Mark, |rule| rule.match_ct_direction(CtDirection::Reply).restore_mark_from_ct());
    }
    for balancer in balancers() {
        let mark = view.mark(balancer, numbers);
        let own = balancer.interface.addresses.first().copied();
        if let Some(address) = own {
            rules.base(Base::Forward, |rule| {
                rule.match_iif(&balancer.device).match_saddr_v4_not(address, 32).set_ct_mark(mark)
            });
        }
        for target in view.ports.iter().filter(|port| !port.load_balancer) {
            let same = |it: &Interface| it.instance.is_some() && it.instance == target.interface.instance;
            let instance = view.ports.iter().filter(|port| port.id == target.id || same(port.interface));
            for address in instance.flat_map(|port| &port.interface.addresses) {
                rules.base(Base::Forward, |rule| {
                    let rule = rule.match_iif(&balancer.device).match_oif(&target.device);
                    from(rule, host(*address)).drop()
                });
            }
        }
    }
}

/// Security groups: out of the interface that a packet comes from, into the one that it goes to. An interface without
/// any is not filtered.
fn groups(view: &View<'_>, rules: &mut Ruleset) {
    for direction in [Direction::Egress, Direction::Ingress] {
        for port in view.ports.iter().filter(|port| !port.interface.security_groups.is_empty()) {
            let chain = format!("sg-{direction}-{}", port.id);
            rules.base(Base::Forward, |rule| jump(at(rule, direction, &port.device), &chain));
            for group in port.interface.security_groups.iter().filter_map(|id| view.fabric.security_groups.get(id)) {
                let of_group = if direction == Direction::Egress { &group.egress } else { &group.ingress };
                for allowed in of_group {
                    for protocol in protocols(allowed.protocol, allowed.ports) {
                        for peer in peers(view, rules, direction, &allowed.peer) {
                            rules.chain(&chain, |rule| done(protocol(peer(rule))));
                        }
                    }
                }
            }
            rules.chain(&chain, Rule::drop);
        }
    }
}

type Matcher = Box<dyn Fn(Rule) -> Rule>;

/// What tells the packets apart whose other end a rule speaks of; more than one where they come by several ways.
fn peers(view: &View<'_>, rules: &mut Ruleset, direction: Direction, peer: &RulePeer) -> Vec<Matcher> {
    let group = match peer {
        RulePeer::Cidr(block) => {
            let block = *block;
            return vec![Box::new(move |rule| other_end(rule, direction, block))];
        }
        RulePeer::Group(group) => group,
    };
    let set = format!("members-{group}");
    let Some(vpc) = view.fabric.security_groups.get(group).map(|group| group.vpc.as_str()) else { return Vec::new() };
    let mut ways: Vec<Matcher> = Vec::new();
    if let Some(devices) = devices(view, vpc) {
        rules.sets.entry(set.clone()).or_insert_with(|| members(view.fabric, group));
        ways.push(Box::new(move |rule| match direction {
            Direction::Egress => rule.match_oif_prefix(&devices).match_daddr_in_set(&set),
            Direction::Ingress => rule.match_iif_prefix(&devices).match_saddr_in_set(&set),
        }));
    }
    // What a load balancer passes on has its client's address, and counts as the load balancer's all the same.
    for balancer in view.ports.iter().filter(|port| port.load_balancer) {
        if balancer.interface.security_groups.contains(group) {
            let device = balancer.device.clone();
            ways.push(Box::new(move |rule| at(rule, opposite(direction), &device)));
        }
    }
    ways
}

/// How the devices begin by which the interfaces of a VPC send here, if rules can refer to their groups: those of this
/// VPC, or the peering connection to another one of the region. Addresses alone would not do: those of two peers may be
/// the same. Load balancers pass on what is others', and are not among them.
fn devices(view: &View<'_>, vpc: &str) -> Option<String> {
    if vpc == view.vpc {
        return Some("en-".to_owned());
    }
    let region = |vpc: &str| view.fabric.vpcs.get(vpc).map(|vpc| vpc.region.as_str());
    let mut peer = view.peerings.values().filter(|(_, other)| *other == vpc && region(vpc) == region(view.vpc));
    peer.next().map(|(device, _)| device.clone())
}

/// Addresses of the interfaces that carry a group.
fn members(fabric: &Fabric, group: &str) -> BTreeSet<Ipv4Addr> {
    let carrying = fabric.interfaces.values().filter(|it| it.security_groups.iter().any(|id| id == group));
    carrying.flat_map(|interface| interface.addresses.iter().copied()).collect()
}

/// What tells the packets of a protocol apart. ICMP's ports are type and code.
fn protocols(protocol: RuleProtocol, ports: (i32, i32)) -> Vec<Matcher> {
    let number = match protocol {
        RuleProtocol::All => return vec![Box::new(|rule| rule)],
        RuleProtocol::Icmp => {
            let byte = |offset: u32, value: i32| -> Option<(u32, u8)> { Some((offset, u8::try_from(value).ok()?)) };
            // Something other than -1 that is no byte never matches.
            if [ports.0, ports.1].iter().any(|it| *it != -1 && u8::try_from(*it).is_err()) {
                return Vec::new();
            }
            return vec![Box::new(move |rule| {
                let wanted = [byte(0, ports.0), byte(1, ports.1)].into_iter().flatten();
                wanted.fold(rule.match_l4proto(ICMP), |rule, (offset, value)| {
                    let base = PayloadBase::Transport;
                    rule.expr(Expr::Payload { dreg: Register::R0, base, offset, len: 1 }).expr(Expr::Cmp {
                        sreg: Register::R0,
                        op: CmpOp::Eq,
                        data: vec![value],
                    })
                })
            })];
        }
        RuleProtocol::Tcp => TCP,
        RuleProtocol::Udp => UDP,
    };
    let clamped = |port: i32| u16::try_from(port.clamp(0, i32::from(u16::MAX))).unwrap_or(u16::MAX);
    let (first, last) = (clamped(ports.0), clamped(ports.1));
    if ports.1 < 0 || ports.0 > ports.1 || ports.0 > i32::from(u16::MAX) {
        return Vec::new();
    }
    let field = if number == TCP { PacketField::TcpDport } else { PacketField::UdpDport };
    vec![Box::new(move |rule| rule.match_l4proto(number).match_range(field, first, last))]
}

/// The rule for packets that leave by a device, seen from behind it, or enter by it.
fn at(rule: Rule, direction: Direction, device: &str) -> Rule {
    match direction {
        Direction::Egress => rule.match_iif(device),
        Direction::Ingress => rule.match_oif(device),
    }
}

/// The rule for packets whose other end is in a block.
fn other_end(rule: Rule, direction: Direction, block: ipnet::Ipv4Net) -> Rule {
    match direction {
        Direction::Egress => to(rule, block.trunc()),
        Direction::Ingress => from(rule, block.trunc()),
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    }
}
