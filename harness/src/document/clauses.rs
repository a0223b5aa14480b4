//! The table of clauses.

use super::{Clause, ClauseId, Level, NotCovered, Section};

const fn must(part: u8, number: u8, section: Section, statement: &'static str) -> Clause {
    Clause { id: ClauseId::new(part, number), section, level: Level::Must, statement }
}

/// Where the document is silent altogether.
const fn silent(part: u8, number: u8, section: Section, statement: &'static str) -> Clause {
    Clause { id: ClauseId::new(part, number), section, level: Level::Should, statement }
}

/// What goes beyond the statement of the same number.
const fn beyond(part: u8, number: u8, section: Section, statement: &'static str) -> Clause {
    Clause { id: ClauseId::beyond(part, number), section, level: Level::Should, statement }
}

/// Every clause that this version knows, in the document's order.
pub const CLAUSES: &[Clause] = {
    use Section::{
        CoreDns, LoadBalancers, Prerequisites as Pre, SecurityGroups, StartClusters as Start, Verify, VpcPeering,
    };
    &[
        must(0, 1, Pre, "Helm 3 is installed."),
        must(0, 2, Pre, "The AWS CLI, eksctl and kubectl are installed and configured."),
        must(0, 3, Pre, "The access key has the permissions that eksctl and a Linux bastion need."),
        beyond(0, 3, Pre, "Every call that the procedure and its verification make is permitted and answered."),
        must(0, 4, Pre, "`aws configure list` shows an access key and a secret key."),
        must(
            1,
            1,
            Start,
            "Each cluster has its own ClusterConfig file with name, region, node groups and VPC CIDR block.",
        ),
        beyond(
            1,
            1,
            Start,
            "No two files name the same cluster in the same region, and node group names have eksctl's form.",
        ),
        must(1, 2, Start, "The CIDR blocks of the clusters do not overlap."),
        beyond(1, 2, Start, "No VPC's CIDR block overlaps the service CIDR block of any cluster."),
        must(1, 3, Start, "Each cluster and its node groups are created and active."),
        beyond(1, 3, Start, "At least as many nodes are Ready as were asked for, and EKS Auto Mode is off."),
        must(1, 4, Start, "Each cluster has a Kubernetes context."),
        beyond(1, 4, Start, "The contexts lead to different clusters."),
        silent(1, 5, Start, "Each VPC has exactly the requested CIDR block, and the cluster's subnets lie within it."),
        silent(1, 6, Start, "The EBS CSI driver runs and there is a default StorageClass."),
        silent(1, 7, Start, "The cluster domain is cluster.local."),
        must(2, 1, VpcPeering, "The VPC of each cluster is known from the cluster."),
        must(
            2,
            2,
            VpcPeering,
            "Each pair of clusters has one accepted peering connection, requested by the lower one's VPC.",
        ),
        beyond(2, 2, VpcPeering, "The connection carries exactly the CIDR blocks of the two VPCs."),
        must(
            2,
            3,
            VpcPeering,
            "The route tables of all subnets of a cluster have an active, not propagated route to each other cluster's \
             CIDR block through the peering of the two.",
        ),
        silent(2, 4, VpcPeering, "No more specific route and no network ACL stands in the way of the peers' traffic."),
        must(
            2,
            5,
            SecurityGroups,
            "The shared node security group of each cluster lets in all traffic from each other cluster's CIDR block.",
        ),
        beyond(
            2,
            5,
            SecurityGroups,
            "Every network interface of a node carries a security group that lets that traffic in.",
        ),
        silent(2, 6, SecurityGroups, "The security groups of the nodes let all traffic to the other clusters out."),
        must(2, 7, LoadBalancers, "Each cluster has the Service across-cluster-dns-tcp as documented."),
        beyond(2, 7, LoadBalancers, "The Service selects the ready CoreDNS pods."),
        must(2, 8, LoadBalancers, "The Service is applied in each cluster and gets a load balancer."),
        beyond(2, 8, LoadBalancers, "The Service has no warnings."),
        must(2, 9, LoadBalancers, "The load balancer's name is the part of its host name before the first dash."),
        must(2, 10, LoadBalancers, "The load balancer is active."),
        beyond(
            2,
            10,
            LoadBalancers,
            "It is the one internal Network Load Balancer with that DNS name, listens on TCP 53, balances across zones, \
             and has a healthy target that its clients' packets reach.",
        ),
        must(2, 11, LoadBalancers, "The load balancer's addresses are known from its network interfaces."),
        beyond(2, 11, LoadBalancers, "There is one address for each of its subnets, within the subnet and the VPC."),
        must(2, 12, CoreDns, "The CoreDNS configuration of each cluster is backed up."),
        beyond(2, 12, CoreDns, "The back-up can be read and was taken before the edit."),
        must(2, 13, CoreDns, "The namespaces of the clusters are different from each other."),
        must(
            2,
            14,
            CoreDns,
            "The Corefile keeps its default server block unmodified and forwards each other cluster's namespace over \
             TCP to the addresses of that cluster's load balancer.",
        ),
        beyond(
            2,
            14,
            CoreDns,
            "CoreDNS accepts the Corefile: its zones are server blocks of their own, exactly those of the other \
             clusters, with at most 15 upstreams each.",
        ),
        must(2, 15, CoreDns, "CoreDNS has reloaded its configuration."),
        beyond(2, 15, CoreDns, "The reload plugin is on, and every CoreDNS pod has reloaded."),
        must(2, 16, CoreDns, "Every cluster forwards the namespaces of all the others."),
        must(3, 1, Verify, "The pod sample-nginx and the Service sample-nginx-peer are as documented."),
        beyond(
            3,
            1,
            Verify,
            "The pod's subdomain is the name of the headless Service, so that it has a name of its own.",
        ),
        must(3, 2, Verify, "nginx is deployed in the namespace of each cluster."),
        beyond(3, 2, Verify, "The namespace exists, and the pod is Ready."),
        must(3, 3, Verify, "From each cluster, curl gets the welcome page of nginx in each other cluster."),
        silent(
            3,
            4,
            Verify,
            "The peer's name resolves to the peer pod's address and the own name to the own one, TCP connects by \
             address, and the peer sees the source address that the VPC CNI's configuration implies.",
        ),
        silent(3, 5, Verify, "The ports of TiDB's components are reachable."),
        beyond(3, 5, Verify, "They are reachable from a pod on every node, on each of its network interfaces."),
        must(3, 6, Verify, "The nginx pods and Services are deleted after the check."),
    ]
};

