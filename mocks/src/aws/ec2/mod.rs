//! EC2: what exists and how it changes.

pub mod peerings;
pub mod state;
pub mod wire;

mod fabric;

pub use fabric::fabric;
pub use state::*;
