//! Corefiles as people get them wrong.

use std::net::Ipv4Addr;
use std::sync::Arc;

use acrossk8s_corefile::ForwardZone;

use crate::engine::{Failure, TaskContext};
use crate::procedure::{Body, Scope, World, coredns};
use crate::topology::{ClusterIndex, Topology};

/// A task body that edits the Corefile with another text than the documented one.
pub(super) fn body(wrong: fn(&Topology, &str, &[ForwardZone]) -> String) -> Body {
    Arc::new(move |context: TaskContext<World>, scope| {
        Box::pin(async move {
            let Scope::Cluster(index) = scope else {
                return Err(Failure::new(format!("an edit of a Corefile was given the scope {scope}")));
            };
            let zones = coredns::zones_for(context.world(), index)?;
            let added = zones.iter().map(|zone| (zone.zone.clone(), zone.upstreams.clone())).collect();
            coredns::replace_corefile(&context, index, added, |corefile| {
                Ok(wrong(&context.world().topology, corefile, &zones))
            })
            .await
        })
    })
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
