//! EKS: clusters, node groups and add-ons.

pub mod state;

pub use state::*;
