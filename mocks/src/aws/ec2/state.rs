//! The records of EC2. Ids are map keys; `region` tells where a record is visible.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use acrossk8s_vpc::{AclEntry, PeeringState};
use ipnet::Ipv4Net;

use crate::aws::tags::Tags;
use crate::clock::SimTime;

/// Everything of EC2's.
#[derive(Debug, Default)]
pub struct Ec2 {
    /// VPCs.
    pub vpcs: BTreeMap<String, Vpc>,
    /// Subnets.
    pub subnets: BTreeMap<String, Subnet>,
    /// Route tables.
    pub route_tables: BTreeMap<String, RouteTable>,
    /// Internet gateways.
    pub internet_gateways: BTreeMap<String, InternetGateway>,
    /// NAT gateways.
    pub nat_gateways: BTreeMap<String, NatGateway>,
    /// Elastic IP addresses by allocation id.
    pub addresses: BTreeMap<String, ElasticAddress>,
    /// Security groups.
    pub security_groups: BTreeMap<String, SecurityGroup>,
    /// Network ACLs.
    pub network_acls: BTreeMap<String, NetworkAcl>,
    /// Network interfaces.
    pub interfaces: BTreeMap<String, Interface>,
    /// Instances.
    pub instances: BTreeMap<String, Instance>,
    /// VPC peering connections.
    pub peerings: BTreeMap<String, Peering>,
    /// Limits on how many there may be.
    pub quotas: Quotas,
    /// How long a new peering connection stays unknown to reads, accepts and routes: EC2 is eventually consistent. Zero
    /// unless a test wants to see it.
    pub visibility_delay: SimTime,
    /// Addresses that were released, by subnet, those that rested longest first.
    pub(super) released: BTreeMap<String, VecDeque<Ipv4Addr>>,
    /// How many Elastic IP addresses were ever allocated.
    pub(super) allocated_addresses: u32,
}

/// Limits of one account and region. The default is what AWS grants a new account.
///
/// Source: Amazon VPC User Guide, "Amazon VPC quotas"; VPC Peering Guide, "VPC peering connection quotas".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// VPCs in a region.
    pub vpcs: usize,
    /// Subnets in a VPC.
    pub subnets: usize,
    /// Route tables in a VPC.
    pub route_tables: usize,
    /// Routes in a route table, the local one not counted.
    pub routes: usize,
    /// Rules of each direction in a security group.
    pub rules: usize,
    /// Security groups on an interface.
    pub groups_per_interface: usize,
    /// Internet gateways in a region.
    pub internet_gateways: usize,
    /// Elastic IP addresses in a region.
    pub addresses: usize,
    /// Active peering connections of a VPC.
    pub active_peerings: usize,
    /// Requests for peering connections of one region that were not answered yet.
    pub outstanding_peerings: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            vpcs: 5,
            subnets: 200,
            route_tables: 200,
            routes: 50,
            rules: 60,
            groups_per_interface: 5,
            internet_gateways: 5,
            addresses: 5,
            active_peerings: 50,
            outstanding_peerings: 25,
        }
    }
}

/// A VPC.
#[derive(Debug, Clone)]
pub struct Vpc {
    /// Region.
    pub region: String,
    /// Its CIDR block.
    pub cidr_block: Ipv4Net,
    /// `enableDnsSupport`.
    pub dns_support: bool,
    /// `enableDnsHostnames`.
    pub dns_hostnames: bool,
    /// Tags.
    pub tags: Tags,
}

/// A subnet.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// Region.
    pub region: String,
    /// VPC.
    pub vpc: String,
    /// CIDR block.
    pub cidr_block: Ipv4Net,
    /// Availability zone, for example `us-west-2a`.
    pub availability_zone: String,
    /// `mapPublicIpOnLaunch`.
    pub map_public_ip: bool,
    /// Tags.
    pub tags: Tags,
}

/// A route table.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// Region.
    pub region: String,
    /// VPC.
    pub vpc: String,
    /// Routes by destination.
    pub routes: BTreeMap<Ipv4Net, Route>,
    /// Associations by id (`rtbassoc-…`).
    pub associations: BTreeMap<String, Association>,
    /// Tags.
    pub tags: Tags,
}

/// A route. Whether it is `active` or `blackhole` follows from its target and is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Id of the target: `local`, `igw-…`, `nat-…`, `pcx-…`, `eni-…`.
    pub target: String,
    /// `CreateRouteTable` for the local route, else `CreateRoute`.
    pub origin: &'static str,
}

