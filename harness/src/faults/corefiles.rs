//! Corefiles as people get them wrong.

use std::net::Ipv4Addr;

use acrossk8s_corefile::ForwardZone;

use crate::engine::{Done, Failure, TaskContext};
use crate::procedure::{Scope, World, coredns};
use crate::topology::{ClusterIndex, Topology};

/// A Corefile with the zones of the other clusters in some wrong form.
pub(super) type Wrong = fn(&Topology, &str, &[ForwardZone]) -> String;

/// Edits the Corefile with another text than the documented one.
pub(super) async fn edit(context: TaskContext<World>, scope: Scope, wrong: Wrong) -> Result<Done, Failure> {
    let Scope::Cluster(index) = scope else {
        return Err(Failure::new(format!("an edit of a Corefile was given the scope {scope}")));
    };
    let zones = coredns::zones_for(context.world(), index)?;
    let added = zones.iter().map(|zone| (zone.zone.clone(), zone.upstreams.clone())).collect();
    let change = |corefile: &str| Ok(wrong(&context.world().topology, corefile, &zones));
    coredns::replace_corefile(&context, index, added, change).await
}

fn block(zone: &ForwardZone, upstreams: &[Ipv4Addr], force_tcp: bool) -> String {
    let upstreams = upstreams.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
    let options = if force_tcp { " {\n        force_tcp\n    }" } else { "" };
    format!("{}:{} {{\n    errors\n    cache 30\n    forward . {upstreams}{options}\n}}\n", zone.zone, zone.port)
}

fn documented(zones: &[ForwardZone]) -> String {
    zones.iter().map(|zone| block(zone, &zone.upstreams, true)).collect()
}

/// The first zone inside the default server block, the others as documented.
pub(super) fn nest_first_zone(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    let Some((first, rest)) = zones.split_first() else { return corefile.to_owned() };
    let end = corefile.rfind('}').unwrap_or(corefile.len());
    format!(
        "{}{}{}\n{}",
        &corefile[..end],
        block(first, &first.upstreams, true),
        &corefile[end..].trim_end(),
        documented(rest)
    )
}

/// The first zone without `force_tcp`, the others as documented.
pub(super) fn forward_first_zone_over_udp(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    let Some((first, rest)) = zones.split_first() else { return corefile.to_owned() };
    format!("{}\n{}{}", corefile.trim_end(), block(first, &first.upstreams, false), documented(rest))
}

/// The first zone forwarded to addresses of the peer's VPC that nobody has, as after a load balancer was made anew.
pub(super) fn forward_first_zone_astray(topology: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    let Some((first, rest)) = zones.split_first() else { return corefile.to_owned() };
    let network = topology
        .indices()
        .map(|index: ClusterIndex| topology.cluster(index))
        .find(|cluster| coredns::zone_of(cluster) == first.zone)
        .map_or(u32::MAX - 255, |cluster| u32::from(cluster.cidr_block.broadcast()) - 255);
    let stale: Vec<_> = [240, 241].map(|host| Ipv4Addr::from(network + host)).into();
    format!("{}\n{}{}", corefile.trim_end(), block(first, &stale, true), documented(rest))
}

/// As documented, after what is there.
pub(super) fn documented_after(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    format!("{}\n{}", corefile.trim_end(), documented(zones))
}

/// The first zone in another form, the others as documented.
fn with_first(corefile: &str, zones: &[ForwardZone], first: impl Fn(&ForwardZone) -> String) -> String {
    let Some((zone, rest)) = zones.split_first() else { return corefile.to_owned() };
    format!("{}\n{}{}", corefile.trim_end(), first(zone), documented(rest))
}

/// The first zone forwarded to one of its addresses only.
pub(super) fn forward_first_zone_to_one(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    with_first(corefile, zones, |zone| block(zone, zone.upstreams.get(..1).unwrap_or_default(), true))
}

/// The first zone forwarded to another port.
pub(super) fn forward_first_zone_to_another_port(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    with_first(corefile, zones, |zone| {
        let documented = block(zone, &zone.upstreams, true);
        zone.upstreams
            .iter()
            .fold(documented, |text, upstream| text.replace(&format!(" {upstream}"), &format!(" {upstream}:5353")))
    })
}

/// The first zone forwarded to more addresses than CoreDNS takes.
pub(super) fn forward_first_zone_to_many(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    with_first(corefile, zones, |zone| {
        let first = zone.upstreams.first().map_or(0, |first| u32::from(*first));
        let many: Vec<_> = (0..16).map(|n| Ipv4Addr::from(first.wrapping_add(n))).collect();
        block(zone, &many, true)
    })
}

/// The first zone not at all.
pub(super) fn forget_first_zone(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    with_first(corefile, zones, |_| String::new())
}

/// The first zone twice.
pub(super) fn repeat_first_zone(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    with_first(corefile, zones, |zone| block(zone, &zone.upstreams, true).repeat(2))
}

/// Another zone besides, forwarded to where the first one is.
fn and_zone(corefile: &str, zones: &[ForwardZone], zone: String) -> String {
    with_first(corefile, zones, |first| {
        let another = ForwardZone { zone: zone.clone(), ..first.clone() };
        documented(&[first.clone(), another])
    })
}

/// The own namespace besides. All of these faults are made in cluster 1.
pub(super) fn forward_own_zone(topology: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    and_zone(corefile, zones, coredns::zone_of(topology.cluster(super::ONE)))
}

/// A namespace that is no cluster's besides.
pub(super) fn forward_stray_zone(_: &Topology, corefile: &str, zones: &[ForwardZone]) -> String {
    and_zone(corefile, zones, "tidb-of-old.svc.cluster.local".to_owned())
}

/// A Corefile without the lines that begin with a plugin's name.
pub(super) fn without(corefile: &str, plugin: &str) -> String {
    let lines = corefile.lines().filter(|line| line.split_whitespace().next() != Some(plugin));
    lines.map(|line| format!("{line}\n")).collect()
}
