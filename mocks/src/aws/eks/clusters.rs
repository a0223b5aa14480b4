//! Clusters and how they change.

use std::collections::{BTreeMap, BTreeSet};

use acrossk8s_vpc::RulePeer;
use ipnet::Ipv4Net;

use crate::aws::ec2::{NewInterface, SecurityGroupRule};
use crate::aws::eks::errors::{in_use, invalid_parameter, not_found};
use crate::aws::eks::state::*;
use crate::aws::eks::versions;
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

/// How many interfaces a control plane has in a cluster's subnets, each in another zone.
const CONTROL_PLANE_INTERFACES: usize = 2;

/// What a new cluster is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// Name.
    pub name: String,
    /// Kubernetes version.
    pub version: String,
    /// ARN of the role that the control plane acts in. There is no IAM here: it is only shown again.
    pub role_arn: String,
    /// Subnets, in two availability zones at least.
    pub subnets: Vec<String>,
    /// Security groups for the control plane's interfaces.
    pub security_groups: Vec<String>,
    /// Service CIDR block; the one that fits the VPC when none is given.
    pub service_cidr: Option<Ipv4Net>,
    /// Tags.
    pub tags: Tags,
}

impl Cluster {
    /// Status at a time.
    pub fn status(&self, now: SimTime, latencies: &Latencies) -> &'static str {
        match self.deleting {
            Some(_) => "DELETING",
            None if now >= self.created + latencies.cluster_create => "ACTIVE",
            None => "CREATING",
        }
    }
}

pub(super) fn key(context: &Context, name: &str) -> (String, String) {
    (context.region.clone(), name.to_owned())
}

/// A cluster of the region.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find<'a>(state: &'a State, context: &Context, name: &str) -> Result<&'a Cluster, AwsError> {
    let found = state.eks.clusters.get(&key(context, name));
    found.ok_or_else(|| not_found(format!("No cluster found for name: {name}.")))
}

pub(super) fn find_mut<'a>(state: &'a mut State, context: &Context, name: &str) -> Result<&'a mut Cluster, AwsError> {
    let found = state.eks.clusters.get_mut(&key(context, name));
    found.ok_or_else(|| not_found(format!("No cluster found for name: {name}.")))
}

/// The service CIDR block that EKS picks for a VPC: 172.20.0.0/16 for one in 10.0.0.0/8, else 10.100.0.0/16.
///
/// Source: EKS API reference, KubernetesNetworkConfigRequest (either block, "whichever doesn't conflict").
pub fn default_service_cidr(vpc: Ipv4Net) -> Ipv4Net {
    let ten = Ipv4Net::new_assert([10, 0, 0, 0].into(), 8);
    Ipv4Net::new_assert(if ten.contains(&vpc) { [172, 20, 0, 0] } else { [10, 100, 0, 0] }.into(), 16)
}

/// Creates a cluster with the security group that EKS makes for it and two interfaces of its control plane. Gives the id
/// of that group. When it fails nothing of it remains.
///
/// # Errors
/// `ResourceInUseException` when the name is taken; `InvalidParameterException` for a name, a version, subnets, security
/// groups or a service CIDR block that do not do; what EC2 says.
pub fn create_cluster(state: &mut State, context: &Context, new: NewCluster) -> Result<String, AwsError> {
    check_name(&new.name)?;
    if find(state, context, &new.name).is_ok() {
        return Err(in_use(format!("Cluster already exists with name: {}", new.name)));
    }
    if versions::kubernetes(&new.version).is_none() {
        return Err(invalid_parameter(format!("unsupported Kubernetes version {}", new.version)));
    }
    let (vpc, zones) = placed(state, context, &new.subnets)?;
    let block = state.ec2.vpcs.get(&vpc).map(|vpc| vpc.cidr_block).unwrap_or_default();
    let service_cidr = new.service_cidr.unwrap_or_else(|| default_service_cidr(block));
    check_service_cidr(service_cidr, block)?;
    for id in &new.security_groups {
        if state.ec2.security_groups.get(id).is_none_or(|group| group.vpc != vpc) {
            return Err(invalid_parameter(format!("Security group(s) [{id}] are not in the same VPC as the subnets")));
        }
    }
    let group = create_group(state, context, &new.name, &vpc)?;
    let interfaces = match create_interfaces(state, context, &new, &group, &zones) {
        Ok(interfaces) => interfaces,
        Err(error) => {
            // Nothing uses it yet, so that this cannot fail.
            let _ = state.ec2.delete_security_group(context, &group);
            return Err(error);
        }
    };
    let record = Cluster {
        version: new.version,
        role_arn: new.role_arn,
        endpoint: String::new(),
        oidc_id: state.ids.hex(32).to_ascii_uppercase(),
        vpc,
        subnets: new.subnets,
        security_groups: new.security_groups,
        cluster_security_group: group.clone(),
        interfaces,
        service_cidr: service_cidr.trunc(),
        created: context.now,
        deleting: None,
        nodegroups: BTreeMap::new(),
        addons: BTreeMap::new(),
        updates: BTreeMap::new(),
        tags: new.tags,
    };
    state.eks.clusters.insert(key(context, &new.name), record);
    Ok(group)
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 100 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
        return Err(invalid_parameter(format!(
            "The name '{name}' must have 100 characters at most and match ^[0-9A-Za-z][A-Za-z0-9\\-_]*"
        )));
    }
    Ok(())
}

