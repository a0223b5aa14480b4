#![expect(clippy::unwrap_used, reason = "tests")]

mod checks;
mod edits;
mod properties;
mod syntax;

use std::net::Ipv4Addr;

use crate::ForwardZone;

/// The Corefile of EKS's add-on.
pub(crate) const EKS: &str = include_str!("../../../../fixtures/corefiles/eks-default");

fn zone(name: &str, upstreams: &[[u8; 4]]) -> ForwardZone {
    ForwardZone {
        zone: format!("{name}.svc.cluster.local"),
        port: 53,
        upstreams: upstreams.iter().map(|it| Ipv4Addr::from(*it)).collect(),
    }
}
