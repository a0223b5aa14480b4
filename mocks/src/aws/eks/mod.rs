//! EKS: clusters, node groups and add-ons.
//!
//! Clusters have no control plane here: whoever makes one runs a Kubernetes API and tells its URL with [`set_endpoint`].
//! There are no access entries, pod identities, Fargate profiles, capabilities, or updates of clusters and node groups.

mod addons;
mod clusters;
mod errors;
mod nodegroups;
mod reap;
pub mod state;
mod tagging;
pub mod versions;
pub mod wire;

pub use addons::{NewAddon, create_addon};
pub use clusters::{NewCluster, begin_deletion, create_cluster, default_service_cidr, find, set_endpoint};
pub use nodegroups::{NewNodegroup, begin_nodegroup_deletion, create_nodegroup};
pub use reap::{reap, remove_cluster, remove_nodegroup};
pub use state::*;

#[cfg(test)]
mod tests;
