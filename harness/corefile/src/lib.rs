//! Reading and editing Corefiles, CoreDNS's configuration.
//!
//! [`Corefile::parse`] reads a Corefile as CoreDNS does (the Caddyfile syntax: server blocks with zones as keys,
//! directives with arguments, nested blocks, comments, quotes, snippets) and keeps the place of everything, [`check`]
//! refuses what CoreDNS would refuse, and [`plan_edit`] adds forwarding zones without touching a byte of what is there.
#![forbid(unsafe_code)]

mod check;
mod edit;
mod forward;
mod lexer;
mod parser;
mod zone;

pub use check::{PLUGINS, check};
pub use edit::{EditError, Edited, ForwardZone, plan_edit};
pub use forward::{Forward, Upstream, forward_of, nested_zones};
pub use parser::{Corefile, Directive, ParseError, ServerBlock};
pub use zone::ZoneKey;

#[cfg(test)]
mod tests;
