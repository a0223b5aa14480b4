//! Adding forwarding zones to a Corefile, and taking them away, without touching a byte of anything else.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::zone::{is_domain_name, normal};
use crate::{Corefile, MAX_UPSTREAMS, ParseError, Scheme, ServerBlock, ZoneKey, forward_of, nested_zones};

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
    /// The server block in the documented form, with a line feed at its end.
    pub fn block(&self) -> String {
        let upstreams = list(&self.upstreams);
        let (zone, port) = (&self.zone, self.port);
        let body = "    errors\n    cache 30\n    forward . ";
        format!("{zone}:{port} {{\n{body}{upstreams} {{\n        force_tcp\n    }}\n}}\n")
    }

    fn key(&self) -> ZoneKey {
        ZoneKey { zone: normal(&self.zone), port: self.port, scheme: Scheme::Dns }
    }
}

/// How to edit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EditOptions {
    /// Replace a server block that serves a wanted zone, and nothing else, in another way. Its bytes are replaced; all
    /// others stay.
    pub replace: bool,
}

/// An edited Corefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// Zones that were added; those that were there in the right form are not among them.
    pub added: Vec<String>,
    /// Zones whose server block was replaced.
    pub replaced: Vec<String>,
}

impl Edited {
    /// Whether the text is another than before.
    pub fn changed(&self) -> bool {
        !self.added.is_empty() || !self.replaced.is_empty()
    }
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
    /// The zone is one of several that a server block serves.
    #[error(
        "line {line}: the zone {zone} is one of several keys of a server block ({keys}): give it a server block of its own"
    )]
    Shared {
        /// The zone.
        zone: String,
        /// The block's line.
        line: usize,
        /// The block's keys.
        keys: String,
    },
    /// The file's only server block has no braces, so that nothing can be added behind it.
    #[error("line {line}: the server block has no braces, and takes in all that follows: put its directives in braces")]
    Braceless {
        /// The block's line.
        line: usize,
    },
    /// What is added behind the file's end would be taken for a part of what stands there.
    #[error("a quote is open at the end of the file, and takes in all that follows: close it")]
    OpenEnd,
    /// The zone has no upstream, or more than `forward` takes.
    #[error("the zone {zone} has {count} upstreams; CoreDNS takes 1 to 15")]
    Upstreams {
        /// The zone.
        zone: String,
        /// How many.
        count: usize,
    },
    /// What is to be added is no zone.
    #[error("\"{zone}\" is no zone that can be forwarded: a domain name is wanted")]
    NotAZone {
        /// What it is.
        zone: String,
    },
}

/// Adds a server block for each zone at the top level, in the documented form, behind everything that is there. Zones
/// that are there in that form already stay as they are, so editing twice changes nothing.
///
/// # Errors
/// See [`EditError`]: nothing is changed then.
pub fn plan_edit(corefile: &str, zones: &[ForwardZone]) -> Result<Edited, EditError> {
    plan_edit_with(corefile, zones, EditOptions::default())
}

/// As [`plan_edit`], with options.
///
/// # Errors
/// See [`EditError`]: nothing is changed then.
pub fn plan_edit_with(corefile: &str, zones: &[ForwardZone], options: EditOptions) -> Result<Edited, EditError> {
    let mut edited = Edited { text: corefile.to_owned(), added: Vec::new(), replaced: Vec::new() };
    for zone in zones {
        validate(zone)?;
        let parsed = Corefile::parse(&edited.text)?;
        let name = normal(&zone.zone);
        if let Some((_, line)) = nested_zones(&parsed).into_iter().find(|(key, _)| key.zone == name) {
            return Err(EditError::Nested { zone: name, line });
        }
        let Some(block) = parsed.block_of(&name) else {
            append(&mut edited.text, &parsed, zone)?;
            edited.added.push(name);
            continue;
        };
        if block.keys.len() > 1 {
            let keys = block.keys.iter().map(ZoneKey::to_string).collect::<Vec<_>>().join(" ");
            return Err(EditError::Shared { zone: name, line: block.line, keys });
        }
        let Some(difference) = difference(block, zone) else { continue };
        if !options.replace || block.imported || !block.braced {
            return Err(EditError::Different { zone: name, line: block.line, difference });
        }
        edited.text.replace_range(block.span.clone(), zone.block().trim_end());
        edited.replaced.push(name);
    }
    Ok(edited)
}

