//! What server blocks forward, and zones that stand where CoreDNS does not look for them.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{Corefile, Directive, ServerBlock, ZoneKey};

/// A directive of the `forward` plugin.
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

/// What a block forwards, if it does: its first `forward` directive.
pub fn forward_of(block: &ServerBlock) -> Option<Forward> {
    block.directive("forward").map(forward)
}

/// Reads a `forward` directive.
pub fn forward(directive: &Directive) -> Forward {
    let mut args = directive.args.iter();
    let policy = directive.option("policy").and_then(|policy| policy.args.first());
    let except = directive.block.iter().filter(|option| option.name == "except").flat_map(|option| &option.args);
    Forward {
        from: args.next().map(|from| crate::zone::normal(from)).unwrap_or_default(),
        to: args.map(|to| upstream(to)).collect(),
        force_tcp: directive.option("force_tcp").is_some(),
        policy: policy.cloned().unwrap_or_else(|| "random".to_owned()),
        except: except.map(|zone| crate::zone::normal(zone)).collect(),
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

/// Zones that a server block of their own forwards to addresses, each with what it forwards.
pub fn forwarded_zones(corefile: &Corefile) -> Vec<(&ZoneKey, &ServerBlock, Forward)> {
    corefile
        .zones()
        .filter_map(|(key, block)| Some((key, block, forward_of(block)?)))
        .filter(|(_, _, forward)| forward.addresses().next().is_some())
        .collect()
}

/// The longest time that the block's cache keeps an answer that is there, in seconds: the plugin's default of an hour
/// where it names none. `None` without `cache`.
pub fn cache_ttl(block: &ServerBlock) -> Option<u32> {
    let cache = block.directive("cache")?;
    Some(cache.args.first().and_then(|ttl| ttl.parse().ok()).unwrap_or(3600))
}

/// Zones that stand inside a server block, at whatever depth, where CoreDNS takes them for plugins or options: a mistake
/// that people make. Returns each zone with its line.
pub fn nested_zones(corefile: &Corefile) -> Vec<(ZoneKey, usize)> {
    fn collect(directives: &[Directive], found: &mut Vec<(ZoneKey, usize)>) {
        for directive in directives {
            // A name with a dot and a block is a zone; addresses of `hosts` have no block.
            if directive.name.contains('.') && !directive.block.is_empty() {
                for key in std::iter::once(&directive.name).chain(&directive.args) {
                    let zones = ZoneKey::parse_all(key).unwrap_or_default();
                    found.extend(zones.into_iter().map(|zone| (zone, directive.line)));
                }
            }
            collect(&directive.block, found);
        }
    }
    let mut found = Vec::new();
    for block in &corefile.blocks {
        collect(&block.directives, &mut found);
    }
    found
}
