//! ELBv2: Network Load Balancers, listeners and target groups.

pub mod state;
pub mod wire;

mod fabric;

pub use fabric::fabric;
pub use state::*;
