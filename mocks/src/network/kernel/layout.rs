//! What a namespace should look like, as plain data: routes, routing rules and an nftables table. Two of them can be
//! compared, so that only what differs is told to the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use nlink::netlink::nftables::{BaseChain, ChainName, Family, FilterHook, NatHook, Policy, Priority, Rule, Verdict};

/// The one nftables table of each namespace.
pub(super) const TABLE: &str = "acrossk8s";

/// The main routing table of Linux.
pub(super) const MAIN: u32 = 254;

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Via {
    /// To the other end of a device.
    Device(String),
    /// Nowhere, without a word, as packets vanish in a VPC.
    Blackhole,
    /// On to the next routing rule.
    Throw,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub table: u32,
    pub destination: Ipv4Net,
    pub via: Via,
}

/// One routing rule: which table decides for which packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoutingRule {
    pub priority: u32,
    pub input: Option<String>,
    pub from: Option<Ipv4Net>,
    pub to: Option<Ipv4Net>,
    pub mark: Option<u32>,
    pub table: u32,
}

/// Base chains that a namespace may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    /// Before routing, where marks are set that routing looks at.
    Mark,
    /// Destination NAT of what comes in.
    Prerouting,
    /// Destination NAT of what the namespace itself sends.
    Output,
    /// Source NAT.
    Postrouting,
    /// What is forwarded; dropped unless accepted.
    Forward,
    /// What is forwarded; accepted unless refused.
    Pass,
    /// What comes in for the namespace itself.
    Input,
    /// What the namespace itself sends.
    Send,
}

impl Base {
    pub(super) fn name(self) -> &'static str {
        match self {
            Base::Mark => "mark",
            Base::Prerouting => "prerouting",
            Base::Output => "output",
            Base::Postrouting => "postrouting",
            Base::Forward => "forward",
            Base::Pass => "pass",
            Base::Input => "input",
            Base::Send => "send",
        }
    }

    pub(super) fn hook(self) -> BaseChain {
        let filter = |hook| BaseChain::filter(hook, Priority::Filter);
        match self {
            Base::Mark => BaseChain::filter(FilterHook::Prerouting, Priority::Mangle),
            Base::Prerouting => BaseChain::nat(NatHook::Prerouting, Priority::DstNat),
            Base::Output => BaseChain::nat(NatHook::Output, Priority::DstNat),
            Base::Postrouting => BaseChain::nat(NatHook::Postrouting, Priority::SrcNat),
            Base::Forward => filter(FilterHook::Forward).policy(Policy::Drop),
            Base::Pass => filter(FilterHook::Forward).policy(Policy::Accept),
            Base::Input => filter(FilterHook::Input).policy(Policy::Accept),
            Base::Send => filter(FilterHook::Output).policy(Policy::Accept),
        }
    }
}

/// The nftables table of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    pub bases: BTreeSet<Base>,
    /// Chains that are jumped to.
    pub chains: BTreeSet<String>,
    /// Sets of addresses by name.
    pub sets: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Sets of blocks by name; they do not overlap.
    pub blocks: BTreeMap<String, Vec<Ipv4Net>>,
    /// In order.
    pub rules: Vec<Rule>,
}

impl Ruleset {
    /// Appends a rule to a base chain, which comes into being with it.
    pub(super) fn base(&mut self, base: Base, rule: impl FnOnce(Rule) -> Rule) {
        self.bases.insert(base);
        self.rules.push(rule(start(base.name())));
    }

    /// Appends a rule to a chain, which comes into being with it.
    pub(super) fn chain(&mut self, chain: &str, rule: impl FnOnce(Rule) -> Rule) {
        self.chains.insert(chain.to_owned());
        self.rules.push(rule(start(chain)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.bases.is_empty()
    }
}

fn start(chain: &str) -> Rule {
    Rule::new(TABLE, chain).family(Family::Ip)
}

/// Everything of a namespace besides its devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub routes: BTreeSet<Route>,
    pub rules: BTreeSet<RoutingRule>,
    pub filter: Ruleset,
}

impl Layout {
    /// Adds a route.
    pub(super) fn route(&mut self, table: u32, destination: Ipv4Net, via: Via) {
        self.routes.insert(Route { table, destination, via });
    }
}

/// The block that is one address.
pub(super) fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

/// Every address.
pub(super) fn everything() -> Ipv4Net {
    Ipv4Net::default()
}

/// Blocks without those that others contain, as an nftables set wants them.
pub(super) fn disjoint(blocks: impl IntoIterator<Item = Ipv4Net>) -> Vec<Ipv4Net> {
    Ipv4Net::aggregate(&blocks.into_iter().map(|block| block.trunc()).collect())
}

/// The rule for packets to an address.
pub(super) fn to(rule: Rule, block: Ipv4Net) -> Rule {
    rule.match_daddr(IpAddr::V4(block.network()), block.prefix_len())
}

/// The rule for packets from an address.
pub(super) fn from(rule: Rule, block: Ipv4Net) -> Rule {
    rule.match_saddr(IpAddr::V4(block.network()), block.prefix_len())
}

/// The rule that asks another chain. A name that the kernel would refuse lets nothing through that was not asked about.
pub(super) fn jump(rule: Rule, chain: &str) -> Rule {
    match ChainName::new(chain) {
        Ok(chain) => rule.jump(chain),
        Err(_) => rule.drop(),
    }
}

/// The rule that goes on with the chain that asked.
pub(super) fn done(rule: Rule) -> Rule {
    rule.then(Verdict::Return)
}
