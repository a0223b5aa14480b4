//! EKS clusters and their VPCs (C1.1, C1.3, C1.5, C2.1).

use serde::Deserialize;

use super::Invariant;
use super::cause::Cause;
use super::check::{Finding, each_cluster, each_pair, fail, none_wrong, unseen};
use super::view::View;
use crate::document::{ClauseId, Level};
use crate::observation::Observation;
use crate::topology::{Cluster, Topology};

pub(super) const NAMES_DISTINCT: &str = "cluster-names-distinct";
pub(super) const ACTIVE: &str = "cluster-active";
pub(super) const AUTO_MODE_OFF: &str = "auto-mode-off";
pub(super) const VPC_KNOWN: &str = "vpc-known";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: "cluster-config",
        title: "eksctl got the documented ClusterConfig",
        level: Level::Must,
        clauses: &[ClauseId::new(1, 1), ClauseId::beyond(1, 1)],
        causes: &[],
        check: config,
    },
    Invariant {
        id: NAMES_DISTINCT,
        title: "the two clusters are not the same name in the same region",
        level: Level::Should,
        clauses: &[ClauseId::beyond(1, 1)],
        causes: &[],
        check: names_distinct,
    },
    Invariant {
        id: ACTIVE,
        title: "the EKS cluster and its managed node groups are ACTIVE",
        level: Level::Must,
        clauses: &[ClauseId::new(1, 3)],
        causes: &[],
        check: active,
    },
    Invariant {
        id: AUTO_MODE_OFF,
        title: "EKS Auto Mode is off",
        level: Level::Should,
        clauses: &[ClauseId::beyond(1, 3)],
        causes: &[Cause::around(ACTIVE)],
        check: auto_mode_off,
    },
    Invariant {
        id: VPC_KNOWN,
        title: "the cluster names its VPC, and it is the one that was taken",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 1)],
        causes: &[Cause::around(ACTIVE)],
        check: vpc_known,
    },
    Invariant {
        id: "vpc-cidr-block",
        title: "the VPC has exactly the requested CIDR block",
        level: Level::Should,
        clauses: &[ClauseId::new(1, 5)],
        causes: &[Cause::around(VPC_KNOWN)],
        check: vpc_cidr_block,
    },
    Invariant {
        id: "subnets-within-vpc",
        title: "the cluster's subnets lie within the VPC",
        level: Level::Should,
        clauses: &[ClauseId::new(1, 5)],
        causes: &[Cause::around(VPC_KNOWN)],
        check: subnets_within_vpc,
    },
];

/// What of eksctl's ClusterConfig the document speaks of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    vpc: VpcConfig,
    #[serde(default)]
    node_groups: Vec<Group>,
    #[serde(default)]
    managed_node_groups: Vec<Group>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    region: String,
}

#[derive(Deserialize, Default)]
struct VpcConfig {
    #[serde(default)]
    cidr: String,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    name: String,
}

fn config(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let wanted = view.wanted(index);
        let text = view.cluster(index)?.cluster_config.as_deref();
        let text = text.ok_or_else(|| unseen(format!("the configuration file of {}", wanted.name)))?;
        let explanation = "eksctl makes the cluster, its VPC and its nodes from this file and from nothing else.";
        let remedy = format!("Correct cluster_{index}.yaml and run eksctl create cluster -f cluster_{index}.yaml.");
        match serde_saphyr::from_str::<Config>(text) {
            Ok(config) => none_wrong(differences(&config, wanted), explanation, remedy),
            Err(error) => {
                let error = error.to_string();
                let first = error.lines().next().unwrap_or_default();
                Err(fail([format!("cluster_{index}.yaml cannot be read: {first}")], explanation, remedy))
            }
        }
    })
}

fn differences(config: &Config, wanted: &Cluster) -> Vec<String> {
    let cidr = wanted.cidr_block.to_string();
    let mut wrong: Vec<String> = [
        ("apiVersion", &config.api_version, "eksctl.io/v1alpha5"),
        ("kind", &config.kind, "ClusterConfig"),
        ("metadata.name", &config.metadata.name, &wanted.name),
        ("metadata.region", &config.metadata.region, &wanted.region),
        ("vpc.cidr", &config.vpc.cidr, &cidr),
    ]
    .into_iter()
    .filter(|(_, has, wants)| has != wants)
    .map(|(field, has, wants)| format!("{field} is \"{has}\" instead of \"{wants}\""))
    .collect();
    let groups = || config.node_groups.iter().chain(&config.managed_node_groups);
    // Without any, eksctl makes a cluster without nodes.
    if groups().next().is_none() {
        wrong.push("it has neither nodeGroups nor managedNodeGroups".to_owned());
    }
    for group in groups().filter(|group| !is_group_name(&group.name)) {
        wrong.push(format!("node group name \"{}\" does not match [a-zA-Z][-a-zA-Z0-9]*", group.name));
    }
    for (managed, list, field) in
        [(false, &config.node_groups, "nodeGroups"), (true, &config.managed_node_groups, "managedNodeGroups")]
    {
        for missing in wanted.node_groups.iter().filter(|it| it.managed == managed) {
            if !list.iter().any(|group| group.name == missing.name) {
                wrong.push(format!("{field} lacks \"{}\"", missing.name));
            }
        }
    }
    wrong
}

