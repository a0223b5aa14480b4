//! Tests of the protocols.
#![expect(clippy::unwrap_used, reason = "tests")]

mod dispatch;
mod params;
mod server;
mod text;
