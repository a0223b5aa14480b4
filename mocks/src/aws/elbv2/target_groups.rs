//! Target groups of instance targets.

use std::collections::BTreeMap;

use crate::aws::elbv2::errors::{target_group_not_found, validation};
use crate::aws::elbv2::rules::{check_name, owned, set_attributes};
use crate::aws::elbv2::state::*;
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// What a new target group is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTargetGroup {
    /// Name: 32 characters at most.
    pub name: String,
    /// VPC.
    pub vpc: String,
    /// `TCP`; Network Load Balancers have others that are not emulated.
    pub protocol: String,
    /// Port of the targets.
    pub port: u16,
    /// How targets are checked.
    pub health_check: HealthCheckSettings,
    /// Tags.
    pub tags: Tags,
}

impl HealthCheckSettings {
    /// ELBv2's defaults for a TCP group.
    ///
    /// Source: API reference, CreateTargetGroup.
    pub const DEFAULT: Self =
        Self { interval_seconds: 30, timeout_seconds: 10, healthy_threshold: 5, unhealthy_threshold: 2 };

    /// What AWS's cloud provider for Kubernetes asks for.
    pub const CLOUD_PROVIDER: Self = Self { healthy_threshold: 3, unhealthy_threshold: 3, ..Self::DEFAULT };

    /// Checks the ranges.
    ///
    /// # Errors
    /// `ValidationError`.
    fn check(self) -> Result<(), AwsError> {
        for (name, value, range) in [
            ("intervalSeconds", self.interval_seconds, 5..=300),
            ("timeoutSeconds", self.timeout_seconds, 2..=120),
            ("healthyThresholdCount", self.healthy_threshold, 2..=10),
            ("unhealthyThresholdCount", self.unhealthy_threshold, 2..=10),
        ] {
            if !range.contains(&value) {
                let (low, high) = range.into_inner();
                return Err(validation(format!("Health check {name} '{value}' must be between {low} and {high}")));
            }
        }
        if self.timeout_seconds > self.interval_seconds {
            return Err(validation("Health check interval must be greater than or equal to the timeout"));
        }
        Ok(())
    }
}

impl NewTargetGroup {
    /// A TCP group with ELBv2's default health check.
    pub fn tcp(name: &str, vpc: &str, port: u16, tags: Tags) -> Self {
        let (name, vpc, protocol) = (name.to_owned(), vpc.to_owned(), "TCP".to_owned());
        Self { name, vpc, protocol, port, health_check: HealthCheckSettings::DEFAULT, tags }
    }
}

/// Attributes of a Network Load Balancer's target group, with their defaults.
///
/// Source: API reference, TargetGroupAttribute.
fn default_attributes() -> BTreeMap<String, String> {
    owned([
        ("deregistration_delay.connection_termination.enabled", "false"),
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        // On for instance targets (Network Load Balancer guide, "Client IP preservation").
        ("preserve_client_ip.enabled", "true"),
        ("proxy_protocol_v2.enabled", "false"),
        ("stickiness.enabled", "false"),
        ("stickiness.type", "source_ip"),
        ("target_health_state.unhealthy.connection_termination.enabled", "true"),
    ])
}

/// Creates a target group, and gives its ARN. The same request again gives the same one.
///
/// # Errors
/// `ValidationError` for the name, the VPC, the protocol or the health check; `DuplicateTargetGroupName` when one of that
/// name differs.
pub fn create(state: &mut State, context: &Context, new: NewTargetGroup) -> Result<String, AwsError> {
    check_name("target group", &new.name)?;
    new.health_check.check()?;
    if new.protocol != "TCP" {
        return Err(validation(format!("Target group protocol '{}' is not emulated; TCP is", new.protocol)));
    }
    if new.port == 0 {
        return Err(validation("1 validation error detected: Value '0' at 'port' must be between 1 and 65535"));
    }
    if state.ec2.vpcs.get(&new.vpc).is_none_or(|vpc| vpc.region != context.region) {
        return Err(validation(format!("The VPC ID '{}' is not found", new.vpc)));
    }
    let existing = state.elbv2.target_groups.iter().find(|(_, it)| it.region == context.region && it.name == new.name);
    if let Some((arn, existing)) = existing {
        if existing.vpc == new.vpc && existing.port == new.port && existing.health_check == new.health_check {
            return Ok(arn.clone());
        }
        let message = format!("A target group with the same name '{}' exists, but with different settings", new.name);
        return Err(AwsError::client("DuplicateTargetGroupName", message));
    }
    let id = state.ids.hex(16);
    let arn = format!("arn:aws:elasticloadbalancing:{}:{ACCOUNT}:targetgroup/{}/{id}", context.region, new.name);
    let record = TargetGroup {
        region: context.region.clone(),
        name: new.name,
        vpc: new.vpc,
        protocol: new.protocol,
        port: new.port,
        target_type: "instance".to_owned(),
        health_check: new.health_check,
        attributes: default_attributes(),
        targets: BTreeMap::new(),
        tags: new.tags,
    };
    state.elbv2.target_groups.insert(arn.clone(), record);
    Ok(arn)
}

