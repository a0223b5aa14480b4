//! What a server block forwards, and zones that stand where CoreDNS does not look for them.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{Corefile, Directive, ServerBlock, ZoneKey};

/// The `forward` plugin of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The zone that is forwarded, `.` for everything in the block.
    pub from: String,
    /// Where to.
    pub to: Vec<Upstream>,
    /// Whether queries go over TCP whatever they came over.
    pub force_tcp: bool,
    /// How upstreams are picked: `random`, `round_robin` or `sequential`.
    pub policy: String,
    /// Zones that are not forwarded.
    pub except: Vec<String>,
}

/// Where queries are forwarded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// An address and port.
    Address(SocketAddrV4),
    /// The name servers of a file in the form of resolv.conf.
    File(String),
    /// Anything else, as written: an IPv6 address, DNS over TLS.
    Other(String),
}

impl Forward {
    /// The addresses that are forwarded to.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.to.iter().filter_map(|upstream| match upstream {
            Upstream::Address(address) => Some(*address.ip()),
            _ => None,
        })
    }
}

/// What a block forwards, if it does.
pub fn forward_of(block: &ServerBlock) -> Option<Forward> {
    block.directive("forward").map(read)
}

fn read(directive: &Directive) -> Forward {
    let option = |name: &str| directive.block.iter().find(|option| option.name == name);
    let mut args = directive.args.iter();
    Forward {
        from: args.next().map(|from| crate::zone::normal(from)).unwrap_or_default(),
        to: args.map(|to| upstream(to)).collect(),
        force_tcp: option("force_tcp").is_some(),
        policy: option("policy")
            .and_then(|policy| policy.args.first())
            .map_or_else(|| "random".to_owned(), Clone::clone),
        except: directive.block.iter().filter(|it| it.name == "except").flat_map(|it| it.args.clone()).collect(),
    }
}

fn upstream(to: &str) -> Upstream {
    let address = to.strip_prefix("dns://").unwrap_or(to);
    if let Ok(ip) = address.parse::<Ipv4Addr>() {
        Upstream::Address(SocketAddrV4::new(ip, 53))
    } else if let Ok(address) = address.parse::<SocketAddrV4>() {
        Upstream::Address(address)
    } else if to.starts_with('/') {
        Upstream::File(to.to_owned())
    } else {
        Upstream::Other(to.to_owned())
    }
}

/// Zones that stand inside a server block, where CoreDNS takes them for plugins: a mistake that people make.
/// Returns each zone with its line.
pub fn nested_zones(corefile: &Corefile) -> Vec<(ZoneKey, usize)> {
    corefile
        .blocks
        .iter()
        .flat_map(|block| &block.directives)
        .filter(|directive| directive.name.contains('.') && !directive.block.is_empty())
        .filter_map(|directive| Some((ZoneKey::parse(&directive.name)?, directive.line)))
        .collect()
}
