//! ELBv2's query protocol.

mod listeners;
mod load_balancers;
mod tags;
mod target_groups;
mod targets;

use std::collections::BTreeMap;

use crate::aws::elbv2::errors::validation;
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// What an action gives: the children of `<ActionResult>`.
type Answer = Result<Vec<Element>, AwsError>;

type Handler = fn(&mut State, &Context, &Params) -> Answer;

/// The actions that are emulated.
const ACTIONS: &[(&str, Handler)] = &[
    ("AddTags", tags::add),
    ("CreateListener", listeners::create),
    ("CreateLoadBalancer", load_balancers::create),
    ("CreateTargetGroup", target_groups::create),
    ("DeleteListener", listeners::delete),
    ("DeleteLoadBalancer", load_balancers::delete),
    ("DeleteTargetGroup", target_groups::delete),
    ("DeregisterTargets", targets::deregister),
    ("DescribeListeners", listeners::describe),
    ("DescribeLoadBalancerAttributes", load_balancers::describe_attributes),
    ("DescribeLoadBalancers", load_balancers::describe),
    ("DescribeTags", tags::describe),
    ("DescribeTargetGroupAttributes", target_groups::describe_attributes),
    ("DescribeTargetGroups", target_groups::describe),
    ("DescribeTargetHealth", targets::describe_health),
    ("ModifyListener", listeners::modify),
    ("ModifyLoadBalancerAttributes", load_balancers::modify_attributes),
    ("ModifyTargetGroup", target_groups::modify),
    ("ModifyTargetGroupAttributes", target_groups::modify_attributes),
    ("RegisterTargets", targets::register),
    ("RemoveTags", tags::remove),
    ("SetSecurityGroups", load_balancers::set_security_groups),
];

/// Answers an action of ELBv2 with the children of `<ActionResult>`.
///
/// # Errors
/// The service's own error codes; `InvalidAction` for what is not emulated.
pub fn handle(state: &mut State, context: &Context, action: &str, params: &Params) -> Answer {
    match ACTIONS.iter().find(|(name, _)| *name == action) {
        Some((_, handler)) => handler(state, context, params),
        None => Err(AwsError::not_emulated("ELBv2", action)),
    }
}

/// The answer of an action that gives nothing.
fn done() -> Answer {
    Ok(Vec::new())
}

/// `Name.member.N.Key` and `.Value`.
fn pairs(params: &Params, name: &str) -> Result<Vec<(String, String)>, AwsError> {
    params
        .structs(&format!("{name}.member"))
        .iter()
        .map(|pair| Ok((pair.require("Key")?.to_owned(), pair.get("Value").unwrap_or_default().to_owned())))
        .collect()
}

fn attributes(attributes: &BTreeMap<String, String>) -> Answer {
    let members = attributes.iter().map(|(key, value)| vec![Element::text("Key", key), Element::text("Value", value)]);
    Ok(vec![Element::members("Attributes", members)])
}

/// A port, where there is one.
fn port(params: &Params, name: &str) -> Result<Option<u16>, AwsError> {
    let outside = |_| validation(format!("1 validation error detected: Value at '{name}' must be between 1 and 65535"));
    params.int(name)?.map(|port| u16::try_from(port).map_err(outside)).transpose()
}

/// A page of records by ARN, as `name` around the members and `NextMarker`.
fn page<'a, R>(
    params: &Params,
    action: &str,
    name: &'static str,
    records: Vec<(&'a String, &'a R)>,
    show: impl Fn(&str, &R) -> Vec<Element>,
) -> Answer {
    let page = PageRequest::elbv2(params, action)?.page(records, |(arn, _)| arn.as_str());
    let members = page.items.into_iter().map(|(arn, record)| show(arn, record));
    let mut children = vec![Element::members(name, members)];
    children.extend(Element::optional("NextMarker", page.next));
    Ok(children)
}
