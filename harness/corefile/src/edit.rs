//! Adding forwarding zones to a Corefile, without touching a byte of what is there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::{Corefile, ParseError, ServerBlock, ZoneKey, forward_of, nested_zones};

/// A zone that is to be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardZone {
    /// The zone, for example `ns-2.svc.cluster.local`.
    pub zone: String,
    /// Port of the server block.
    pub port: u16,
    /// Addresses that its queries are forwarded to, over TCP.
    pub upstreams: Vec<Ipv4Addr>,
}

impl ForwardZone {
    /// The server block in the documented form.
    pub fn block(&self) -> String {
        let upstreams = self.upstreams.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
        let (zone, port) = (&self.zone, self.port);
        let body = "    errors\n    cache 30\n    forward . ";
        format!("{zone}:{port} {{\n{body}{upstreams} {{\n        force_tcp\n    }}\n}}\n")
    }
}

/// An edited Corefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// Zones that were added; those that were there in the right form are not among them.
    pub added: Vec<String>,
}

/// A Corefile that must not be edited: what is there, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error("it cannot be read ({0}): mend it, or restore it from a back-up, before adding zones")]
    Unreadable(#[from] ParseError),
    /// The zone stands inside another server block.
    #[error(
        "line {line}: the zone {zone} stands inside another server block, where CoreDNS takes it for a plugin and \
         refuses the file: move it to the top level"
    )]
    Nested {
        /// The zone.
        zone: String,
        /// Its line.
        line: usize,
    },
    /// A server block serves the zone in another way.
    #[error(
        "line {line}: the zone {zone} is served already, in another way ({difference}): remove that server block, or mend it"
    )]
    Different {
        /// The zone.
        zone: String,
        /// Its line.
        line: usize,
        /// What is different.
        difference: String,
    },
    /// The zone has no upstream, or more than `forward` takes.
    #[error("the zone {zone} has {count} upstreams; CoreDNS takes 1 to 15")]
    Upstreams {
        /// The zone.
        zone: String,
        /// How many.
        count: usize,
    },
}

/// Adds a server block for each zone at the top level, in the documented form, behind everything that is there. Zones
/// that are there in that form already stay as they are, so editing twice changes nothing.
///
/// # Errors
/// See [`EditError`]: nothing is changed then.
pub fn plan_edit(corefile: &str, zones: &[ForwardZone]) -> Result<Edited, EditError> {
    let parsed = Corefile::parse(corefile)?;
    let nested = nested_zones(&parsed);
    let mut text = corefile.to_owned();
    let mut added = Vec::new();
    for zone in zones {
        if zone.upstreams.is_empty() || zone.upstreams.len() > crate::check::MAX_UPSTREAMS {
            return Err(EditError::Upstreams { zone: zone.zone.clone(), count: zone.upstreams.len() });
        }
        let name = crate::zone::normal(&zone.zone);
        if let Some((_, line)) = nested.iter().find(|(key, _)| key.zone == name) {
            return Err(EditError::Nested { zone: name, line: *line });
        }
        match parsed.block_of(&name) {
            Some(block) => match difference(block, zone) {
                None => continue,
                Some(difference) => return Err(EditError::Different { zone: name, line: block.line, difference }),
            },
            None => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                let _ = write!(text, "{}", zone.block());
                added.push(name);
            }
        }
    }
    Ok(Edited { text, added })
}

/// How a server block differs from the documented form, in what matters.
fn difference(block: &ServerBlock, wanted: &ForwardZone) -> Option<String> {
    let key = ZoneKey { zone: crate::zone::normal(&wanted.zone), port: wanted.port };
    if block.keys != [key] {
        let keys = block.keys.iter().map(ZoneKey::to_string).collect::<Vec<_>>().join(" ");
        return Some(format!("its block serves {keys}"));
    }
    let Some(forward) = forward_of(block) else { return Some("it forwards nothing".to_owned()) };
    let (there, wanted): (BTreeSet<_>, BTreeSet<_>) =
        (forward.addresses().collect(), wanted.upstreams.iter().copied().collect());
    if forward.from != "." || there != wanted || forward.to.len() != wanted.len() {
        let list =
            |addresses: &BTreeSet<Ipv4Addr>| addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
        return Some(format!("it forwards {} to {} instead of . to {}", forward.from, list(&there), list(&wanted)));
    }
    if !forward.force_tcp {
        return Some("without force_tcp".to_owned());
    }
    None
}
