//! Target groups of instance targets.

use std::collections::BTreeMap;

use crate::aws::elbv2::errors::{target_group_not_found, validation};
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
    /// Health check interval in seconds.
    pub interval_seconds: u32,
    /// Checks in a row that change a target's health.
    pub threshold: u32,
    /// Tags.
    pub tags: Tags,
}

impl NewTargetGroup {
    /// A TCP group with ELBv2's default health check: every 30 seconds, three in a row (API reference, CreateTargetGroup).
    pub fn tcp(name: &str, vpc: &str, port: u16, tags: Tags) -> Self {
        let (name, vpc, protocol) = (name.to_owned(), vpc.to_owned(), "TCP".to_owned());
        Self { name, vpc, protocol, port, interval_seconds: 30, threshold: 3, tags }
    }
}

fn default_attributes() -> BTreeMap<String, String> {
    [
        ("deregistration_delay.timeout_seconds", "300"),
        // On for instance targets (Network Load Balancer guide, "Client IP preservation").
        ("preserve_client_ip.enabled", "true"),
        ("proxy_protocol_v2.enabled", "false"),
        ("stickiness.enabled", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Creates a target group, and gives its ARN. The same request again gives the same one.
///
/// # Errors
/// `ValidationError` for the name, the VPC or the protocol; `DuplicateTargetGroupName` when one of that name differs.
pub fn create(state: &mut State, context: &Context, new: NewTargetGroup) -> Result<String, AwsError> {
    if new.name.is_empty() || new.name.len() > 32 || new.name.starts_with('-') || new.name.ends_with('-') {
        return Err(validation(format!("Target group name '{}' is not valid", new.name)));
    }
    if new.protocol != "TCP" {
        return Err(validation(format!("Target group protocol '{}' is not emulated; TCP is", new.protocol)));
    }
    if state.ec2.vpcs.get(&new.vpc).is_none_or(|vpc| vpc.region != context.region) {
        return Err(validation(format!("The VPC ID '{}' is not found", new.vpc)));
    }
    let existing = state.elbv2.target_groups.iter().find(|(_, it)| it.region == context.region && it.name == new.name);
    if let Some((arn, existing)) = existing {
        if existing.vpc == new.vpc && existing.port == new.port {
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
        interval_seconds: new.interval_seconds,
        threshold: new.threshold,
        attributes: default_attributes(),
        targets: BTreeMap::new(),
        tags: new.tags,
    };
    state.elbv2.target_groups.insert(arn.clone(), record);
    Ok(arn)
}

/// Deletes a target group. One that does not exist is no error.
///
/// # Errors
/// `ResourceInUse` while a listener forwards to it.
pub fn delete(state: &mut State, context: &Context, arn: &str) -> Result<(), AwsError> {
    if state.elbv2.listeners.values().any(|listener| listener.target_group == arn) {
        let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
        return Err(AwsError::client("ResourceInUse", message));
    }
    if find(state, context, arn).is_ok() {
        state.elbv2.target_groups.remove(arn);
    }
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

fn find_mut<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut TargetGroup, AwsError> {
    let found = state.elbv2.target_groups.get_mut(arn).filter(|it| it.region == context.region);
    found.ok_or_else(|| target_group_not_found(arn))
}

/// Registers instances; those that are registered stay as they are. New ones are `initial` until health checks decide.
///
/// # Errors
/// `TargetGroupNotFound`; `InvalidTarget` for an instance that does not run in the group's VPC.
pub fn register(
    state: &mut State,
    context: &Context,
    arn: &str,
    targets: &[(String, Option<u16>)],
) -> Result<(), AwsError> {
    let vpc = find(state, context, arn)?.vpc.clone();
    for (instance, _) in targets {
        let found = state.ec2.instances.get(instance).filter(|it| it.region == context.region && it.state == "running");
        let Some(found) = found else {
            let message =
                format!("The following targets are not in a running state and cannot be registered: '{instance}'");
            return Err(AwsError::client("InvalidTarget", message));
        };
        if state.ec2.subnets.get(&found.subnet).is_none_or(|subnet| subnet.vpc != vpc) {
            let message = format!("The following targets are not in the target group VPC '{vpc}': '{instance}'");
            return Err(AwsError::client("InvalidTarget", message));
        }
    }
    let group = find_mut(state, context, arn)?;
    for (instance, port) in targets {
        let port = port.unwrap_or(group.port);
        group.targets.entry(instance.clone()).or_insert(Target { port, health: Health::Initial, streak: 0 });
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

/// Sets attributes.
///
/// # Errors
/// `TargetGroupNotFound`; `ValidationError` for an attribute that such a group does not have.
pub fn modify_attributes(
    state: &mut State,
    context: &Context,
    arn: &str,
    attributes: &[(String, String)],
) -> Result<(), AwsError> {
    let group = find_mut(state, context, arn)?;
    if let Some((key, _)) = attributes.iter().find(|(key, _)| !group.attributes.contains_key(key)) {
        return Err(validation(format!("Target group attribute key '{key}' is not recognized")));
    }
    group.attributes.extend(attributes.iter().cloned());
    Ok(())
}
