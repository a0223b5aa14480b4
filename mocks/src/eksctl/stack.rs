//! CloudFormation stacks, as far as they show: in names and tags.

use super::{ClusterConfig, VERSION};
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, Context, State};

/// Tag with the name of the stack that a resource belongs to.
pub(super) const STACK_NAME: &str = "aws:cloudformation:stack-name";
/// Tag with the name of a resource in its stack's template.
pub(super) const LOGICAL_ID: &str = "aws:cloudformation:logical-id";
/// Tag with the name of the cluster.
pub(super) const CLUSTER_NAME: &str = "alpha.eksctl.io/cluster-name";
/// Tag with the name of the node group.
pub(super) const NODEGROUP_NAME: &str = "alpha.eksctl.io/nodegroup-name";

/// A stack that is being made.
pub(super) struct Stack {
    pub name: String,
    tags: Tags,
}

pub(super) fn cluster_stack_name(cluster: &str) -> String {
    format!("eksctl-{cluster}-cluster")
}

pub(super) fn nodegroup_stack_name(cluster: &str, nodegroup: &str) -> String {
    format!("eksctl-{cluster}-nodegroup-{nodegroup}")
}

impl Stack {
    /// The cluster's stack.
    pub fn of_cluster(state: &mut State, context: &Context, config: &ClusterConfig) -> Self {
        let more = [("alpha.eksctl.io/cluster-oidc-enabled", "false")];
        Self::new(state, context, config, cluster_stack_name(&config.metadata.name), &more, &Tags::new())
    }

    /// The stack of a node group with tags of its own.
    pub fn of_nodegroup(
        state: &mut State,
        context: &Context,
        config: &ClusterConfig,
        nodegroup: &str,
        managed: bool,
        tags: &Tags,
    ) -> Self {
        let kind = if managed { "managed" } else { "unmanaged" };
        let more = [
            (NODEGROUP_NAME, nodegroup),
            ("eksctl.io/v1alpha2/nodegroup-name", nodegroup),
            ("alpha.eksctl.io/nodegroup-type", kind),
        ];
        Self::new(state, context, config, nodegroup_stack_name(&config.metadata.name, nodegroup), &more, tags)
    }

    fn new(
        state: &mut State,
        context: &Context,
        config: &ClusterConfig,
        name: String,
        more: &[(&str, &str)],
        own: &Tags,
    ) -> Self {
        let cluster = config.metadata.name.as_str();
        let unique = state.ids.hex(12);
        let id = format!("arn:aws:cloudformation:{}:{ACCOUNT}:stack/{name}/{unique}", context.region);
        let mut tags = config.metadata.tags.clone();
        tags.extend(own.clone());
        let fixed = [
            (CLUSTER_NAME, cluster),
            ("eksctl.cluster.k8s.io/v1alpha1/cluster-name", cluster),
            ("alpha.eksctl.io/eksctl-version", VERSION),
            (STACK_NAME, &name),
            ("aws:cloudformation:stack-id", &id),
        ];
        for (key, value) in fixed.iter().chain(more) {
            tags.insert((*key).to_owned(), (*value).to_owned());
        }
        Self { name, tags }
    }

    /// The tags of a resource of the stack.
    pub fn tags(&self, logical_id: &str) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert("Name".to_owned(), format!("{}/{logical_id}", self.name));
        tags.insert(LOGICAL_ID.to_owned(), logical_id.to_owned());
        tags
    }

    /// A name as CloudFormation makes it up where the template gives none.
    pub fn physical_name(&self, state: &mut State, logical_id: &str) -> String {
        format!("{}-{logical_id}-{}", self.name, state.ids.hex(12).to_ascii_uppercase())
    }
}
