//! Load balancers.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::ec2::NewInterface;
use crate::aws::elbv2::errors::{invalid_configuration, load_balancer_not_found, validation};
use crate::aws::elbv2::rules::{check_name, owned, set_attributes};
use crate::aws::elbv2::state::*;
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

/// Free addresses that a subnet has to have.
///
/// Source: Network Load Balancer guide, "Create a Network Load Balancer".
const FREE_ADDRESSES: u32 = 8;

/// Network Load Balancers in a region.
///
/// Source: Network Load Balancer guide, "Quotas".
const MAX_LOAD_BALANCERS: usize = 50;

/// What a new load balancer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLoadBalancer {
    /// Name: 32 characters of letters, digits and dashes at most, not beginning or ending with a dash or with
    /// `internal-`.
    pub name: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// One subnet for each availability zone.
    pub subnets: Vec<String>,
    /// Security groups; usually none.
    pub security_groups: Vec<String>,
    /// Tags.
    pub tags: Tags,
}

impl LoadBalancer {
    /// State code at a time: `provisioning`, then `active`. The answer that creates it says `provisioning` however fast
    /// that is.
    pub fn state(&self, now: SimTime, latencies: &Latencies) -> &'static str {
        if now >= self.created + latencies.load_balancer_provision { "active" } else { "provisioning" }
    }

    /// DNS name.
    ///
    /// Source: Network Load Balancer guide, "DNS name": `name-id.elb.region.amazonaws.com`.
    pub fn dns_name(&self) -> String {
        format!("{}-{}.elb.{}.amazonaws.com", self.name, self.id, self.region)
    }

    /// Whether each of its addresses sends to targets of every zone. A target group that says otherwise is not heeded.
    pub fn cross_zone(&self) -> bool {
        self.attributes.get("load_balancing.cross_zone.enabled").is_some_and(|value| value == "true")
    }
}

/// Attributes of a Network Load Balancer, with their defaults.
///
/// Source: API reference, LoadBalancerAttribute.
fn default_attributes() -> BTreeMap<String, String> {
    owned([
        ("access_logs.s3.bucket", ""),
        ("access_logs.s3.enabled", "false"),
        ("access_logs.s3.prefix", ""),
        ("deletion_protection.enabled", "false"),
        ("dns_record.client_routing_policy", "any_availability_zone"),
        ("ipv6.deny_all_igw_traffic", "false"),
        ("load_balancing.cross_zone.enabled", "false"),
        ("zonal_shift.config.enabled", "false"),
    ])
}

/// Creates a load balancer with an interface in each subnet, and gives its ARN. The same request again gives the same one.
///
/// # Errors
/// `ValidationError` for a name or scheme; `DuplicateLoadBalancerName` when one of that name differs;
/// `TooManyLoadBalancers`; `SubnetNotFound`; `InvalidConfigurationRequest` for two subnets of one zone, subnets of two VPCs
/// or none; `InvalidSubnet` for one with too few free addresses or, facing the internet, without an internet gateway;
/// `InvalidSecurityGroup`.
pub fn create(state: &mut State, context: &Context, new: NewLoadBalancer) -> Result<String, AwsError> {
    check_name("load balancer", &new.name)?;
    if new.name.starts_with("internal-") {
        return Err(validation(format!("The load balancer name '{}' cannot begin with 'internal-'", new.name)));
    }
    if !matches!(new.scheme.as_str(), "internal" | "internet-facing") {
        return Err(validation(format!(
            "1 validation error detected: Value '{}' at 'scheme' failed to satisfy constraint: Member must satisfy enum \
             value set: [internal, internet-facing]",
            new.scheme
        )));
    }
    if let Some((arn, existing)) = named(state, context, &new.name) {
        let subnets: BTreeSet<_> = existing.zones.iter().map(|zone| &zone.subnet).collect();
        let same = existing.scheme == new.scheme
            && existing.security_groups == new.security_groups
            && subnets == new.subnets.iter().collect();
        if same {
            return Ok(arn.clone());
        }
        let message = format!("A load balancer with the same name '{}' exists, but with different settings", new.name);
        return Err(AwsError::client("DuplicateLoadBalancerName", message));
    }
    if state.elbv2.load_balancers.values().filter(|it| it.region == context.region).count() >= MAX_LOAD_BALANCERS {
        return Err(AwsError::client("TooManyLoadBalancers", "The maximum number of load balancers has been reached"));
    }
    let (vpc, subnets) = placed(state, context, &new)?;
    check_groups(state, context, &vpc, &new.security_groups)?;
    let id = state.ids.hex(16);
    let zones = create_interfaces(state, context, &new, subnets, &id)?;
    let arn = format!("arn:aws:elasticloadbalancing:{}:{ACCOUNT}:loadbalancer/net/{}/{id}", context.region, new.name);
    let record = LoadBalancer {
        region: context.region.clone(),
        name: new.name,
        id,
        scheme: new.scheme,
        vpc,
        zones,
        security_groups: new.security_groups,
        created: context.now,
        attributes: default_attributes(),
        tags: new.tags,
    };
    state.elbv2.load_balancers.insert(arn.clone(), record);
    Ok(arn)
}

