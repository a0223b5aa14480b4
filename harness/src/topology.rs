//! What is wanted: clusters, their networks, and the pairs they form.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number of clusters that a topology may have. Upper bound: an AWS VPC has 50 active peerings by default, and a
/// full mesh needs one less than there are clusters.
pub const CLUSTERS: std::ops::RangeInclusive<usize> = 2..=50;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the scenario.
    pub name: String,
    /// The clusters, in the order of the document: cluster 1 first.
    pub clusters: Vec<Cluster>,
}

/// One EKS cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name, `${cluster_N}` in the document.
    pub name: String,
    /// Its region, `${region_N}`.
    pub region: String,
    /// CIDR block of its VPC, `${cidr_block_N}`.
    pub cidr_block: Ipv4Net,
    /// CIDR block of its Services' addresses.
    pub service_cidr: Ipv4Net,
    /// Namespace of its `TidbCluster`, `${namespace_N}`.
    pub namespace: String,
    /// Kubernetes version.
    pub kubernetes_version: String,
    /// Availability zones; empty lets eksctl choose.
    pub availability_zones: Vec<String>,
    /// Node groups.
    pub node_groups: Vec<NodeGroup>,
}

/// One node group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeGroup {
    /// Its name.
    pub name: String,
    /// Whether EKS manages it (`managedNodeGroups`) or not (`nodeGroups`, as the document's link shows).
    pub managed: bool,
    /// How many nodes.
    pub desired_capacity: u32,
    /// EC2 instance type.
    pub instance_type: String,
    /// Whether its nodes are in the private subnets.
    pub private_networking: bool,
}

/// A cluster's place in its topology, from 0. Shown from 1, as the document numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ClusterIndex(pub usize);

impl fmt::Display for ClusterIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 + 1)
    }
}

/// Two clusters that are to be peered. The lower one's VPC is the requester, as in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// Cluster of the requester VPC.
    pub requester: ClusterIndex,
    /// Cluster of the accepter VPC.
    pub accepter: ClusterIndex,
}

impl Pair {
    /// The pair of two different clusters, in either order. `None` for a cluster and itself.
    pub fn of(a: ClusterIndex, b: ClusterIndex) -> Option<Self> {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => Some(Self { requester: a, accepter: b }),
            std::cmp::Ordering::Greater => Some(Self { requester: b, accepter: a }),
            std::cmp::Ordering::Equal => None,
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.requester, self.accepter)
    }
}

impl Topology {
    /// Every cluster's index, in order.
    pub fn indices(&self) -> impl Iterator<Item = ClusterIndex> + use<> {
        (0..self.clusters.len()).map(ClusterIndex)
    }

    /// Every pair of clusters: N(N-1)/2 of them.
    pub fn pairs(&self) -> Vec<Pair> {
        self.indices()
            .flat_map(|a| self.indices().filter_map(move |b| (a < b).then_some((a, b))))
            .filter_map(|(a, b)| Pair::of(a, b))
            .collect()
    }

    /// Every direction between two clusters: N(N-1) of them.
    pub fn directions(&self) -> Vec<(ClusterIndex, ClusterIndex)> {
        self.indices().flat_map(|a| self.indices().filter(move |b| a != *b).map(move |b| (a, b))).collect()
    }

    /// Every other cluster than `index`.
    pub fn others(&self, index: ClusterIndex) -> impl Iterator<Item = ClusterIndex> + use<> {
        self.indices().filter(move |other| *other != index)
    }

    /// The cluster at an index. Panics when the index is not of this topology.
    pub fn cluster(&self, index: ClusterIndex) -> &Cluster {
        &self.clusters[index.0]
    }

    /// The regions of the topology, each once.
    pub fn regions(&self) -> BTreeSet<&str> {
        self.clusters.iter().map(|cluster| cluster.region.as_str()).collect()
    }

    /// The index of the cluster with a name.
    pub fn index_of(&self, name: &str) -> Option<ClusterIndex> {
        self.clusters.iter().position(|cluster| cluster.name == name).map(ClusterIndex)
    }
}

/// The service CIDR block that EKS picks for a VPC when none is asked for.
///
/// Source: EKS user guide, "kubernetesNetworkConfig": 10.100.0.0/16 or 172.20.0.0/16, whichever does not conflict; the
/// AMI's bootstrap takes 172.20.0.0/16 when the VPC is in 10.0.0.0/8.
pub fn default_service_cidr(vpc: Ipv4Net) -> Ipv4Net {
    let ten = Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, 0, 0), 8);
    if ten.contains(&vpc) {
        Ipv4Net::new_assert(std::net::Ipv4Addr::new(172, 20, 0, 0), 16)
    } else {
        Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 100, 0, 0), 16)
    }
}

