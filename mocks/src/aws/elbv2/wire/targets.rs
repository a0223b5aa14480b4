//! Targets and their health on the wire.

use super::{Answer, done, port};
use crate::aws::elbv2::health::receiver;
use crate::aws::elbv2::target_groups as operations;
use crate::aws::elbv2::{Health, Target};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// Instances and ports of a request.
fn targets(params: &Params) -> Result<Vec<(String, Option<u16>)>, AwsError> {
    params
        .structs("Targets.member")
        .iter()
        .map(|target| Ok((target.require("Id")?.to_owned(), port(target, "Port")?)))
        .collect()
}

fn some_targets(params: &Params) -> Result<Vec<(String, Option<u16>)>, AwsError> {
    let targets = targets(params)?;
    if targets.is_empty() { Err(AwsError::missing_parameter("Targets")) } else { Ok(targets) }
}

pub(super) fn register(state: &mut State, context: &Context, params: &Params) -> Answer {
    operations::register(state, context, params.require("TargetGroupArn")?, &some_targets(params)?)?;
    done()
}

pub(super) fn deregister(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("TargetGroupArn")?;
    let group = operations::find(state, context, arn)?;
    // A port that is not the target's names another target, which is not registered.
    let named = |(instance, port): &(String, Option<u16>)| {
        group.targets.get(instance).is_some_and(|target| port.is_none_or(|port| port == target.port))
    };
    let instances: Vec<_> = some_targets(params)?.into_iter().filter(named).map(|(instance, _)| instance).collect();
    operations::deregister(state, context, arn, &instances)?;
    done()
}

pub(super) fn describe_health(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("TargetGroupArn")?;
    let group = operations::find(state, context, arn)?;
    let in_use = state.elbv2.listeners.values().any(|listener| listener.target_group == arn);
    let chosen = targets(params)?;
    let registered = group.targets.iter().filter(|(id, _)| chosen.is_empty() || chosen.iter().any(|(it, _)| it == *id));
    let mut members: Vec<_> = registered
        .map(|(id, target)| described(id, target.port, health(target, in_use, receiver(state, id).is_some())))
        .collect();
    for (id, port) in chosen.iter().filter(|(id, _)| !group.targets.contains_key(id)) {
        members.push(described(id, port.unwrap_or(group.port), NOT_REGISTERED));
    }
    Ok(vec![Element::members("TargetHealthDescriptions", members)])
}

/// State, reason code and description of a target's health.
type Shown = (&'static str, Option<(&'static str, &'static str)>);

const NOT_REGISTERED: Shown =
    ("unused", Some(("Target.NotRegistered", "Target is not registered to the target group")));

fn health(target: &Target, in_use: bool, running: bool) -> Shown {
    if !running {
        return ("unused", Some(("Target.InvalidState", "Target is in the terminated or stopped state")));
    }
    if !in_use {
        let description = "Target group is not configured to receive traffic from the load balancer";
        return ("unused", Some(("Target.NotInUse", description)));
    }
    match target.health {
        Health::Healthy => ("healthy", None),
        Health::Initial => ("initial", Some(("Elb.RegistrationInProgress", "Target registration is in progress"))),
        Health::Unhealthy => ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed"))),
    }
}

fn described(id: &str, port: u16, (state, reason): Shown) -> Vec<Element> {
    let mut health = vec![Element::text("State", state)];
    if let Some((code, description)) = reason {
        health.extend([Element::text("Reason", code), Element::text("Description", description)]);
    }
    vec![
        Element::new("Target", vec![Element::text("Id", id), Element::text("Port", port)]),
        Element::text("HealthCheckPort", port),
        Element::new("TargetHealth", health),
    ]
}
