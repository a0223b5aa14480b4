//! The zone of each other cluster in each Corefile (C2.14, C2.16).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use acrossk8s_corefile::{Corefile, Forward, ServerBlock, Upstream, forward_of};

use super::cause::Cause;
use super::check::{Finding, each_direction, fail, none_wrong, unseen};
use super::corefile::{ACCEPTED, TOP_LEVEL, edit, parsed, zone_key};
use super::view::{Seen, View};
use super::{Invariant, load_balancer, namespaces};
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::{ClusterIndex, Topology};

pub(super) const ZONE: &str = "corefile-zone";
pub(super) const ZONE_FORM: &str = "corefile-zone-form";
pub(super) const UPSTREAMS: &str = "corefile-upstreams";
pub(super) const FORCE_TCP: &str = "corefile-force-tcp";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: ZONE,
        title: "the Corefile has a server block that forwards the peer's namespace",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 14), ClauseId::new(2, 16)],
        causes: &[
            Cause::everywhere(namespaces::DISTINCT),
            Cause::from(TOP_LEVEL),
            Cause::from(ACCEPTED),
            Cause::to(load_balancer::ADDRESSES),
        ],
        check: zone,
    },
    Invariant {
        id: ZONE_FORM,
        title: "the peer's server block has errors, cache 30 and forwards everything in it",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 14)],
        causes: &[Cause::along(ZONE)],
        check: form,
    },
    Invariant {
        id: UPSTREAMS,
        title: "the peer's zone is forwarded to exactly the addresses of its load balancer",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 14), ClauseId::new(2, 16)],
        causes: &[Cause::everywhere(namespaces::DISTINCT), Cause::along(ZONE), Cause::to(load_balancer::ADDRESSES)],
        check: upstreams,
    },
    Invariant {
        id: FORCE_TCP,
        title: "the peer's zone is forwarded over TCP",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 14)],
        causes: &[Cause::along(ZONE)],
        check: force_tcp,
    },
];

fn block<'a>(view: View<'_>, corefile: &'a Corefile, from: ClusterIndex, to: ClusterIndex) -> Seen<&'a ServerBlock> {
    let key = zone_key(view, to);
    let block = corefile.blocks.iter().find(|block| block.keys.contains(&key));
    block.ok_or_else(|| unseen(format!("the zone {key} in the Corefile of {}", view.name(from))))
}

fn forward(view: View<'_>, corefile: &Corefile, from: ClusterIndex, to: ClusterIndex) -> Seen<Forward> {
    let missing = || unseen(format!("a forward of {} in the Corefile of {}", zone_key(view, to), view.name(from)));
    forward_of(block(view, corefile, from, to)?).ok_or_else(missing)
}

/// What the server block of a cluster is to be.
fn wanted_block(view: View<'_>, to: ClusterIndex) -> String {
    let addresses = view.load_balancer(to).map(|it| it.addresses.clone()).unwrap_or_default();
    let addresses = match addresses.is_empty() {
        true => format!("${{lb_ip_list_{to}}}"),
        false => join(&addresses.into_iter().collect()),
    };
    format!("{} {{ errors; cache 30; forward . {addresses} {{ force_tcp }} }}", zone_key(view, to))
}

fn join(addresses: &BTreeSet<Ipv4Addr>) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ")
}

fn zone(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let corefile = parsed(view, from)?;
        let key = zone_key(view, to);
        let evidence = match corefile.blocks.iter().find(|block| block.keys.contains(&key)) {
            Some(block) if forward_of(block).is_some() => return Ok(()),
            Some(block) => format!("line {}: the block of {key} forwards nothing", block.line),
            None => {
                let serves = corefile.blocks.iter().flat_map(|block| &block.keys).map(ToString::to_string);
                format!("{} serves {} and not {key}", view.name(from), serves.collect::<Vec<_>>().join(", "))
            }
        };
        Err(fail(
            [evidence],
            format!(
                "{} looks for names of {} in its own cluster and does not find them.",
                view.name(from),
                view.name(to)
            ),
            format!("{}, and add at the end: {}", edit(view, from), wanted_block(view, to)),
        ))
    })
}

fn form(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let corefile = parsed(view, from)?;
        let block = block(view, &corefile, from, to)?;
        let forward = forward(view, &corefile, from, to)?;
        let key = zone_key(view, to);
        let mut wrong = Vec::new();
        if block.directive("errors").is_none() {
            wrong.push(format!("line {}: the block of {key} has no errors", block.line));
        }
        match block.directive("cache") {
            Some(cache) if cache.args == ["30"] => {}
            Some(cache) => {
                wrong.push(format!("line {}: cache {} instead of cache 30", cache.line, cache.args.join(" ")))
            }
            None => wrong.push(format!("line {}: the block of {key} has no cache", block.line)),
        }
        if forward.from != "." || !forward.except.is_empty() {
            let except = forward.except.join(" ");
            wrong.push(format!("line {}: it forwards {} except [{except}] instead of .", block.line, forward.from));
        }
        none_wrong(
            wrong,
            "Without errors failures are not logged, without cache every lookup crosses regions, and what is not forwarded \
             is not found.",
            format!("{}, and make the block {}", edit(view, from), wanted_block(view, to)),
        )
    })
}

fn upstreams(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let forward = forward(view, &parsed(view, from)?, from, to)?;
        let load_balancer = view.load_balancer(to)?;
        let wanted: BTreeSet<Ipv4Addr> = load_balancer.addresses.iter().copied().collect();
        if wanted.is_empty() {
            return Err(unseen(format!("addresses of {}", load_balancer.name)));
        }
        let has: BTreeSet<Ipv4Addr> = forward.addresses().collect();
        let mut wrong = Vec::new();
        if has != wanted {
            let lacks = &wanted - &has;
            let extra = &has - &wanted;
            wrong.push(format!("{} forwards {} to {}", view.name(from), zone_key(view, to), join(&has)));
            wrong.push(format!("{} of {} has {}", load_balancer.name, view.name(to), join(&wanted)));
            if !lacks.is_empty() {
                wrong.push(format!("missing: {}", join(&lacks)));
            }
            if !extra.is_empty() {
                wrong.push(format!("nobody's: {}", join(&extra)));
            }
        }
        for upstream in &forward.to {
            match upstream {
                Upstream::Address(address) if address.port() == 53 => {}
                Upstream::Address(address) => wrong.push(format!("{address} is not port 53")),
                Upstream::File(file) => wrong.push(format!("{file} is not an address")),
                Upstream::Other(other) => wrong.push(format!("{other} is not an IPv4 address")),
            }
        }
        let address = |address: &Ipv4Addr| Upstream::Address(SocketAddrV4::new(*address, 53));
        if wrong.is_empty() && wanted.iter().any(|it| forward.to.iter().filter(|to| **to == address(it)).count() != 1) {
            wrong.push("an address is there twice".to_owned());
        }
        none_wrong(
            wrong,
            "The addresses are literals: when the load balancer is made anew or gets another zone, they go stale, and \
             queries to them time out.",
            format!("{}, and make the block {}", edit(view, from), wanted_block(view, to)),
        )
    })
}

fn force_tcp(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let forward = forward(view, &parsed(view, from)?, from, to)?;
        let without = !forward.force_tcp;
        none_wrong(
            without
                .then(|| format!("{} forwards {} without force_tcp", view.name(from), zone_key(view, to)))
                .into_iter()
                .collect(),
            "CoreDNS forwards over UDP what it was asked over UDP, and the load balancer listens on TCP only.",
            format!("{}, and make the block {}", edit(view, from), wanted_block(view, to)),
        )
    })
}
