//! The source address that a peer sees (C3.4).

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::cause::Cause;
use super::check::{Finding, each_direction, fail, unseen};
use super::view::View;
use super::{Invariant, kubernetes, nginx};
use crate::document::{ClauseId, Level};
use crate::observation::{Observation, ProbeResult};
use crate::topology::Topology;

pub(super) const INVARIANTS: &[Invariant] = &[Invariant {
    id: "source-address",
    title: "the peer sees the source address that the VPC CNI's configuration implies",
    level: Level::Should,
    clauses: &[ClauseId::new(3, 4)],
    causes: &[Cause::from(kubernetes::CONTEXT), Cause::along(nginx::HTTP)],
    check: source_address,
}];

/// Whether the VPC CNI leaves the pod's own address on packets to a block.
///
/// Source: amazon-vpc-cni-k8s, README: without `AWS_VPC_K8S_CNI_EXTERNALSNAT` packets that leave the VPC get the node's
/// primary address, but for the blocks of `AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`.
pub(crate) fn keeps_pod_address(env: &BTreeMap<String, String>, to: Ipv4Net) -> bool {
    let external = env.get("AWS_VPC_K8S_CNI_EXTERNALSNAT").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let excluded = env.get("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS").map(String::as_str).unwrap_or_default();
    let mut excluded = excluded.split(',').filter_map(|block| block.trim().parse::<Ipv4Net>().ok());
    external || excluded.any(|block| block.contains(&to))
}

fn source_address(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_direction(topology, |from, to| {
        let missing = || unseen(format!("the source address that {} saw of {}", view.name(to), view.name(from)));
        let seen = match nginx::request(view, from, nginx::SAMPLE_NGINX, to).map(|probe| &probe.result) {
            Some(ProbeResult::Http { seen_source: Some(seen), .. }) => *seen,
            _ => return Err(missing()),
        };
        let kubernetes = view.kubernetes(from)?;
        let pod = view.nginx(from)?;
        let pod_address = view.nginx_address(from)?;
        let (expected, whose) = if keeps_pod_address(&kubernetes.aws_node_env, view.wanted(to).cidr_block) {
            (pod_address, "the pod's own address, since aws-node does not translate this destination")
        } else {
            let node = kubernetes.nodes.iter().find(|node| node.name == pod.node);
            let node = node.ok_or_else(|| unseen(format!("the node {} of {}", pod.node, view.name(from))))?;
            (node.address, "the node's primary address, since aws-node translates what leaves the VPC")
        };
        if seen == expected {
            return Ok(());
        }
        Err(fail(
            [
                format!("{} saw {seen} and should see {expected}: {whose}", view.name(to)),
                format!("the pod has {pod_address} on {}", pod.node),
            ],
            "Something else translates addresses on the way (a NAT gateway, a proxy): security group rules for the cluster's \
             CIDR block need not match it, and PD over TLS compares the source address with the peer's name.",
            format!(
                "kubectl --context {} -n kube-system set env daemonset aws-node AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS={}, and \
                 check the route to {} for a NAT gateway",
                view.context(from),
                view.wanted(to).cidr_block,
                view.wanted(to).cidr_block
            ),
        ))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use rstest::rstest;

    use super::keeps_pod_address;

    #[rstest]
    #[case(&[], false)]
    #[case(&[("AWS_VPC_K8S_CNI_EXTERNALSNAT", "false")], false)]
    #[case(&[("AWS_VPC_K8S_CNI_EXTERNALSNAT", "true")], true)]
    #[case(&[("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "10.3.0.0/16, 10.2.0.0/16")], true)]
    #[case(&[("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "10.3.0.0/16")], false)]
    #[case(&[("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "nonsense")], false)]
    fn environment(#[case] env: &[(&str, &str)], #[case] keeps: bool) {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(keeps_pod_address(&env, "10.2.0.0/16".parse().unwrap()), keeps);
    }
}
