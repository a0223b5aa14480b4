//! Load balancers.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::ec2::NewInterface;
use crate::aws::elbv2::errors::{load_balancer_not_found, validation};
use crate::aws::elbv2::state::*;
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};
use crate::clock::{Latencies, SimTime};

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
}

/// Attributes that every Network Load Balancer has, with their defaults (API reference, LoadBalancerAttribute).
fn default_attributes() -> BTreeMap<String, String> {
    [
        ("access_logs.s3.enabled", "false"),
        ("deletion_protection.enabled", "false"),
        ("load_balancing.cross_zone.enabled", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.starts_with("internal-")
}

/// Creates a load balancer with an interface in each subnet, and gives its ARN. The same request again gives the same one.
///
/// # Errors
/// `ValidationError` for a name; `DuplicateLoadBalancerName` when one of that name differs; `SubnetNotFound`;
/// `InvalidConfigurationRequest` for two subnets of one zone or subnets of two VPCs; what EC2 says of the interfaces.
pub fn create(state: &mut State, context: &Context, new: NewLoadBalancer) -> Result<String, AwsError> {
    if !is_name(&new.name) {
        return Err(validation(format!("The load balancer name '{}' is not valid", new.name)));
    }
    let existing = state.elbv2.load_balancers.iter().find(|(_, it)| it.region == context.region && it.name == new.name);
    if let Some((arn, existing)) = existing {
        let subnets: BTreeSet<_> = existing.zones.iter().map(|zone| &zone.subnet).collect();
        if existing.scheme == new.scheme && subnets == new.subnets.iter().collect() {
            return Ok(arn.clone());
        }
        let message = format!("A load balancer with the same name '{}' exists, but with different settings", new.name);
        return Err(AwsError::client("DuplicateLoadBalancerName", message));
    }
    let mut zones: BTreeMap<String, String> = BTreeMap::new();
    let mut vpcs = BTreeSet::new();
    for id in &new.subnets {
        let subnet = state.ec2.subnets.get(id).filter(|subnet| subnet.region == context.region);
        let subnet =
            subnet.ok_or_else(|| AwsError::client("SubnetNotFound", format!("The subnet ID '{id}' does not exist")))?;
        vpcs.insert(subnet.vpc.clone());
        if zones.insert(subnet.availability_zone.clone(), id.clone()).is_some() {
            let message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
            return Err(AwsError::client("InvalidConfigurationRequest", message));
        }
    }
    let Some(vpc) = vpcs.pop_first().filter(|_| vpcs.is_empty()) else {
        let message = "All subnets must belong to the same VPC, and there must be at least one";
        return Err(AwsError::client("InvalidConfigurationRequest", message));
    };
    let id = state.ids.hex(16);
    let mut made = Vec::new();
    for (availability_zone, subnet) in zones {
        let description = format!("ELB net/{}/{id}", new.name);
        let interface =
            NewInterface::managed(&subnet, &new.security_groups, &description, "network_load_balancer", "amazon-elb");
        match state.ec2.create_interface(&mut state.ids, context, interface) {
            Ok((interface, _)) => made.push(Zone { availability_zone, subnet, interface }),
            Err(error) => {
                for zone in made {
                    state.ec2.release_interface(&zone.interface);
                }
                return Err(error);
            }
        }
    }
    let arn = format!("arn:aws:elasticloadbalancing:{}:{ACCOUNT}:loadbalancer/net/{}/{id}", context.region, new.name);
    let record = LoadBalancer {
        region: context.region.clone(),
        name: new.name,
        id,
        scheme: new.scheme,
        vpc,
        zones: made,
        security_groups: new.security_groups,
        created: context.now,
        attributes: default_attributes(),
        tags: new.tags,
    };
    state.elbv2.load_balancers.insert(arn.clone(), record);
    Ok(arn)
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

/// Sets attributes.
///
/// # Errors
/// `LoadBalancerNotFound`; `ValidationError` for an attribute that a Network Load Balancer does not have.
pub fn modify_attributes(
    state: &mut State,
    context: &Context,
    arn: &str,
    attributes: &[(String, String)],
) -> Result<(), AwsError> {
    find(state, context, arn)?;
    let Some(found) = state.elbv2.load_balancers.get_mut(arn) else { return Err(load_balancer_not_found(arn)) };
    if let Some((key, _)) = attributes.iter().find(|(key, _)| !found.attributes.contains_key(key)) {
        return Err(validation(format!("Load balancer attribute key '{key}' is not recognized")));
    }
    found.attributes.extend(attributes.iter().cloned());
    Ok(())
}
