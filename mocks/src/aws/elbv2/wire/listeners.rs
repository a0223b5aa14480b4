//! Listeners on the wire.

use super::{Answer, done, page, pairs, port};
use crate::aws::elbv2::errors::validation;
use crate::aws::elbv2::listeners as operations;
use crate::aws::elbv2::{Listener, load_balancers, rules};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// The target group of the one action that a Network Load Balancer's listener has.
fn forwards_to(params: &Params) -> Result<Option<String>, AwsError> {
    let actions = params.structs("DefaultActions.member");
    let [action] = actions.as_slice() else {
        return if actions.is_empty() { Ok(None) } else { Err(one_action()) };
    };
    if action.get("Type") != Some("forward") {
        return Err(one_action());
    }
    let groups = action.structs("ForwardConfig.TargetGroups.member");
    match (action.get("TargetGroupArn"), groups.as_slice()) {
        (Some(group), _) => Ok(Some(group.to_owned())),
        (None, [group]) => Ok(Some(group.require("TargetGroupArn")?.to_owned())),
        (None, []) => Err(validation("A target group ARN must be specified")),
        (None, _) => Err(validation("Actions that forward to several target groups are not emulated")),
    }
}

fn one_action() -> AwsError {
    validation("A listener of a Network Load Balancer has exactly one default action of type 'forward'")
}

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let load_balancer = params.require("LoadBalancerArn")?;
    let protocol = params.require("Protocol")?;
    let port = port(params, "Port")?.ok_or_else(|| validation("A port must be specified"))?;
    let group = forwards_to(params)?.ok_or_else(|| validation("A default action must be specified"))?;
    let tags = rules::tags(pairs(params, "Tags")?)?;
    let arn = operations::create(state, context, load_balancer, protocol, port, &group, tags)?;
    described(state, context, &arn)
}

pub(super) fn modify(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("ListenerArn")?;
    let (protocol, port, group) = (params.get("Protocol"), port(params, "Port")?, forwards_to(params)?);
    operations::modify(state, context, arn, protocol, port, group.as_deref())?;
    described(state, context, arn)
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    operations::delete(state, context, params.require("ListenerArn")?)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (arns, of) = (params.members("ListenerArns"), params.get("LoadBalancerArn"));
    match of {
        Some(arn) => drop(load_balancers::find(state, context, arn)?),
        None if arns.is_empty() => {
            return Err(validation("You must specify either listener ARNs or a load balancer ARN"));
        }
        None => {}
    }
    for arn in &arns {
        operations::find(state, context, arn)?;
    }
    let chosen = |arn: &String, it: &Listener| {
        (arns.is_empty() || arns.contains(arn)) && of.is_none_or(|of| it.load_balancer == of)
    };
    let records = state.elbv2.listeners.iter().filter(|(arn, it)| chosen(arn, it)).collect();
    page(params, "DescribeListeners", "Listeners", records, listener)
}

fn described(state: &State, context: &Context, arn: &str) -> Answer {
    Ok(vec![Element::members("Listeners", [listener(arn, operations::find(state, context, arn)?)])])
}

fn listener(arn: &str, it: &Listener) -> Vec<Element> {
    let group = vec![Element::text("TargetGroupArn", &it.target_group)];
    let action = vec![
        Element::text("Type", "forward"),
        Element::text("TargetGroupArn", &it.target_group),
        Element::new("ForwardConfig", vec![Element::members("TargetGroups", [group])]),
    ];
    vec![
        Element::text("ListenerArn", arn),
        Element::text("LoadBalancerArn", &it.load_balancer),
        Element::text("Port", it.port),
        Element::text("Protocol", &it.protocol),
        Element::members("DefaultActions", [action]),
    ]
}
