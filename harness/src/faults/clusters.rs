//! Clusters as people get them wrong ("Start the Kubernetes cluster"), and CIDR blocks and namespaces as they plan them.

use super::{Fault, ONE, TWO};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Failure, TaskContext};
use crate::procedure::{Scope, World, aws_failure, task_id};
use crate::topology::{ClusterIndex, Topology};

const CONFIG: &str = "write-cluster-config/1";
const CHECK: &str = "check-nginx/1-to-2";
const NODE_GROUP: &str = "another";

pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    let pairs = |index: ClusterIndex| {
        let pairs = topology.pairs().into_iter().filter(move |it| it.requester == index || it.accepter == index);
        pairs.map(|pair| task_id("create-peering", Scope::Pair(pair)))
    };
    let mut wrong_vpc = Fault::new(
        "wrong-vpc-id",
        "the VPC id of cluster 1 is taken from the wrong column",
        Diagnosed::at(Own::PeeringMissing, "vpc", ONE),
    )
    .after("get-vpc-id/1", |context| async move {
        context.world().learn(ONE, |facts| facts.vpc = facts.subnets.first().map(|it| it.replace("subnet-", "vpc-")));
        Ok(())
    })
    .caught_by(&["vpc-known"]);
    wrong_vpc.stops.extend(pairs(ONE));
    let into = topology.others(ONE).map(|other| task_id("allow-traffic", Scope::Direction(other, ONE)));
    wrong_vpc.stops.extend(into);
    let mut same_namespace = Fault::new(
        "same-namespace",
        "cluster 1 and cluster 2 use the same namespace",
        Diagnosed::at(Own::NamespaceNotUnique, "namespace", TWO),
    )
    .wants(|topology| topology.clusters[TWO.0].namespace = topology.cluster(ONE).namespace.clone())
    .caught_by(&["namespaces-distinct"]);
    // The others would forward one zone to two clusters.
    same_namespace.stops.extend(topology.indices().skip(2).map(|other| task_id("edit-coredns", Scope::Cluster(other))));
    let mut creating = Fault::new(
        "node-group-being-created",
        "cluster 1 gets another node group, and nobody waits for it",
        Diagnosed::NoProbeFails,
    )
    .after(CHECK, |context| async move { add_node_group(&context).await })
    .before("delete-nginx/1", |context| async move { remove_node_group(&context).await })
    .caught_by(&["cluster-active"]);
    creating.lab.node_group_create = Some(std::time::Duration::from_secs(36_000));
    let mut faults = vec![
        wrong_vpc,
        Fault::new(
            "interface-of-somebody-else",
            "somebody keeps an interface in a subnet of cluster 1, and its VPC cannot be deleted",
            Diagnosed::NoProbeFails,
        )
        .after("delete-nginx/1", |context| async move { add_interface(&context).await })
        .leaves(&["cluster ", "VPC ", "subnet "]),
        Fault::new(
            "without-ebs-csi-driver",
            "the file of cluster 1 asks for another add-on than the EBS CSI driver",
            Diagnosed::NoProbeFails,
        )
        .after(CONFIG, |context| async move { rewrite(&context, "aws-ebs-csi-driver", "vpc-cni") })
        .caught_by(&["ebs-csi-driver"]),
        Fault::new(
            "context-of-another-cluster",
            "the context of cluster 1 is used for cluster 2",
            Diagnosed::NoProbeFails,
        )
        .needs("get-context/2", |_| vec!["get-context/1".to_owned()])
        .after("get-context/2", |context| async move {
            let first = context.world().known(ONE).context;
            context.world().learn(TWO, |facts| facts.context = first);
            Ok(())
        })
        .caught_by(&["contexts-distinct"]),
        creating,
        Fault::new(
            "overlapping-cidr-blocks",
            "the block of cluster 2 is within that of cluster 1, forced past validation",
            Diagnosed::at(Own::VpcCidrOverlap, "vpc", TWO),
        )
        .wants(|topology| {
            let block = topology.cluster(ONE).cidr_block;
            let half = block.subnets(block.prefix_len() + 1).ok().and_then(|mut halves| halves.nth(1));
            if let Some(half) = half {
                topology.clusters[TWO.0].cidr_block = half;
            }
        })
        .caught_by(&["cidr-blocks-disjoint"])
        .stops(&["accept-peering/1-2", "add-routes/1-to-2", "add-routes/2-to-1"]),
        Fault::new(
            "service-cidr-in-a-vpc",
            "the addresses of the Services of cluster 1 are in the block of cluster 2",
            Diagnosed::NoProbeFails,
        )
        .wants(|topology| topology.clusters[ONE.0].service_cidr = topology.cluster(TWO).cidr_block)
        .caught_by(&["service-cidr-disjoint"]),
        same_namespace,
    ];
    if let Some(group) = topology.cluster(ONE).node_groups.first() {
        let name = group.name.clone();
        let fault = Fault::new(
            "node-group-with-another-name",
            "the file of cluster 1 names its node group otherwise",
            Diagnosed::NoProbeFails,
        )
        .after(CONFIG, move |context| {
            let changed = rewrite(&context, &format!("name: {name}\n"), &format!("name: {name}s\n"));
            async move { changed }
        })
        .caught_by(&["cluster-config"]);
        faults.push(fault);
    }
    // A cluster without nodes has no CoreDNS either, and eksctl would wait for it.
    if let Some(count) = topology.cluster(ONE).node_groups.iter().map(|it| it.desired_capacity).find(|it| *it > 1) {
        let fault =
            Fault::new("too-few-nodes", "the file of cluster 1 asks for one node less", Diagnosed::NoProbeFails)
                .after(CONFIG, move |context| {
                    let capacity = |count| format!("desiredCapacity: {count}\n");
                    let changed = rewrite(&context, &capacity(count), &capacity(count - 1));
                    async move { changed }
                })
                .caught_by(&["nodes-ready"]);
        faults.push(fault);
    }
    faults
}