fn is_group_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn names_distinct(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_pair(topology, |pair| {
        let (a, b) = (view.wanted(pair.requester), view.wanted(pair.accepter));
        let same = (a.name == b.name && a.region == b.region)
            .then(|| format!("clusters {pair} are both {} in {}", a.name, a.region));
        none_wrong(
            same.into_iter().collect(),
            "Two files for one cluster make one cluster: there is nothing to connect.",
            format!("Give cluster {} a name of its own.", pair.accepter),
        )
    })
}

fn active(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let (name, region) = (view.name(index), view.region(index));
        let eks = view.eks(index)?;
        let mut wrong = Vec::new();
        if eks.status != "ACTIVE" {
            wrong.push(format!("cluster {name} in {region} is {}", eks.status));
        }
        let groups = eks.nodegroups.iter().filter(|(_, status)| *status != "ACTIVE");
        wrong.extend(groups.map(|(group, status)| format!("node group {group} of {name} is {status}")));
        none_wrong(
            wrong,
            "Nothing can be deployed in a cluster that is not ACTIVE.",
            format!(
                "aws eks wait cluster-active --name {name} --region {region}; when it is FAILED: eksctl utils \
                 describe-stacks --cluster {name} --region {region}"
            ),
        )
    })
}

fn auto_mode_off(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let (name, region) = (view.name(index), view.region(index));
        let on = view.eks(index)?.auto_mode.then(|| format!("computeConfig.enabled is true for {name}"));
        none_wrong(
            on.into_iter().collect(),
            "Auto Mode runs CoreDNS on the nodes, without pods, ConfigMap and Service, and takes LoadBalancer Services \
             over with other names and annotations: the procedure's CoreDNS and load balancer steps do not apply.",
            format!(
                "Set autoModeConfig.enabled to false in cluster_{index}.yaml and create the cluster again, or: eksctl \
                 update auto-mode-config -f cluster_{index}.yaml (region {region})"
            ),
        )
    })
}

fn vpc_known(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let (name, region) = (view.name(index), view.region(index));
        let named = &view.eks(index)?.vpc;
        let vpc = view.vpc(index)?;
        let mut wrong = Vec::new();
        if named.is_empty() || *named != vpc.id {
            wrong.push(format!("{name} names the VPC \"{named}\", and {} was found", vpc.id));
        }
        if let Some(taken) = view.cluster(index)?.vpc_taken.as_ref().filter(|taken| *taken != named) {
            wrong.push(format!("{name} names the VPC \"{named}\", and {taken} was taken"));
        }
        none_wrong(
            wrong,
            "The peering, the routes and the security groups are those of the VPC that the cluster names.",
            format!("eksctl get cluster {name} --region {region} -o json"),
        )
    })
}

fn vpc_cidr_block(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let vpc = view.vpc(index)?;
        let wanted = view.wanted(index).cidr_block;
        let wrong = match vpc.cidr_blocks.as_slice() {
            [only] if *only == wanted => Vec::new(),
            has => {
                let has = has.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                vec![format!("{} has [{has}] instead of {wanted}", vpc.id)]
            }
        };
        none_wrong(
            wrong,
            "Routes and security group rules of the other clusters name the requested block: addresses outside it are \
             not reached from there.",
            format!(
                "Correct cidr_block of {} in the scenario to what the VPC has, or disassociate the extra block: aws ec2 \
                 describe-vpcs --vpc-ids {} --region {}",
                view.name(index),
                vpc.id,
                view.region(index)
            ),
        )
    })
}

fn subnets_within_vpc(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let wanted = view.wanted(index).cidr_block;
        let outside = view.cluster_subnets(index)?.into_iter().filter(|subnet| !wanted.contains(&subnet.cidr_block));
        none_wrong(
            outside.map(|subnet| format!("{} has {}, outside {wanted}", subnet.id, subnet.cidr_block)).collect(),
            "Pods get their addresses from these subnets, and the other clusters route the requested block only.",
            format!(
                "Give the cluster subnets within {wanted}: they are set when it is created (eksctl create cluster -f \
                 cluster_{index}.yaml)."
            ),
        )
    })
}
