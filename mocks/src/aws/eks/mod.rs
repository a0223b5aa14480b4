//! EKS: clusters, node groups and add-ons.

pub mod state;
pub mod wire;

pub use state::*;
