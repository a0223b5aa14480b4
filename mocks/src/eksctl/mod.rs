//! The cluster provisioner of the embedded environment: reads the `ClusterConfig` that eksctl gets and leaves in the
//! emulated account what eksctl leaves.
//!
//! Source: eksctl 0.230, its CloudFormation templates above all (packages `cfn/builder`, `cfn/manager` and `vpc`). What it
//! does not leave here: IAM roles, launch templates, Auto Scaling groups, log groups, and the CloudFormation stacks
//! themselves, which only show in tags. Times that stacks take are the caller's to wait for.

mod config;
mod create;
mod delete;
mod network;
mod node_groups;
mod security_groups;
mod stack;

pub use config::{Addon, ClusterConfig, ConfigError, Metadata, NatMode, NodeGroup, SecurityGroups, Taint};
pub use create::{Created, create_cluster};
pub use delete::delete_cluster;
pub use node_groups::Node;

/// Version of eksctl that the tags name.
pub const VERSION: &str = "0.230.0";

#[cfg(test)]
mod tests;