/// The VPC of subnets, and of each zone the first of them.
fn placed(
    state: &State,
    context: &Context,
    subnets: &[String],
) -> Result<(String, BTreeMap<String, String>), AwsError> {
    let mut zones = BTreeMap::new();
    let mut vpcs = BTreeSet::new();
    for id in subnets {
        let subnet = state.ec2.subnets.get(id).filter(|subnet| subnet.region == context.region);
        let subnet = subnet.ok_or_else(|| invalid_parameter(format!("The subnet ID '{id}' does not exist")))?;
        zones.entry(subnet.availability_zone.clone()).or_insert_with(|| id.clone());
        vpcs.insert(subnet.vpc.clone());
    }
    if zones.len() < 2 {
        return Err(invalid_parameter("Subnets specified must be in at least two different AZs"));
    }
    match vpcs.pop_first() {
        Some(vpc) if vpcs.is_empty() => Ok((vpc, zones)),
        _ => Err(invalid_parameter("Subnets specified must belong to the same VPC")),
    }
}

/// The block has to be private, a /12 to a /24, and apart from the VPC's.
///
/// Source: EKS API reference, KubernetesNetworkConfigRequest.
fn check_service_cidr(block: Ipv4Net, vpc: Ipv4Net) -> Result<(), AwsError> {
    let private = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];
    let inside = |(address, length): ([u8; 4], u8)| Ipv4Net::new_assert(address.into(), length).contains(&block);
    if !private.into_iter().any(inside) || !(12..=24).contains(&block.prefix_len()) {
        return Err(invalid_parameter(format!(
            "The service CIDR block {block} must be a /12 to /24 within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
        )));
    }
    if block.contains(&vpc) || vpc.contains(&block) {
        return Err(invalid_parameter(format!("The service CIDR block {block} overlaps with the VPC's {vpc}")));
    }
    Ok(())
}

fn create_group(state: &mut State, context: &Context, cluster: &str, vpc: &str) -> Result<String, AwsError> {
    let digits = u64::from_str_radix(&state.ids.hex(9), 16).unwrap_or_default() % 10_000_000_000;
    let name = format!("eks-cluster-sg-{cluster}-{digits}");
    let tags = Tags::from([
        ("Name".to_owned(), name.clone()),
        (format!("kubernetes.io/cluster/{cluster}"), "owned".to_owned()),
        ("aws:eks:cluster-name".to_owned(), cluster.to_owned()),
    ]);
    let description = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as \
                       well as any managed workloads.";
    let group = state.ec2.create_security_group(&mut state.ids, context, vpc, &name, description, tags)?;
    let within = SecurityGroupRule::all(RulePeer::Group(group.clone()));
    state.ec2.authorize(&mut state.ids, context, &group, vec![within])?;
    Ok(group)
}

fn create_interfaces(
    state: &mut State,
    context: &Context,
    new: &NewCluster,
    group: &str,
    zones: &BTreeMap<String, String>,
) -> Result<Vec<String>, AwsError> {
    let groups: Vec<_> = std::iter::once(group.to_owned()).chain(new.security_groups.iter().cloned()).collect();
    let description = format!("Amazon EKS {}", new.name);
    let mut interfaces: Vec<String> = Vec::new();
    for subnet in zones.values().take(CONTROL_PLANE_INTERFACES) {
        let interface = NewInterface::managed(subnet, &groups, &description, "interface", "amazon-eks");
        match state.ec2.create_interface(&mut state.ids, context, interface) {
            Ok((interface, _)) => interfaces.push(interface),
            Err(error) => {
                for interface in interfaces {
                    state.ec2.release_interface(&interface);
                }
                return Err(error);
            }
        }
    }
    Ok(interfaces)
}

/// Sets the URL of a cluster's Kubernetes API.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn set_endpoint(state: &mut State, context: &Context, name: &str, endpoint: &str) -> Result<(), AwsError> {
    find_mut(state, context, name)?.endpoint = endpoint.to_owned();
    Ok(())
}

/// Begins to delete a cluster; it is gone, with its security group and its control plane's interfaces, after a while.
/// Again has no effect.
///
/// # Errors
/// `ResourceNotFoundException`; `ResourceInUseException` while it has managed node groups.
pub fn begin_deletion(state: &mut State, context: &Context, name: &str) -> Result<(), AwsError> {
    let cluster = find_mut(state, context, name)?;
    if !cluster.nodegroups.is_empty() {
        return Err(in_use("Cluster has nodegroups attached"));
    }
    cluster.deleting.get_or_insert(context.now);
    Ok(())
}