/// Changes how targets are checked.
///
/// # Errors
/// `TargetGroupNotFound`; `ValidationError` for a value out of its range.
pub fn modify(
    state: &mut State,
    context: &Context,
    arn: &str,
    health_check: HealthCheckSettings,
) -> Result<(), AwsError> {
    health_check.check()?;
    find_mut(state, context, arn)?.health_check = health_check;
    Ok(())
}

/// Deletes a target group. One that does not exist is no error.
///
/// # Errors
/// `ResourceInUse` while a listener forwards to it.
pub fn delete(state: &mut State, context: &Context, arn: &str) -> Result<(), AwsError> {
    if find(state, context, arn).is_err() {
        return Ok(());
    }
    if state.elbv2.listeners.values().any(|listener| listener.target_group == arn) {
        let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
        return Err(AwsError::client("ResourceInUse", message));
    }
    state.elbv2.target_groups.remove(arn);
    Ok(())
}

/// A target group of the region.
///
/// # Errors
/// `TargetGroupNotFound`.
pub fn find<'a>(state: &'a State, context: &Context, arn: &str) -> Result<&'a TargetGroup, AwsError> {
    let found = state.elbv2.target_groups.get(arn).filter(|it| it.region == context.region);
    found.ok_or_else(|| target_group_not_found(arn))
}

pub(super) fn find_mut<'a>(
    state: &'a mut State,
    context: &Context,
    arn: &str,
) -> Result<&'a mut TargetGroup, AwsError> {
    let found = state.elbv2.target_groups.get_mut(arn).filter(|it| it.region == context.region);
    found.ok_or_else(|| target_group_not_found(arn))
}

/// Registers instances, all or none. New ones are `initial` until health checks decide; those that are registered stay as
/// they are, unless the port changes: AWS would keep both ports as two targets, here an instance has one.
///
/// # Errors
/// `TargetGroupNotFound`; `InvalidTarget` for an instance that does not exist or does not run in the group's VPC.
pub fn register(
    state: &mut State,
    context: &Context,
    arn: &str,
    targets: &[(String, Option<u16>)],
) -> Result<(), AwsError> {
    let vpc = find(state, context, arn)?.vpc.clone();
    let invalid = |message: String| Err(AwsError::client("InvalidTarget", message));
    for (instance, _) in targets {
        let Some(found) = state.ec2.instances.get(instance).filter(|it| it.region == context.region) else {
            return invalid(format!("The following targets are not valid instances: '{instance}'"));
        };
        if found.state != "running" {
            return invalid(format!(
                "The following targets are not in a running state and cannot be registered: '{instance}'"
            ));
        }
        if state.ec2.subnets.get(&found.subnet).is_none_or(|subnet| subnet.vpc != vpc) {
            return invalid(format!("The following targets are not in the target group VPC '{vpc}': '{instance}'"));
        }
    }
    let group = find_mut(state, context, arn)?;
    for (instance, port) in targets {
        let port = port.unwrap_or(group.port);
        let new = Target { port, health: Health::Initial, streak: 0 };
        let target = group.targets.entry(instance.clone()).or_insert_with(|| new.clone());
        if target.port != port {
            *target = new;
        }
    }
    Ok(())
}

/// Deregisters instances; those that are not registered are ignored. On AWS a target drains for minutes first; here it
/// is gone at once.
///
/// # Errors
/// `TargetGroupNotFound`.
pub fn deregister(state: &mut State, context: &Context, arn: &str, instances: &[String]) -> Result<(), AwsError> {
    find_mut(state, context, arn)?.targets.retain(|instance, _| !instances.contains(instance));
    Ok(())
}

/// Sets attributes, all or none.
///
/// # Errors
/// `TargetGroupNotFound`; `ValidationError` for an attribute that such a group does not have.
pub fn modify_attributes(
    state: &mut State,
    context: &Context,
    arn: &str,
    attributes: &[(String, String)],
) -> Result<(), AwsError> {
    set_attributes("Target group", &mut find_mut(state, context, arn)?.attributes, attributes)
}