/// The VPC and, by availability zone, the subnets of a new load balancer.
fn placed(
    state: &State,
    context: &Context,
    new: &NewLoadBalancer,
) -> Result<(String, BTreeMap<String, String>), AwsError> {
    let mut zones = BTreeMap::new();
    let mut vpcs = BTreeSet::new();
    for id in &new.subnets {
        let subnet = state.ec2.subnets.get(id).filter(|subnet| subnet.region == context.region);
        let subnet =
            subnet.ok_or_else(|| AwsError::client("SubnetNotFound", format!("The subnet ID '{id}' does not exist")))?;
        vpcs.insert(subnet.vpc.as_str());
        if zones.insert(subnet.availability_zone.clone(), id.clone()).is_some() {
            return Err(invalid_configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        if state.ec2.available_addresses(id) < FREE_ADDRESSES {
            return Err(AwsError::client(
                "InvalidSubnet",
                format!(
                    "Not enough IP space available in {id}. ELB requires at least {FREE_ADDRESSES} free IP addresses in \
                     each subnet."
                ),
            ));
        }
    }
    let Some(vpc) = vpcs.pop_first().filter(|_| vpcs.is_empty()) else {
        return Err(invalid_configuration("All subnets must belong to the same VPC, and there must be at least one"));
    };
    let gateway = || state.ec2.internet_gateways.values().any(|it| it.vpc.as_deref() == Some(vpc));
    if new.scheme == "internet-facing" && !gateway() {
        return Err(AwsError::client("InvalidSubnet", format!("VPC {vpc} has no internet gateway")));
    }
    Ok((vpc.to_owned(), zones))
}

fn check_groups(state: &State, context: &Context, vpc: &str, groups: &[String]) -> Result<(), AwsError> {
    for id in groups {
        let group = state.ec2.security_groups.get(id).filter(|group| group.region == context.region);
        if group.is_none_or(|group| group.vpc != vpc) {
            let message = format!("Security group '{id}' does not exist in VPC '{vpc}'");
            return Err(AwsError::client("InvalidSecurityGroup", message));
        }
    }
    Ok(())
}

fn create_interfaces(
    state: &mut State,
    context: &Context,
    new: &NewLoadBalancer,
    subnets: BTreeMap<String, String>,
    id: &str,
) -> Result<Vec<Zone>, AwsError> {
    let description = format!("ELB net/{}/{id}", new.name);
    let mut zones: Vec<Zone> = Vec::new();
    for (availability_zone, subnet) in subnets {
        let interface =
            NewInterface::managed(&subnet, &new.security_groups, &description, "network_load_balancer", "amazon-elb");
        match state.ec2.create_interface(&mut state.ids, context, interface) {
            Ok((interface, _)) => zones.push(Zone { availability_zone, subnet, interface }),
            Err(error) => {
                for zone in zones {
                    state.ec2.release_interface(&zone.interface);
                }
                return Err(error);
            }
        }
    }
    Ok(zones)
}

/// Deletes a load balancer with its listeners. One that does not exist is no error, as the API reference says. Its
/// interfaces stay for a while.
///
/// # Errors
/// `OperationNotPermitted` while deletion protection is on.
pub fn delete(state: &mut State, context: &Context, arn: &str) -> Result<(), AwsError> {
    let Some(found) = state.elbv2.load_balancers.get(arn).filter(|it| it.region == context.region) else {
        return Ok(());
    };
    if found.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true") {
        let message = format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
        return Err(AwsError::client("OperationNotPermitted", message));
    }
    let gone = context.now + context.latencies.load_balancer_release;
    state.elbv2.released.extend(found.zones.iter().map(|zone| (gone, zone.interface.clone())));
    state.elbv2.listeners.retain(|_, listener| listener.load_balancer != arn);
    state.elbv2.load_balancers.remove(arn);
    Ok(())
}

/// A load balancer of the region.
///
/// # Errors
/// `LoadBalancerNotFound`.
pub fn find<'a>(state: &'a State, context: &Context, arn: &str) -> Result<&'a LoadBalancer, AwsError> {
    let found = state.elbv2.load_balancers.get(arn).filter(|it| it.region == context.region);
    found.ok_or_else(|| load_balancer_not_found(arn))
}

pub(super) fn find_mut<'a>(
    state: &'a mut State,
    context: &Context,
    arn: &str,
) -> Result<&'a mut LoadBalancer, AwsError> {
    let found = state.elbv2.load_balancers.get_mut(arn).filter(|it| it.region == context.region);
    found.ok_or_else(|| load_balancer_not_found(arn))
}

/// The load balancer of a name in the region, with its ARN.
pub fn named<'a>(state: &'a State, context: &Context, name: &str) -> Option<(&'a String, &'a LoadBalancer)> {
    state.elbv2.load_balancers.iter().find(|(_, it)| it.region == context.region && it.name == name)
}

/// Sets attributes, all or none.
///
/// # Errors
/// `LoadBalancerNotFound`; `ValidationError` for an attribute that a Network Load Balancer does not have.
pub fn modify_attributes(
    state: &mut State,
    context: &Context,
    arn: &str,
    attributes: &[(String, String)],
) -> Result<(), AwsError> {
    set_attributes("Load balancer", &mut find_mut(state, context, arn)?.attributes, attributes)
}

/// Replaces the security groups of a load balancer.
///
/// # Errors
/// `LoadBalancerNotFound`; `InvalidSecurityGroup`; `InvalidConfigurationRequest` for a load balancer that was created
/// without any, or when none are left (Network Load Balancer guide, "Security groups").
pub fn set_security_groups(
    state: &mut State,
    context: &Context,
    arn: &str,
    groups: Vec<String>,
) -> Result<(), AwsError> {
    let found = find(state, context, arn)?;
    let (vpc, zones) = (found.vpc.clone(), found.zones.clone());
    if found.security_groups.is_empty() {
        return Err(invalid_configuration(
            "You cannot set security groups on a Network Load Balancer that was created without any",
        ));
    }
    if groups.is_empty() {
        return Err(invalid_configuration("You cannot remove all security groups of a Network Load Balancer"));
    }
    check_groups(state, context, &vpc, &groups)?;
    for zone in &zones {
        state.ec2.set_interface_groups(context, &zone.interface, groups.clone())?;
    }
    find_mut(state, context, arn)?.security_groups = groups;
    Ok(())
}
