//! The cluster provisioner of the embedded environment: reads the `ClusterConfig` that eksctl gets and leaves in the
//! emulated account what eksctl leaves.
//!
//! Source: eksctl's CloudFormation templates (its packages `cfn/builder` and `vpc`). What it does not leave here: IAM
//! roles, launch templates, Auto Scaling groups, and the CloudFormation stacks themselves, which only show in tags.

mod config;
mod create;
mod delete;
mod network;

pub use config::{ClusterConfig, ConfigError, NodeGroup, Taint};
pub use create::{Created, Node, create_cluster};
pub use delete::delete_cluster;

use crate::aws::tags::Tags;

/// Version of eksctl that the tags name.
pub const VERSION: &str = "0.230.0";

/// Tags that CloudFormation and eksctl put on a resource of a stack.
fn stack_tags(config: &ClusterConfig, stack: &str, logical_id: &str) -> Tags {
    let name = &config.metadata.name;
    let mut tags: Tags = config.metadata.tags.clone();
    tags.extend([
        ("Name".to_owned(), format!("{stack}/{logical_id}")),
        ("alpha.eksctl.io/cluster-name".to_owned(), name.clone()),
        ("eksctl.cluster.k8s.io/v1alpha1/cluster-name".to_owned(), name.clone()),
        ("alpha.eksctl.io/eksctl-version".to_owned(), VERSION.to_owned()),
        ("aws:cloudformation:stack-name".to_owned(), stack.to_owned()),
        ("aws:cloudformation:logical-id".to_owned(), logical_id.to_owned()),
    ]);
    tags
}

fn cluster_stack(name: &str) -> String {
    format!("eksctl-{name}-cluster")
}

fn nodegroup_stack(name: &str, group: &str) -> String {
    format!("eksctl-{name}-nodegroup-{group}")
}

#[cfg(test)]
mod tests;
