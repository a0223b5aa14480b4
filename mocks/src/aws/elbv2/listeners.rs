//! Listeners.

use crate::aws::elbv2::errors::{invalid_configuration, listener_not_found, validation};
use crate::aws::elbv2::state::*;
use crate::aws::elbv2::{load_balancers, target_groups};
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// Creates a TCP listener that forwards to a target group, and gives its ARN. The same request again gives the same one.
///
/// # Errors
/// `LoadBalancerNotFound`, `TargetGroupNotFound`; `DuplicateListener` for a port that has one with another target group;
/// `UnsupportedProtocol` for a protocol that is not emulated; what [`modify`] says of the target group.
pub fn create(
    state: &mut State,
    context: &Context,
    load_balancer: &str,
    protocol: &str,
    port: u16,
    target_group: &str,
    tags: Tags,
) -> Result<String, AwsError> {
    let found = load_balancers::find(state, context, load_balancer)?;
    let (name, id) = (found.name.clone(), found.id.clone());
    check_protocol(protocol)?;
    check_port(port)?;
    check_target_group(state, context, load_balancer, target_group)?;
    if let Some((arn, existing)) = at(state, load_balancer, port) {
        if existing.target_group == target_group {
            return Ok(arn.clone());
        }
        return Err(duplicate(load_balancer));
    }
    let arn = format!(
        "arn:aws:elasticloadbalancing:{}:{ACCOUNT}:listener/net/{name}/{id}/{}",
        context.region,
        state.ids.hex(16)
    );
    let record = Listener {
        load_balancer: load_balancer.to_owned(),
        protocol: protocol.to_owned(),
        port,
        target_group: target_group.to_owned(),
        tags,
    };
    state.elbv2.listeners.insert(arn.clone(), record);
    Ok(arn)
}

/// A listener of a load balancer of the region.
///
/// # Errors
/// `ListenerNotFound`.
pub fn find<'a>(state: &'a State, context: &Context, arn: &str) -> Result<&'a Listener, AwsError> {
    let found = state.elbv2.listeners.get(arn);
    let here = |it: &&Listener| load_balancers::find(state, context, &it.load_balancer).is_ok();
    found.filter(here).ok_or_else(|| listener_not_found(arn))
}

pub(super) fn find_mut<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut Listener, AwsError> {
    find(state, context, arn)?;
    state.elbv2.listeners.get_mut(arn).ok_or_else(|| listener_not_found(arn))
}

/// The listener of a load balancer at a port, with its ARN.
pub(super) fn at<'a>(state: &'a State, load_balancer: &str, port: u16) -> Option<(&'a String, &'a Listener)> {
    state.elbv2.listeners.iter().find(|(_, it)| it.load_balancer == load_balancer && it.port == port)
}

/// Deletes a listener.
///
/// # Errors
/// `ListenerNotFound`.
pub fn delete(state: &mut State, context: &Context, arn: &str) -> Result<(), AwsError> {
    find(state, context, arn)?;
    state.elbv2.listeners.remove(arn);
    Ok(())
}

/// Changes protocol, port or target group of a listener, where given.
///
/// # Errors
/// `ListenerNotFound`, `TargetGroupNotFound`, `DuplicateListener`, `UnsupportedProtocol`;
/// `InvalidConfigurationRequest` for a target group of another VPC; `TargetGroupAssociationLimit` for one that another
/// load balancer uses.
pub fn modify(
    state: &mut State,
    context: &Context,
    arn: &str,
    protocol: Option<&str>,
    port: Option<u16>,
    target_group: Option<&str>,
) -> Result<(), AwsError> {
    let load_balancer = find(state, context, arn)?.load_balancer.clone();
    protocol.map_or(Ok(()), check_protocol)?;
    if let Some(port) = port {
        check_port(port)?;
        if at(state, &load_balancer, port).is_some_and(|(other, _)| other != arn) {
            return Err(duplicate(&load_balancer));
        }
    }
    if let Some(target_group) = target_group {
        check_target_group(state, context, &load_balancer, target_group)?;
    }
    let listener = find_mut(state, context, arn)?;
    listener.port = port.unwrap_or(listener.port);
    if let Some(target_group) = target_group {
        listener.target_group = target_group.to_owned();
    }
    Ok(())
}

fn duplicate(load_balancer: &str) -> AwsError {
    let message = format!("A listener already exists on this port for this load balancer '{load_balancer}'");
    AwsError::client("DuplicateListener", message)
}

fn check_protocol(protocol: &str) -> Result<(), AwsError> {
    if protocol == "TCP" {
        return Ok(());
    }
    let message = format!("Listeners with the protocol '{protocol}' are not emulated; TCP is");
    Err(AwsError::client("UnsupportedProtocol", message))
}

fn check_port(port: u16) -> Result<(), AwsError> {
    if port == 0 {
        return Err(validation("1 validation error detected: Value '0' at 'port' must be between 1 and 65535"));
    }
    Ok(())
}

/// A target group can be used by one load balancer, in its own VPC.
fn check_target_group(
    state: &State,
    context: &Context,
    load_balancer: &str,
    target_group: &str,
) -> Result<(), AwsError> {
    let group = target_groups::find(state, context, target_group)?;
    if group.vpc != load_balancers::find(state, context, load_balancer)?.vpc {
        return Err(invalid_configuration(format!(
            "The target group '{target_group}' and the load balancer '{load_balancer}' are in different VPCs"
        )));
    }
    let others = |it: &Listener| it.target_group == target_group && it.load_balancer != load_balancer;
    if state.elbv2.listeners.values().any(others) {
        return Err(AwsError::client(
            "TargetGroupAssociationLimit",
            format!(
                "The following target groups cannot be associated with more than one load balancer: {target_group}"
            ),
        ));
    }
    Ok(())
}
