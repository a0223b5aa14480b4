//! ELBv2: Network Load Balancers, listeners and target groups.

pub mod state;

pub use state::*;
