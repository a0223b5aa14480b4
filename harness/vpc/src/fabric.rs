//! The snapshot that every rule reads: VPCs, subnets, route tables, peerings, security groups, ACLs, interfaces and
//! load balancers, keyed by their AWS ids.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Everything AWS knows about the networks of one account, over all regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fabric {
    /// VPCs by id (`vpc-…`).
    pub vpcs: BTreeMap<String, Vpc>,
    /// Subnets by id (`subnet-…`).
    pub subnets: BTreeMap<String, Subnet>,
    /// Route tables by id (`rtb-…`).
    pub route_tables: BTreeMap<String, RouteTable>,
    /// VPC peering connections by id (`pcx-…`), in every state.
    pub peerings: BTreeMap<String, Peering>,
    /// Security groups by id (`sg-…`).
    pub security_groups: BTreeMap<String, SecurityGroup>,
    /// Network ACLs by id (`acl-…`).
    pub network_acls: BTreeMap<String, NetworkAcl>,
    /// Elastic network interfaces by id (`eni-…`).
    pub interfaces: BTreeMap<String, Interface>,
    /// Network Load Balancers by ARN.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
}

/// One VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Region name, for example `us-west-2`.
    pub region: String,
    /// IPv4 CIDR blocks associated with the VPC, primary first.
    pub cidr_blocks: Vec<Ipv4Net>,
    /// The main route table, effective for every subnet without an explicit association.
    pub main_route_table: String,
}

/// One subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The VPC it belongs to.
    pub vpc: String,
    /// Its CIDR block.
    pub cidr_block: Ipv4Net,
    /// Availability zone name, for example `us-west-2a`.
    pub availability_zone: String,
    /// Explicitly associated route table, if any.
    pub route_table: Option<String>,
    /// Associated network ACL; `None` stands for the VPC's default ACL that allows everything.
    pub network_acl: Option<String>,
}

/// One route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The VPC it belongs to.
    pub vpc: String,
    /// Its routes, in no particular order: the longest prefix wins.
    pub routes: Vec<Route>,
}

/// One route of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination CIDR block, host bits cleared.
    pub destination: Ipv4Net,
    /// Where matching packets go.
    pub target: RouteTarget,
}

/// The target of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteTarget {
    /// Within the VPC.
    Local,
    /// A VPC peering connection (`pcx-…`).
    Peering(String),
    /// An internet gateway (`igw-…`).
    InternetGateway(String),
    /// A NAT gateway (`nat-…`).
    NatGateway(String),
    /// Any other target, by id: packets sent there leave what this crate models.
    Other(String),
}

/// State of a VPC peering connection.
///
/// Source: VPC Peering Guide, "VPC peering connection lifecycle".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeeringState {
    /// A request was made and is being checked.
    InitiatingRequest,
    /// Waiting for the owner of the accepter VPC.
    PendingAcceptance,
    /// Accepted, not yet carrying packets.
    Provisioning,
    /// Carrying packets.
    Active,
    /// Being deleted.
    Deleting,
    /// Deleted.
    Deleted,
    /// Rejected by the owner of the accepter VPC.
    Rejected,
    /// Not accepted within seven days.
    Expired,
    /// Refused: wrong VPC id or account, or overlapping CIDR blocks.
    Failed,
}

/// One VPC peering connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    /// The requester VPC.
    pub requester: String,
    /// The accepter VPC.
    pub accepter: String,
    /// Its state.
    pub state: PeeringState,
}

/// One security group: stateful, allow rules only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// The VPC it belongs to.
    pub vpc: String,
    /// Inbound rules.
    pub ingress: Vec<Rule>,
    /// Outbound rules.
    pub egress: Vec<Rule>,
}

/// One rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Protocol the rule speaks of.
    pub protocol: RuleProtocol,
    /// First and last port, inclusive; ignored for `All`. For ICMP: type and code, -1 for any.
    pub ports: (i32, i32),
    /// Peer of the traffic: source of an inbound rule, destination of an outbound one.
    pub peer: RulePeer,
}

/// Protocol of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleProtocol {
    /// `-1`: every protocol and port.
    All,
    /// `tcp` or `6`.
    Tcp,
    /// `udp` or `17`.
    Udp,
    /// `icmp` or `1`.
    Icmp,
}

/// The other end that a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulePeer {
    /// A CIDR block.
    Cidr(Ipv4Net),
    /// Interfaces carrying the security group with this id.
    Group(String),
}

/// One network ACL: stateless, evaluated in order of rule number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAcl {
    /// The VPC it belongs to.
    pub vpc: String,
    /// Entries of both directions.
    pub entries: Vec<AclEntry>,
}

/// One entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Rule number; the lowest match decides, and no match denies.
    pub number: u16,
    /// Whether it speaks of traffic leaving the subnet.
    pub egress: bool,
    /// Whether it allows.
    pub allow: bool,
    /// Protocol.
    pub protocol: RuleProtocol,
    /// First and last port, inclusive; ignored for `All`.
    pub ports: (i32, i32),
    /// The other end.
    pub cidr_block: Ipv4Net,
}

/// One elastic network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The subnet it is in.
    pub subnet: String,
    /// Its private addresses, primary first. Pod addresses of the VPC CNI are secondary addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Security groups it carries. None at all means that nothing is filtered (an NLB without security groups).
    pub security_groups: Vec<String>,
    /// What AWS says of it, for example `ELB net/<name>/<id>`.
    pub description: String,
    /// Instance it is attached to, if any.
    pub instance: Option<String>,
}

/// One Network Load Balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its name.
    pub name: String,
    /// The VPC it is in.
    pub vpc: String,
    /// Whether it is `active`: a load balancer still being provisioned answers nothing.
    pub active: bool,
    /// Its interfaces, one for each enabled availability zone, by id.
    pub interfaces: Vec<String>,
    /// Whether an address of one zone sends to targets of every zone.
    pub cross_zone: bool,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// One TCP listener of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Port it listens on.
    pub port: u16,
    /// Whether targets see the client's address (the default for instance targets).
    pub preserve_client_ip: bool,
    /// Registered targets.
    pub targets: Vec<LoadBalancerTarget>,
}

/// One registered target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerTarget {
    /// Address that receives the traffic: the primary address of an instance.
    pub address: Ipv4Addr,
    /// Port that receives the traffic: the node port of an instance target.
    pub port: u16,
    /// Availability zone.
    pub availability_zone: String,
    /// Whether the last health checks passed. When no target is healthy, all receive traffic ("fail open").
    pub healthy: bool,
}