/// Whether two CIDR blocks share an address.
pub fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// A rule that a topology breaks, with where in the scenario and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct Violation {
    /// What in the scenario it is about.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to change.
    pub fix: String,
}

/// A place in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The list of clusters.
    Clusters,
    /// A field of a cluster.
    Cluster(usize, Field),
    /// A field of a node group of a cluster.
    NodeGroup(usize, usize, Field),
}

/// A field of a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field of the same name")]
pub enum Field {
    Name,
    Region,
    CidrBlock,
    ServiceCidr,
    Namespace,
    AvailabilityZones,
    NodeGroups,
    DesiredCapacity,
}

impl Topology {
    /// Checks every rule that must hold before anything is made, and reports the first that does not.
    ///
    /// # Errors
    /// The first [`Violation`] in the order of the file.
    pub fn validate(&self) -> Result<(), Violation> {
        if !CLUSTERS.contains(&self.clusters.len()) {
            return Err(Violation {
                place: Place::Clusters,
                what: match self.clusters.len() {
                    1 => "there is 1 cluster".to_owned(),
                    count => format!("there are {count} clusters"),
                },
                fix: format!("give between {} and {} [[clusters]]", CLUSTERS.start(), CLUSTERS.end()),
            });
        }
        for (index, cluster) in self.clusters.iter().enumerate() {
            cluster.validate_alone(index)?;
            for (earlier, other) in self.clusters[..index].iter().enumerate() {
                validate_together(index, cluster, earlier, other)?;
            }
        }
        Ok(())
    }
}

