//! Reading an observation in a check: what is missing is an `Unseen`, carried out by `?`.

use ipnet::Ipv4Net;

use super::check::{Shortfall, unseen};
use crate::observation::{
    ClusterObservation, DnsService, Eks, Interface, Kubernetes, LoadBalancer, Observation, Peering, Pod, Probe,
    RouteTable, SecurityGroup, Subnet, Vpc,
};
use crate::topology::{Cluster, ClusterIndex, Pair, Topology};

/// A topology with what was seen of it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) observation: &'a Observation,
}

pub(crate) type Seen<T> = Result<T, Shortfall>;

impl<'a> View<'a> {
    pub(crate) const fn new(topology: &'a Topology, observation: &'a Observation) -> Self {
        Self { topology, observation }
    }

    /// What is wanted of a cluster.
    pub(crate) fn wanted(self, index: ClusterIndex) -> &'a Cluster {
        self.topology.cluster(index)
    }

    /// Its name.
    pub(crate) fn name(self, index: ClusterIndex) -> &'a str {
        &self.wanted(index).name
    }

    /// Its region.
    pub(crate) fn region(self, index: ClusterIndex) -> &'a str {
        &self.wanted(index).region
    }

    pub(crate) fn cluster(self, index: ClusterIndex) -> Seen<&'a ClusterObservation> {
        self.observation.clusters.get(index.0).ok_or_else(|| unseen(format!("cluster {}", self.name(index))))
    }

    pub(crate) fn eks(self, index: ClusterIndex) -> Seen<&'a Eks> {
        self.cluster(index)?.eks.as_ref().ok_or_else(|| unseen(format!("the EKS cluster {}", self.name(index))))
    }

    pub(crate) fn vpc(self, index: ClusterIndex) -> Seen<&'a Vpc> {
        self.cluster(index)?.vpc.as_ref().ok_or_else(|| unseen(format!("the VPC of {}", self.name(index))))
    }

    pub(crate) fn kubernetes(self, index: ClusterIndex) -> Seen<&'a Kubernetes> {
        let missing = || unseen(format!("the Kubernetes API of {}", self.name(index)));
        self.cluster(index)?.kubernetes.as_ref().ok_or_else(missing)
    }

    /// The CIDR blocks to be reached in a cluster: those its VPC has, and the wanted one while it is not seen.
    pub(crate) fn cidr_blocks(self, index: ClusterIndex) -> Vec<Ipv4Net> {
        match self.vpc(index) {
            Ok(vpc) if !vpc.cidr_blocks.is_empty() => vpc.cidr_blocks.clone(),
            _ => vec![self.wanted(index).cidr_block],
        }
    }

    /// The subnets that the cluster uses.
    pub(crate) fn cluster_subnets(self, index: ClusterIndex) -> Seen<Vec<&'a Subnet>> {
        let cluster = self.cluster(index)?;
        let ids = &self.eks(index)?.subnets;
        if ids.is_empty() {
            return Err(unseen(format!("the subnets of {}", self.name(index))));
        }
        ids.iter()
            .map(|id| {
                let missing = || unseen(format!("subnet {id} of {}", self.name(index)));
                cluster.subnets.iter().find(|subnet| subnet.id == *id).ok_or_else(missing)
            })
            .collect()
    }

    /// The route table in effect for a subnet: the explicitly associated one, else the VPC's main one.
    ///
    /// Source: VPC user guide, "Subnet route tables".
    pub(crate) fn effective_route_table(self, index: ClusterIndex, subnet: &str) -> Seen<&'a RouteTable> {
        let tables = &self.cluster(index)?.route_tables;
        tables
            .iter()
            .find(|table| table.subnets.iter().any(|it| it == subnet))
            .or_else(|| tables.iter().find(|table| table.main))
            .ok_or_else(|| unseen(format!("the route table of {subnet} of {}", self.name(index))))
    }

    /// The route tables in effect for the cluster's subnets, each once, with the subnets they are in effect for.
    pub(crate) fn cluster_route_tables(self, index: ClusterIndex) -> Seen<Vec<(&'a RouteTable, Vec<&'a str>)>> {
        let mut tables: Vec<(&RouteTable, Vec<&str>)> = Vec::new();
        for subnet in self.cluster_subnets(index)? {
            let table = self.effective_route_table(index, &subnet.id)?;
            match tables.iter_mut().find(|(known, _)| known.id == table.id) {
                Some((_, subnets)) => subnets.push(&subnet.id),
                None => tables.push((table, vec![&subnet.id])),
            }
        }
        Ok(tables)
    }

    pub(crate) fn security_group(self, index: ClusterIndex, id: &str) -> Seen<&'a SecurityGroup> {
        self.cluster(index)?
            .security_groups
            .iter()
            .find(|group| group.id == id)
            .ok_or_else(|| unseen(format!("security group {id} of {}", self.name(index))))
    }

    /// The network interfaces of the cluster's nodes. Other instances of the VPC, a bastion for one, are not among them.
    pub(crate) fn node_interfaces(self, index: ClusterIndex) -> Seen<Vec<&'a Interface>> {
        let nodes = &self.kubernetes(index)?.nodes;
        if nodes.is_empty() {
            return Err(unseen(format!("the nodes of {}", self.name(index))));
        }
        let interfaces = &self.cluster(index)?.interfaces;
        let mut found = Vec::new();
        for node in nodes {
            let before = found.len();
            found.extend(interfaces.iter().filter(|interface| {
                interface.addresses.contains(&node.address)
                    || node.instance.is_some() && interface.instance == node.instance
            }));
            if found.len() == before {
                return Err(unseen(format!("a network interface of node {} of {}", node.name, self.name(index))));
            }
        }
        Ok(found)
    }

    pub(crate) fn dns_service(self, index: ClusterIndex) -> Seen<&'a DnsService> {
        let missing = || unseen(format!("the Service across-cluster-dns-tcp of {}", self.name(index)));
        self.kubernetes(index)?.dns_service.as_ref().ok_or_else(missing)
    }

    /// The host name that the DNS Service got.
    pub(crate) fn dns_hostname(self, index: ClusterIndex) -> Seen<&'a str> {
        let hostname = self.dns_service(index)?.hostname.as_deref().filter(|hostname| !hostname.is_empty());
        hostname.ok_or_else(|| unseen(format!("the host name of across-cluster-dns-tcp of {}", self.name(index))))
    }

    /// The load balancer of the DNS Service: the one with its host name.
    pub(crate) fn load_balancer(self, index: ClusterIndex) -> Seen<&'a LoadBalancer> {
        let hostname = self.dns_hostname(index)?;
        self.cluster(index)?
            .load_balancers
            .iter()
            .find(|it| it.dns_name.eq_ignore_ascii_case(hostname))
            .ok_or_else(|| unseen(format!("the load balancer {hostname} of {}", self.name(index))))
    }

    /// The nginx pod.
    pub(crate) fn nginx(self, index: ClusterIndex) -> Seen<&'a Pod> {
        let missing = || unseen(format!("the pod sample-nginx of {}", self.name(index)));
        self.kubernetes(index)?.nginx.as_ref().ok_or_else(missing)
    }

    /// The address of the nginx pod.
    pub(crate) fn nginx_address(self, index: ClusterIndex) -> Seen<std::net::Ipv4Addr> {
        let missing = || unseen(format!("the address of the pod sample-nginx of {}", self.name(index)));
        self.nginx(index)?.address.ok_or_else(missing)
    }

    /// The name that the nginx pod has in DNS.
    pub(crate) fn nginx_name(self, index: ClusterIndex) -> String {
        format!("sample-nginx.sample-nginx-peer.{}", self.zone(index))
    }

    /// The zone under which the names of the cluster's namespace are.
    pub(crate) fn zone(self, index: ClusterIndex) -> String {
        format!("{}.svc.cluster.local", self.wanted(index).namespace)
    }

    /// Connections between the VPCs of a pair, in either role and every state.
    pub(crate) fn peerings(self, pair: Pair) -> Seen<Vec<&'a Peering>> {
        let (requester, accepter) = (&self.vpc(pair.requester)?.id, &self.vpc(pair.accepter)?.id);
        Ok(self
            .observation
            .peerings
            .iter()
            .filter(|it| {
                (it.requester_vpc == *requester && it.accepter_vpc == *accepter)
                    || (it.requester_vpc == *accepter && it.accepter_vpc == *requester)
            })
            .collect())
    }

    /// The probes from one cluster to another.
    pub(crate) fn probes(self, from: ClusterIndex, to: ClusterIndex) -> impl Iterator<Item = &'a Probe> {
        self.observation.probes.iter().filter(move |probe| probe.from == from.0 && probe.to == to.0)
    }

    /// The context to put into a command: the one it was read through, else the document's placeholder.
    pub(crate) fn context(self, index: ClusterIndex) -> String {
        match self.kubernetes(index) {
            Ok(kubernetes) if !kubernetes.context.is_empty() => kubernetes.context.clone(),
            _ => format!("${{context_{index}}}"),
        }
    }
}