/// Another text in the file of cluster 1, which eksctl then gets.
fn rewrite(context: &TaskContext<World>, documented: &str, wrong: &str) -> Result<(), Failure> {
    let config = context.world().known(ONE).config.filter(|config| config.contains(documented));
    let config = config.ok_or_else(|| Failure::new(format!("the file of cluster 1 does not say {documented}")))?;
    context.world().learn(ONE, |facts| facts.config = Some(config.replacen(documented, wrong, 1)));
    Ok(())
}

async fn add_node_group(context: &TaskContext<World>) -> Result<(), Failure> {
    let world = context.world();
    let new = world.aws(ONE)?.eks.create_nodegroup().cluster_name(&world.cluster(ONE).name).nodegroup_name(NODE_GROUP);
    let new = new.set_subnets(Some(world.known(ONE).subnets)).node_role("arn:aws:iam::123456789012:role/nodes");
    new.send().await.map(drop).map_err(|error| aws_failure("the node group cannot be created", &error))
}

/// No journal knows the node group, and the cluster could not be deleted with it.
async fn remove_node_group(context: &TaskContext<World>) -> Result<(), Failure> {
    let world = context.world();
    let delete = world.aws(ONE)?.eks.delete_nodegroup().cluster_name(&world.cluster(ONE).name);
    let deleted = delete.nodegroup_name(NODE_GROUP).send().await;
    deleted.map(drop).map_err(|error| aws_failure("the node group cannot be deleted", &error))
}

/// No journal knows the interface, so teardown leaves it, and with it what cannot be deleted before it.
async fn add_interface(context: &TaskContext<World>) -> Result<(), Failure> {
    let subnet = context.world().known(ONE).subnets.first().cloned().unwrap_or_default();
    let new = context.world().aws(ONE)?.ec2.create_network_interface().subnet_id(subnet).description("somebody else's");
    new.send().await.map(drop).map_err(|error| aws_failure("the interface cannot be made", &error))
}