/// An association of a route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Association {
    /// The VPC's main route table.
    Main,
    /// Explicit, for this subnet.
    Subnet(String),
}

/// An internet gateway.
#[derive(Debug, Clone)]
pub struct InternetGateway {
    /// Region.
    pub region: String,
    /// VPC it is attached to.
    pub vpc: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A NAT gateway.
#[derive(Debug, Clone)]
pub struct NatGateway {
    /// Region.
    pub region: String,
    /// VPC.
    pub vpc: String,
    /// Subnet.
    pub subnet: String,
    /// Allocation id of its Elastic IP address.
    pub allocation: String,
    /// Its interface.
    pub interface: String,
    /// Set when deleted: it stays visible as `deleted`.
    pub deleted: bool,
    /// Tags.
    pub tags: Tags,
}

/// An Elastic IP address.
#[derive(Debug, Clone)]
pub struct ElasticAddress {
    /// Region.
    pub region: String,
    /// Public address.
    pub public_ip: Ipv4Addr,
    /// Interface it is associated with.
    pub interface: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A security group.
#[derive(Debug, Clone)]
pub struct SecurityGroup {
    /// Region.
    pub region: String,
    /// VPC.
    pub vpc: String,
    /// GroupName, unique within the VPC.
    pub name: String,
    /// GroupDescription.
    pub description: String,
    /// Rules by id (`sgr-…`).
    pub rules: BTreeMap<String, SecurityGroupRule>,
    /// Tags.
    pub tags: Tags,
}

/// A rule of a security group.
#[derive(Debug, Clone)]
pub struct SecurityGroupRule {
    /// Outbound rather than inbound.
    pub egress: bool,
    /// `-1`, `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// FromPort, -1 for all.
    pub from_port: i32,
    /// ToPort, -1 for all.
    pub to_port: i32,
    /// The other end.
    pub peer: acrossk8s_vpc::RulePeer,
    /// Description.
    pub description: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A network ACL.
#[derive(Debug, Clone)]
pub struct NetworkAcl {
    /// Region.
    pub region: String,
    /// VPC.
    pub vpc: String,
    /// The VPC's default ACL.
    pub default: bool,
    /// Entries.
    pub entries: Vec<AclEntry>,
    /// Subnets by association id.
    pub associations: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Region.
    pub region: String,
    /// Subnet.
    pub subnet: String,
    /// Private addresses, primary first.
    pub addresses: Vec<Ipv4Addr>,
    /// Security groups.
    pub groups: Vec<String>,
    /// Description.
    pub description: String,
    /// `interface`, `network_load_balancer`, `nat_gateway`.
    pub interface_type: String,
    /// Who requested it, for requester-managed interfaces, for example `amazon-elb`.
    pub requester: Option<String>,
    /// `sourceDestCheck`.
    pub source_dest_check: bool,
    /// Instance it is attached to.
    pub instance: Option<String>,
    /// Which of the instance's interfaces it is: 0 is the primary one.
    pub device_index: u32,
    /// Tags.
    pub tags: Tags,
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Region.
    pub region: String,
    /// Subnet.
    pub subnet: String,
    /// Primary interface.
    pub interface: String,
    /// Instance type.
    pub instance_type: String,
    /// `pending`, `running`, `shutting-down` or `terminated`.
    pub state: &'static str,
    /// Tags.
    pub tags: Tags,
}

/// A VPC peering connection. Its state at a time is computed from these facts, see [`Peering::state`].
#[derive(Debug, Clone)]
pub struct Peering {
    /// Requester VPC.
    pub requester: String,
    /// Region of the requester VPC.
    pub requester_region: String,
    /// CIDR block of the requester VPC.
    pub requester_cidr: Ipv4Net,
    /// Accepter VPC, as named in the request.
    pub accepter: String,
    /// Region of the accepter VPC, as named in the request.
    pub accepter_region: String,
    /// CIDR block of the accepter VPC, where it exists.
    pub accepter_cidr: Option<Ipv4Net>,
    /// When the request was made.
    pub requested: SimTime,
    /// When it was accepted.
    pub accepted: Option<SimTime>,
    /// A state that time does not lead to: deleted, rejected or failed, and since when.
    pub ended: Option<(PeeringState, SimTime)>,
    /// Tags by region: tags set in one region are not seen in the other.
    pub tags: BTreeMap<String, Tags>,
}
