//! What was seen: plain serialisable data, so that it can be saved and judged again offline.
//!
//! Nothing in here is a judgement. What could not be read is an entry in [`Observation::unread`], never a silent gap.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use acrossk8s_vpc::PeeringState;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the form of a saved observation.
pub const VERSION: u32 = 1;

/// Everything that was read from AWS, from each Kubernetes and by each probe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Version of this form.
    pub version: u32,
    /// Clusters by their index in the topology.
    pub clusters: Vec<ClusterObservation>,
    /// VPC peering connections that touch a VPC of any cluster, in every state, each once.
    pub peerings: Vec<Peering>,
    /// What each probe saw.
    pub probes: Vec<Probe>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Cluster index, when it belongs to one.
    pub cluster: Option<usize>,
    /// What was to be read.
    pub what: String,
    /// Why it could not be.
    pub why: String,
}

/// One cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterObservation {
    /// What EKS says of it; `None` when there is no such cluster.
    pub eks: Option<Eks>,
    /// Its VPC; `None` when it does not exist.
    pub vpc: Option<Vpc>,
    /// Subnets of the VPC.
    pub subnets: Vec<Subnet>,
    /// Route tables of the VPC.
    pub route_tables: Vec<RouteTable>,
    /// Network ACLs of the VPC.
    pub network_acls: Vec<NetworkAcl>,
    /// Security groups of the VPC.
    pub security_groups: Vec<SecurityGroup>,
    /// Network interfaces of the VPC.
    pub interfaces: Vec<Interface>,
    /// Network Load Balancers of the VPC.
    pub load_balancers: Vec<LoadBalancer>,
    /// What its Kubernetes says; `None` when its API could not be reached.
    pub kubernetes: Option<Kubernetes>,
    /// The configuration file that eksctl got (C1.1).
    pub cluster_config: Option<String>,
    /// The VPC that the procedure took for the cluster's; `None` when it was not told (C2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_taken: Option<String>,
    /// The back-up of the CoreDNS ConfigMap, as YAML (C2.12).
    pub coredns_backup: Option<String>,
    /// After the nginx check: objects of it that are still there (C3.6). `None` before the clean-up.
    pub left_after_check: Option<Vec<String>>,
}

/// EKS DescribeCluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eks {
    /// Status, for example `ACTIVE`.
    pub status: String,
    /// Kubernetes version.
    pub version: String,
    /// URL of the Kubernetes API.
    pub endpoint: String,
    /// VPC id.
    pub vpc: String,
    /// Subnets of the cluster.
    pub subnets: Vec<String>,
    /// The security group that EKS made.
    pub cluster_security_group: Option<String>,
    /// Service CIDR block.
    pub service_cidr: Option<Ipv4Net>,
    /// Whether EKS Auto Mode is on.
    pub auto_mode: bool,
    /// Managed node groups with their status.
    pub nodegroups: BTreeMap<String, String>,
    /// Add-ons.
    pub addons: BTreeSet<String>,
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Id.
    pub id: String,
    /// CIDR blocks.
    pub cidr_blocks: Vec<Ipv4Net>,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Id.
    pub id: String,
    /// CIDR block.
    pub cidr_block: Ipv4Net,
    /// Availability zone.
    pub availability_zone: String,
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Id.
    pub id: String,
    /// Value of the `Name` tag.
    pub name: Option<String>,
    /// Whether it is the VPC's main route table.
    pub main: bool,
    /// Explicitly associated subnets.
    pub subnets: Vec<String>,
    /// Routes with an IPv4 destination.
    pub routes: Vec<Route>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub destination: Ipv4Net,
    /// Id of the target: `local`, `pcx-…`, `nat-…`, `igw-…`, `tgw-…`, `eni-…`.
    pub target: String,
    /// `active` or `blackhole`.
    pub state: String,
    /// `CreateRouteTable`, `CreateRoute` or `EnableVgwRoutePropagation`.
    pub origin: String,
}