fn validate(zone: &ForwardZone) -> Result<(), EditError> {
    let count = zone.upstreams.len();
    if count == 0 || count > MAX_UPSTREAMS {
        return Err(EditError::Upstreams { zone: zone.zone.clone(), count });
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if normal(&zone.zone) == "." || !is_domain_name(&zone.zone) || !zone.zone.chars().all(plain) {
        return Err(EditError::NotAZone { zone: zone.zone.clone() });
    }
    Ok(())
}

fn append(text: &mut String, parsed: &Corefile, zone: &ForwardZone) -> Result<(), EditError> {
    if let Some(block) = parsed.blocks.iter().find(|block| !block.braced) {
        return Err(EditError::Braceless { line: block.line });
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&zone.block());
    // What was written has to be read as it was meant, and nothing else in another way.
    match Corefile::parse(text).ok().as_ref().and_then(|read| read.blocks.split_last()) {
        Some((last, before)) if before == parsed.blocks && difference(last, zone).is_none() => Ok(()),
        _ => Err(EditError::OpenEnd),
    }
}

/// How a server block with one key differs from the documented form, in what matters.
fn difference(block: &ServerBlock, wanted: &ForwardZone) -> Option<String> {
    let key = wanted.key();
    if block.keys.first() != Some(&key) {
        let keys = block.keys.iter().map(ZoneKey::to_string).collect::<Vec<_>>().join(" ");
        return Some(format!("its block serves {keys} instead of {key}"));
    }
    let Some(forward) = forward_of(block) else { return Some("it forwards nothing".to_owned()) };
    let there: BTreeSet<Ipv4Addr> = forward.addresses().collect();
    let upstreams: BTreeSet<Ipv4Addr> = wanted.upstreams.iter().copied().collect();
    let on_dns_port = forward.to.iter().all(|to| matches!(to, crate::Upstream::Address(to) if to.port() == 53));
    if forward.from != "." || there != upstreams || !on_dns_port {
        let to = &block.directive("forward").map(|it| it.args.get(1..).unwrap_or_default().join(" "));
        let to = to.as_deref().unwrap_or_default();
        return Some(format!("it forwards {} to {to} instead of . to {}", forward.from, list(&wanted.upstreams)));
    }
    if !forward.force_tcp {
        return Some("without force_tcp".to_owned());
    }
    if !forward.except.is_empty() {
        return Some(format!("it does not forward {}", forward.except.join(" ")));
    }
    None
}

fn list(addresses: &[Ipv4Addr]) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ")
}

/// A Corefile from which zones were taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The text.
    pub text: String,
    /// Zones whose server block was removed.
    pub removed: Vec<String>,
}

/// Removes the server blocks that [`plan_edit`] adds for these zones, with the line feed behind each. A block that
/// serves such a zone in another way was made, or changed, by somebody else, and stays.
///
/// # Errors
/// When the Corefile cannot be read.
pub fn undo(corefile: &str, zones: &[ForwardZone]) -> Result<Undone, ParseError> {
    let parsed = Corefile::parse(corefile)?;
    let mut undone = Undone { text: corefile.to_owned(), removed: Vec::new() };
    // From the end, so that the places of blocks before stay right.
    let mut blocks: Vec<&ServerBlock> = parsed.blocks.iter().filter(|block| block.braced && !block.imported).collect();
    blocks.sort_by_key(|block| std::cmp::Reverse(block.span.start));
    for block in blocks {
        let Some(zone) = zones.iter().find(|zone| block.keys == [zone.key()] && difference(block, zone).is_none())
        else {
            continue;
        };
        let mut end = block.span.end;
        end += usize::from(corefile[end..].starts_with('\n'));
        undone.text.replace_range(block.span.start..end, "");
        undone.removed.push(normal(&zone.zone));
    }
    undone.removed.reverse();
    Ok(undone)
}

/// A Corefile after a restoration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The text.
    pub text: String,
    /// Whether it is the back-up to the byte. If not, somebody else changed the Corefile since the back-up, and the
    /// change was kept.
    pub exact: bool,
}

/// Restores a Corefile: to the back-up, byte for byte, where the zones are all that was added since; else the zones are
/// removed, and what others changed stays.
///
/// # Errors
/// When the Corefile cannot be read.
pub fn restore(corefile: &str, backup: &str, zones: &[ForwardZone]) -> Result<Restored, ParseError> {
    let undone = undo(corefile, zones)?;
    // The edit may have added a line feed behind the last block.
    let exact = undone.text == backup || undone.text.strip_suffix('\n') == Some(backup);
    Ok(Restored { text: if exact { backup.to_owned() } else { undone.text }, exact })
}
