//! Listeners.

use crate::aws::elbv2::errors::{listener_not_found, validation};
use crate::aws::elbv2::state::*;
use crate::aws::elbv2::{load_balancers, target_groups};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};

/// Creates a TCP listener that forwards to a target group, and gives its ARN.
///
/// # Errors
/// `LoadBalancerNotFound`, `TargetGroupNotFound`; `DuplicateListener` for a port that has one with another target group;
/// `ValidationError` for another protocol.
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
    target_groups::find(state, context, target_group)?;
    if protocol != "TCP" {
        return Err(validation(format!("Listener protocol '{protocol}' is not emulated; TCP is")));
    }
    let existing = state.elbv2.listeners.iter().find(|(_, it)| it.load_balancer == load_balancer && it.port == port);
    if let Some((arn, existing)) = existing {
        if existing.target_group == target_group {
            return Ok(arn.clone());
        }
        let message = format!("A listener already exists on this port for this load balancer '{load_balancer}'");
        return Err(AwsError::client("DuplicateListener", message));
    }
    let region = &context.region;
    let arn = format!(
        "arn:aws:elasticloadbalancing:{region}:{}:listener/net/{name}/{id}/{}",
        crate::aws::ACCOUNT,
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

/// Deletes a listener.
///
/// # Errors
/// `ListenerNotFound`.
pub fn delete(state: &mut State, arn: &str) -> Result<(), AwsError> {
    state.elbv2.listeners.remove(arn).map(drop).ok_or_else(|| listener_not_found(arn))
}

/// Changes port or target group of a listener, where given.
///
/// # Errors
/// `ListenerNotFound`, `TargetGroupNotFound`.
pub fn modify(
    state: &mut State,
    context: &Context,
    arn: &str,
    port: Option<u16>,
    target_group: Option<&str>,
) -> Result<(), AwsError> {
    if let Some(target_group) = target_group {
        target_groups::find(state, context, target_group)?;
    }
    let listener = state.elbv2.listeners.get_mut(arn).ok_or_else(|| listener_not_found(arn))?;
    listener.port = port.unwrap_or(listener.port);
    if let Some(target_group) = target_group {
        listener.target_group = target_group.to_owned();
    }
    Ok(())
}
