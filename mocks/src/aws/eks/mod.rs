//! EKS: clusters, node groups and add-ons.

mod clusters;
pub mod state;
pub mod wire;

pub use clusters::{
    NewCluster, begin_deletion, create_addon, create_cluster, create_nodegroup, find, reap, set_endpoint,
};
pub use state::*;