impl Cluster {
    fn validate_alone(&self, index: usize) -> Result<(), Violation> {
        let at = |field, what: String, fix: &str| {
            Err(Violation { place: Place::Cluster(index, field), what, fix: fix.to_owned() })
        };
        if !is_cluster_name(&self.name) {
            return at(
                Field::Name,
                format!("\"{}\" is not a name that eksctl and EKS take for a cluster", self.name),
                "use a letter, then letters, digits and dashes, 100 characters at most",
            );
        }
        if !is_region(&self.region) {
            return at(
                Field::Region,
                format!("\"{}\" does not have the form of an AWS region", self.region),
                "write it like \"us-west-2\"",
            );
        }
        // VPC size: between /16 and /28 in general (VPC user guide, "VPC CIDR blocks"), /24 at the least for eksctl.
        if !(16..=24).contains(&self.cidr_block.prefix_len()) {
            return at(
                Field::CidrBlock,
                format!("the CIDR block {} is a /{}", self.cidr_block, self.cidr_block.prefix_len()),
                "eksctl makes VPCs from /16 to /24",
            );
        }
        if self.cidr_block.addr() != self.cidr_block.network() {
            return at(
                Field::CidrBlock,
                format!("{} has bits set behind its prefix", self.cidr_block),
                &format!("write {}", self.cidr_block.trunc()),
            );
        }
        // EKS API reference, KubernetesNetworkConfigRequest: private, between /24 and /12.
        let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
            .iter()
            .any(|block| block.parse::<Ipv4Net>().is_ok_and(|block| block.contains(&self.service_cidr)));
        if !private || !(12..=24).contains(&self.service_cidr.prefix_len()) {
            return at(
                Field::ServiceCidr,
                format!("EKS does not take {} as a service CIDR block", self.service_cidr),
                "use a block between /12 and /24 within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            );
        }
        if overlap(self.cidr_block, self.service_cidr) {
            return at(
                Field::ServiceCidr,
                format!("the service CIDR block {} overlaps the VPC's {}", self.service_cidr, self.cidr_block),
                "use disjoint blocks",
            );
        }
        if !is_dns_label(&self.namespace) {
            return at(
                Field::Namespace,
                format!("\"{}\" is not a DNS-1123 label", self.namespace),
                "use lower-case letters, digits and dashes, beginning and ending with a letter or digit, 63 characters at most",
            );
        }
        if let Some(zone) = self.availability_zones.iter().find(|zone| !is_zone_of(zone, &self.region)) {
            return at(
                Field::AvailabilityZones,
                format!("\"{zone}\" is not an availability zone of {}", self.region),
                &format!("write them like \"{}a\"", self.region),
            );
        }
        let distinct: BTreeSet<_> = self.availability_zones.iter().collect();
        if self.availability_zones.len() == 1 || distinct.len() != self.availability_zones.len() {
            return at(
                Field::AvailabilityZones,
                format!("availability zones are {:?}", self.availability_zones),
                "EKS needs at least two, each once; or leave them out",
            );
        }
        self.validate_node_groups(index)
    }

    fn validate_node_groups(&self, index: usize) -> Result<(), Violation> {
        if self.node_groups.iter().all(|group| group.desired_capacity == 0) {
            return Err(Violation {
                place: Place::Cluster(index, Field::NodeGroups),
                what: format!("cluster \"{}\" has no nodes", self.name),
                fix: "without nodes CoreDNS cannot run and the load balancer has no targets: give a node group with a \
                      desired_capacity of at least 1"
                    .to_owned(),
            });
        }
        let mut names = BTreeSet::new();
        for (group_index, group) in self.node_groups.iter().enumerate() {
            let at = |field, what, fix: &str| {
                Err(Violation { place: Place::NodeGroup(index, group_index, field), what, fix: fix.to_owned() })
            };
            if !is_cluster_name(&group.name) || group.name.len() > 63 {
                return at(
                    Field::Name,
                    format!("\"{}\" is not a name for a node group", group.name),
                    "it has to match [a-zA-Z][-a-zA-Z0-9]* and be 63 characters at most",
                );
            }
            if !names.insert(&group.name) {
                return at(
                    Field::Name,
                    format!("node group \"{}\" is there twice", group.name),
                    "give each its own name",
                );
            }
            if group.desired_capacity > 100 {
                return at(
                    Field::DesiredCapacity,
                    format!("{} nodes are asked for", group.desired_capacity),
                    "ask for 100 at most",
                );
            }
        }
        Ok(())
    }
}

fn validate_together(index: usize, cluster: &Cluster, earlier: usize, other: &Cluster) -> Result<(), Violation> {
    let at = |field, what, fix: &str| Err(Violation { place: Place::Cluster(index, field), what, fix: fix.to_owned() });
    if cluster.name == other.name {
        return at(
            Field::Name,
            format!("clusters {} and {} are both named \"{}\"", earlier + 1, index + 1, cluster.name),
            "give each its own name",
        );
    }
    if overlap(cluster.cidr_block, other.cidr_block) {
        return at(
            Field::CidrBlock,
            format!(
                "the CIDR block {} of \"{}\" overlaps {} of \"{}\"",
                cluster.cidr_block, cluster.name, other.cidr_block, other.name
            ),
            "VPCs with overlapping blocks cannot be peered: give disjoint ones",
        );
    }
    for (field, vpc, service) in [(Field::CidrBlock, cluster, other), (Field::ServiceCidr, other, cluster)] {
        if overlap(vpc.cidr_block, service.service_cidr) {
            return at(
                field,
                format!(
                    "the VPC block {} of \"{}\" overlaps the service CIDR block {} of \"{}\"",
                    vpc.cidr_block, vpc.name, service.service_cidr, service.name
                ),
                "pods of the one could not reach the other: give disjoint blocks",
            );
        }
    }
    if cluster.namespace == other.namespace {
        return at(
            Field::Namespace,
            format!("\"{}\" and \"{}\" both use the namespace \"{}\"", other.name, cluster.name, cluster.namespace),
            "the namespace tells CoreDNS which cluster to ask: give each cluster its own",
        );
    }
    Ok(())
}

/// `[a-zA-Z][-a-zA-Z0-9]*`, 100 characters at most (EKS API reference, CreateCluster; eksctl's rule for stack names).
fn is_cluster_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// `us-west-2`, `ap-northeast-1`, `us-gov-east-1`, `cn-north-1`.
fn is_region(region: &str) -> bool {
    let parts: Vec<_> = region.split('-').collect();
    let [area @ .., number] = parts.as_slice() else { return false };
    (2..=4).contains(&area.len())
        && area[0].len() == 2
        && area.iter().all(|part| part.len() >= 2 && part.chars().all(|c| c.is_ascii_lowercase()))
        && number.len() == 1
        && number.chars().all(|c| c.is_ascii_digit() && c != '0')
}

fn is_zone_of(zone: &str, region: &str) -> bool {
    zone.strip_prefix(region).is_some_and(|letter| letter.len() == 1 && letter.chars().all(|c| c.is_ascii_lowercase()))
}

/// A DNS-1123 label, as Kubernetes demands of namespaces.
fn is_dns_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !label.is_empty()
        && label.len() <= 63
        && label.chars().all(|c| inner(c) || c == '-')
        && label.starts_with(inner)
        && label.ends_with(inner)
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