/// A network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// Id.
    pub id: String,
    /// Subnets it is associated with.
    pub subnets: Vec<String>,
    /// Entries.
    pub entries: Vec<acrossk8s_vpc::AclEntry>,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Id.
    pub id: String,
    /// GroupName.
    pub group_name: String,
    /// Value of the `Name` tag: what the document calls the name.
    pub name: Option<String>,
    /// Inbound rules.
    pub ingress: Vec<Rule>,
    /// Outbound rules.
    pub egress: Vec<Rule>,
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `-1`, `tcp`, `udp`, `icmp`.
    pub protocol: String,
    /// First port, -1 for all.
    pub from_port: i32,
    /// Last port, -1 for all.
    pub to_port: i32,
    /// The other end.
    pub peer: acrossk8s_vpc::RulePeer,
    /// Description.
    pub description: Option<String>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Id.
    pub id: String,
    /// Subnet.
    pub subnet: String,
    /// Private addresses, primary first.
    pub addresses: Vec<Ipv4Addr>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Description.
    pub description: String,
    /// Instance it is attached to.
    pub instance: Option<String>,
}

/// A VPC peering connection, merged from both regions' views.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    /// Id.
    pub id: String,
    /// State.
    pub state: PeeringState,
    /// Message of the state.
    pub message: Option<String>,
    /// Requester VPC.
    pub requester_vpc: String,
    /// CIDR block of the requester VPC, as the connection has it.
    pub requester_cidr: Option<Ipv4Net>,
    /// Accepter VPC.
    pub accepter_vpc: String,
    /// CIDR block of the accepter VPC, as the connection has it (none before it is accepted).
    pub accepter_cidr: Option<Ipv4Net>,
}

/// A Network Load Balancer with what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// ARN.
    pub arn: String,
    /// Name.
    pub name: String,
    /// DNS name.
    pub dns_name: String,
    /// `network`, `application`, `gateway`.
    pub kind: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// State code: `active`, `provisioning`, `active_impaired`, `failed`.
    pub state: String,
    /// `load_balancing.cross_zone.enabled`.
    pub cross_zone: bool,
    /// Subnets, one for each enabled availability zone.
    pub subnets: Vec<String>,
    /// Addresses of its interfaces (`ELB net/<name>/…`).
    pub addresses: Vec<Ipv4Addr>,
    /// Listeners.
    pub listeners: Vec<Listener>,
}

/// A listener and the targets it forwards to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Protocol, for example `TCP`.
    pub protocol: String,
    /// Port.
    pub port: u16,
    /// Targets (id and port) with their health: `healthy`, `unhealthy`, `initial`, `unused`, `draining`.
    pub targets: Vec<Target>,
}

/// A target's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Instance id.
    pub id: String,
    /// Port.
    pub port: u16,
    /// State.
    pub health: String,
    /// Description, when not healthy.
    pub description: Option<String>,
}

/// What a cluster's Kubernetes says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Name of the kubeconfig context it was read through.
    pub context: String,
    /// URL of the API.
    pub endpoint: String,
    /// UID of the namespace kube-system: tells clusters apart.
    pub uid: String,
    /// Namespaces.
    pub namespaces: BTreeSet<String>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// The Corefile of the ConfigMap kube-system/coredns.
    pub corefile: Option<String>,
    /// CoreDNS pods.
    pub coredns_pods: Vec<Pod>,
    /// SHA-512 of the Corefile that each CoreDNS pod runs, as its log has it; none of a pod that does not reload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coredns_running: BTreeMap<String, String>,
    /// Address of the Service kube-dns.
    pub kube_dns: Option<Ipv4Addr>,
    /// The Service kube-system/across-cluster-dns-tcp.
    pub dns_service: Option<DnsService>,
    /// The pod sample-nginx in the cluster's namespace.
    pub nginx: Option<Pod>,
    /// The Service sample-nginx-peer in the cluster's namespace.
    pub nginx_service: Option<NginxService>,
    /// Environment of the aws-node DaemonSet, which decides about source NAT.
    pub aws_node_env: BTreeMap<String, String>,
    /// `/etc/resolv.conf` of the nginx pod.
    pub resolv_conf: Option<String>,
    /// Pods of the DaemonSet acrossk8s-prober in the cluster's namespace.
    pub probers: Vec<Pod>,
    /// How many pods the DaemonSet kube-system/ebs-csi-node wants, and how many of them are ready.
    pub ebs_csi_nodes: Option<Ready>,
    /// StorageClasses.
    pub storage_classes: Vec<StorageClass>,
}

