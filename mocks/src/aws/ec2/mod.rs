//! EC2: what exists and how it changes.

pub mod state;

pub use state::*;
