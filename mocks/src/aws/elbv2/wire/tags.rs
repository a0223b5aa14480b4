//! Tags on the wire.

use super::{Answer, done, pairs};
use crate::aws::elbv2::errors::validation;
use crate::aws::elbv2::{listeners, load_balancers, rules, target_groups};
use crate::aws::tags::Tags;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// Resources that a request names at most.
const MAX_RESOURCES: usize = 20;

fn resources(params: &Params) -> Result<Vec<String>, AwsError> {
    let arns = params.members("ResourceArns");
    if arns.is_empty() || arns.len() > MAX_RESOURCES {
        return Err(validation(format!(
            "1 validation error detected: 'resourceArns' must have length between 1 and {MAX_RESOURCES}"
        )));
    }
    Ok(arns)
}

fn tags_of<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut Tags, AwsError> {
    if arn.contains(":loadbalancer/") {
        Ok(&mut load_balancers::find_mut(state, context, arn)?.tags)
    } else if arn.contains(":listener/") {
        Ok(&mut listeners::find_mut(state, context, arn)?.tags)
    } else if arn.contains(":targetgroup/") {
        Ok(&mut target_groups::find_mut(state, context, arn)?.tags)
    } else {
        Err(validation(format!("'{arn}' is not a valid load balancer, listener or target group ARN")))
    }
}

pub(super) fn add(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (arns, new) = (resources(params)?, rules::tags(pairs(params, "Tags")?)?);
    // All or none: first on copies.
    for arn in &arns {
        rules::add_tags(&mut tags_of(state, context, arn)?.clone(), &new)?;
    }
    for arn in &arns {
        rules::add_tags(tags_of(state, context, arn)?, &new)?;
    }
    done()
}

pub(super) fn remove(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (arns, keys) = (resources(params)?, params.members("TagKeys"));
    for arn in &arns {
        tags_of(state, context, arn)?;
    }
    for arn in &arns {
        tags_of(state, context, arn)?.retain(|key, _| !keys.contains(key));
    }
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let mut members = Vec::new();
    for arn in resources(params)? {
        let tags = tags_of(state, context, &arn)?;
        let list = tags.iter().map(|(key, value)| vec![Element::text("Key", key), Element::text("Value", value)]);
        members.push(vec![Element::text("ResourceArn", &arn), Element::members("Tags", list)]);
    }
    Ok(vec![Element::members("TagDescriptions", members)])
}