/// How many pods there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Wanted.
    pub wanted: u32,
    /// Ready.
    pub ready: u32,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageClass {
    /// Name.
    pub name: String,
    /// Provisioner.
    pub provisioner: String,
    /// Whether it is annotated as the default.
    pub default: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// InternalIP.
    pub address: Ipv4Addr,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Instance id, from its provider id.
    pub instance: Option<String>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Node.
    pub node: String,
    /// Pod IP.
    pub address: Option<Ipv4Addr>,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Image of its first container.
    pub image: String,
    /// `spec.hostname`.
    pub hostname: Option<String>,
    /// `spec.subdomain`.
    pub subdomain: Option<String>,
}

/// The Service across-cluster-dns-tcp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsService {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `spec.type`.
    pub kind: String,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// Ports: name, port, protocol, target port.
    pub ports: Vec<(String, u16, String, String)>,
    /// `.status.loadBalancer.ingress[0].hostname`.
    pub hostname: Option<String>,
    /// Addresses of its ready endpoints.
    pub ready_endpoints: BTreeSet<Ipv4Addr>,
    /// Messages of Warning events about it.
    pub warnings: Vec<String>,
}

/// The Service sample-nginx-peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NginxService {
    /// Whether `clusterIP` is `None`.
    pub headless: bool,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<u16>,
}

/// A live request from inside a cluster, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Cluster that it was sent from.
    pub from: usize,
    /// Cluster that it was sent to.
    pub to: usize,
    /// What was sent.
    pub request: ProbeRequest,
    /// What came back.
    pub result: ProbeResult,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A live request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum ProbeRequest {
    /// `curl URL` in a pod: in sample-nginx, as the document has it, or in a prober.
    Http {
        /// Pod.
        pod: String,
        /// URL.
        url: String,
    },
    /// An A query for the peer's nginx name, put over TCP to one CoreDNS pod of the own cluster.
    Dns {
        /// The CoreDNS pod that was asked.
        server: String,
        /// The name that was asked for.
        name: String,
    },
    /// A TCP connection from the pod sample-nginx to the peer's nginx pod by address, past DNS.
    Tcp {
        /// Address.
        address: Ipv4Addr,
        /// Port.
        port: u16,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ProbeResult {
    /// An HTTP answer.
    Http {
        /// Status code.
        status: u16,
        /// Whether the body is nginx's welcome page.
        welcome: bool,
        /// Address that answered.
        remote: Option<Ipv4Addr>,
        /// Source address that the peer's nginx wrote in its access log for this very request.
        seen_source: Option<Ipv4Addr>,
    },
    /// A DNS answer.
    Dns {
        /// Response code, for example `NOERROR`, `NXDOMAIN`, `SERVFAIL`.
        code: String,
        /// Addresses in the answer.
        addresses: Vec<Ipv4Addr>,
    },
    /// The connection was accepted.
    Connected,
    /// The connection was refused: the packet arrived and came back, nothing listens.
    Refused,
    /// No answer came.
    TimedOut,
    /// The name did not resolve.
    Unresolved,
    /// The probe could not be made, or failed otherwise.
    Error {
        /// Why.
        message: String,
    },
}
