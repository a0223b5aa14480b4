//! The VPC CNI: a pod's address and its end of the network.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::NodeAgent;
use crate::aws::AwsError;
use crate::network::{Host, HostKind, HostSpec};

/// Why a pod got no network.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// EC2 gave no address.
    #[error("failed to assign an IP address to container: {0}")]
    Address(#[from] AwsError),
    /// The network refused it.
    #[error("failed to setup network for sandbox: {0}")]
    Attach(#[from] io::Error),
}

impl NodeAgent {
    /// A pod's end of the network: the node's own for `hostNetwork`, else one with a fresh secondary address of the node's
    /// interface, translated as `aws-node` is configured at this moment. (On AWS a changed setting also reaches the pods
    /// that run already.)
    pub(super) async fn connect_pod(&self, pod: &Pod) -> Result<Arc<dyn Host>, CniError> {
        if pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
            return Ok(Arc::clone(&self.host));
        }
        let address = self.site.aws.with(&self.site.region, |state, context| {
            state.ec2.assign_private_address(context, &self.spec.interface)
        })?;
        self.addresses.lock().insert(address);
        let daemon = self.site.informers.daemon_sets.get("kube-system", "aws-node");
        let (source_nat, excluded) = source_nat(daemon.as_deref());
        let host = HostSpec {
            name: self.host_name(pod),
            vpc: self.site.vpc.clone(),
            address,
            kind: HostKind::Pod { node: self.spec.address, source_nat, excluded },
        };
        Ok(self.site.network.attach(host).await?)
    }

    /// What a pod is called on the network.
    pub(super) fn host_name(&self, pod: &Pod) -> String {
        format!("{}/{}/{}", self.site.cluster, pod.namespace().unwrap_or_default(), pod.name_any())
    }

    /// Takes a pod's address away from it. Does nothing for the node's own.
    pub(super) async fn disconnect_pod(&self, address: Ipv4Addr) {
        if !self.addresses.lock().remove(&address) {
            return;
        }
        self.site.network.detach(&self.site.vpc, address).await;
        if let Err(error) = self.unassign(address) {
            tracing::debug!(%address, %error, "address not given back");
        }
    }
}

/// What the environment of `aws-node` says of source address translation: whether it is done, and for which blocks not.
pub(super) fn source_nat(daemon: Option<&DaemonSet>) -> (bool, Vec<ipnet::Ipv4Net>) {
    let containers = daemon.and_then(|daemon| daemon.spec.as_ref()?.template.spec.as_ref());
    let containers = containers.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let variable = |name: &str| {
        let container = containers.iter().find(|container| container.name == "aws-node")?;
        container.env.iter().flatten().find(|variable| variable.name == name)?.value.clone()
    };
    let external = variable("AWS_VPC_K8S_CNI_EXTERNALSNAT").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let excluded = variable("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS").unwrap_or_default();
    let excluded = excluded.split(',').filter_map(|block| block.trim().parse().ok()).collect();
    (!external, excluded)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::nothing_said(json!([]), true, &[])]
    #[case::off(json!([{ "name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "true" }]), false, &[])]
    #[case::excluded(
        json!([{ "name": "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "value": "10.2.0.0/16, 10.3.0.0/16" }]),
        true, &["10.2.0.0/16", "10.3.0.0/16"]
    )]
    fn the_daemon_set_decides_on_translation(#[case] env: Value, #[case] done: bool, #[case] excluded: &[&str]) {
        let daemon: DaemonSet = serde_json::from_value(json!({
            "metadata": { "name": "aws-node" },
            "spec": {
                "selector": {},
                "template": { "spec": { "containers": [{ "name": "aws-node", "env": env }] } },
            },
        }))
        .expect("a daemon set");
        let excluded: Vec<ipnet::Ipv4Net> = excluded.iter().map(|block| block.parse().expect("a block")).collect();
        assert_eq!(source_nat(Some(&daemon)), (done, excluded));
        assert_eq!(source_nat(None), (true, Vec::new()));
    }
}
