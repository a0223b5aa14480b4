//! Reading and editing Corefiles, CoreDNS's configuration.
//!
//! [`Corefile::parse`] reads a Corefile as CoreDNS does (the Caddyfile syntax: server blocks with zones as keys,
//! directives with arguments, nested blocks, comments, quotes, environment variables, snippets) and keeps the place of
//! everything; [`check`] refuses what CoreDNS would refuse when it starts; [`plan_edit`] adds forwarding zones without
//! touching a byte of what is there, and [`undo`] and [`restore`] take them away again.
#![forbid(unsafe_code)]

mod check;
mod duration;
mod edit;
mod error;
mod fingerprint;
mod forward;
mod lexer;
mod options;
mod parser;
mod zone;

pub use check::{MAX_UPSTREAMS, PLUGINS, check};
pub use duration::duration;
pub use edit::{
    EditError, EditOptions, Edited, ForwardZone, Restored, Undone, plan_edit, plan_edit_with, restore, undo,
};
pub use error::ParseError;
pub use forward::{Forward, Upstream, cache_ttl, forward, forward_of, forwarded_zones, nested_zones};
pub use parser::{Corefile, Directive, ServerBlock};
pub use zone::{Scheme, ZoneKey};

#[cfg(test)]
mod tests;