const fn later(part: u8, number: u8, section: Section, statement: &'static str, reason: &'static str) -> NotCovered {
    NotCovered { id: ClauseId::new(part, number), section, statement, reason }
}

const NO_OPERATOR: &str = "this version ends with step 3 of the document: it does not install TiDB Operator";
const NO_TIDB: &str = "this version ends with step 3 of the document: it makes no TidbCluster";

/// Clauses of the document, and of its teardown, that this version does not cover.
pub const NOT_COVERED: &[NotCovered] = {
    use Section::{Operator, Teardown, TidbClusters as Tidb};
    &[
        later(4, 1, Operator, "Each cluster runs its own TiDB Operator.", NO_OPERATOR),
        later(5, 1, Tidb, "Each TidbCluster is in the namespace that the Corefiles forward.", NO_TIDB),
        later(5, 2, Tidb, "Each TidbCluster has the cluster domain cluster.local.", NO_TIDB),
        later(5, 3, Tidb, "Each TidbCluster has acrossK8s on.", NO_TIDB),
        later(
            5,
            4,
            Tidb,
            "Exactly one TidbCluster is the initial one, and the others refer to an existing one.",
            NO_TIDB,
        ),
        later(5, 5, Tidb, "Each TidbCluster is Ready.", NO_TIDB),
        later(5, 6, Tidb, "Each TidbCluster has the same cluster id.", NO_TIDB),
        later(5, 7, Tidb, "Each TidbCluster names the same PD leader.", NO_TIDB),
        later(5, 8, Tidb, "Members and peer members together are the same in each TidbCluster.", NO_TIDB),
        later(5, 9, Tidb, "Members' names are those of their own cluster's namespace.", NO_TIDB),
        later(5, 10, Tidb, "What is written through one cluster's TiDB is read through every other's.", NO_TIDB),
        later(
            6,
            1,
            Teardown,
            "Everything that was made is taken down again.",
            "an observation is taken while the topology stands: teardown proves itself with an inventory of what is left",
        ),
    ]
};
