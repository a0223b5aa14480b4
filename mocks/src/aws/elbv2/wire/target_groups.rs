//! Target groups on the wire.

use std::collections::BTreeSet;

use super::{Answer, attributes, done, page, pairs, port};
use crate::aws::elbv2::errors::{target_group_not_found, validation};
use crate::aws::elbv2::target_groups as operations;
use crate::aws::elbv2::{HealthCheckSettings, NewTargetGroup, TargetGroup, load_balancers, rules};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// The settings of a request, over `base`. Only TCP checks of the port that gets the traffic are emulated.
fn health_check(params: &Params, base: HealthCheckSettings) -> Result<HealthCheckSettings, AwsError> {
    let only = |name: &str, value: &str| match params.get(name).is_none_or(|given| given == value) {
        true => Ok(()),
        false => Err(validation(format!("Health checks with another {name} than '{value}' are not emulated"))),
    };
    only("HealthCheckProtocol", "TCP")?;
    only("HealthCheckPort", "traffic-port")?;
    only("HealthCheckEnabled", "true")?;
    let number = |name: &str, default: u32| match params.int(name)? {
        None => Ok(default),
        Some(value) => {
            u32::try_from(value).map_err(|_| validation(format!("Value '{value}' for {name} is out of range")))
        }
    };
    Ok(HealthCheckSettings {
        interval_seconds: number("HealthCheckIntervalSeconds", base.interval_seconds)?,
        timeout_seconds: number("HealthCheckTimeoutSeconds", base.timeout_seconds)?,
        healthy_threshold: number("HealthyThresholdCount", base.healthy_threshold)?,
        unhealthy_threshold: number("UnhealthyThresholdCount", base.unhealthy_threshold)?,
    })
}

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    match params.get("TargetType").unwrap_or("instance") {
        "instance" => {}
        other => return Err(validation(format!("Targets of type '{other}' are not emulated; instance is"))),
    }
    let new = NewTargetGroup {
        name: params.require("Name")?.to_owned(),
        vpc: params.get("VpcId").ok_or_else(|| validation("A VPC ID must be specified"))?.to_owned(),
        protocol: params.get("Protocol").ok_or_else(|| validation("A protocol must be specified"))?.to_owned(),
        port: port(params, "Port")?.ok_or_else(|| validation("A port must be specified"))?,
        health_check: health_check(params, HealthCheckSettings::DEFAULT)?,
        tags: rules::tags(pairs(params, "Tags")?)?,
    };
    let arn = operations::create(state, context, new)?;
    described(state, context, &arn)
}

pub(super) fn modify(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("TargetGroupArn")?;
    let settings = health_check(params, operations::find(state, context, arn)?.health_check)?;
    operations::modify(state, context, arn, settings)?;
    described(state, context, arn)
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    operations::delete(state, context, params.require("TargetGroupArn")?)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (arns, names) = (params.members("TargetGroupArns"), params.members("Names"));
    let of = params.get("LoadBalancerArn");
    let ways = [!arns.is_empty(), !names.is_empty(), of.is_some()];
    if ways.into_iter().filter(|given| *given).count() > 1 {
        return Err(validation("Only one of target group ARNs, names and a load balancer ARN can be specified"));
    }
    let all: Vec<_> = state.elbv2.target_groups.iter().filter(|(_, it)| it.region == context.region).collect();
    let unknown_arn = arns.iter().find(|arn| !all.iter().any(|(known, _)| known == arn));
    let unknown_name = names.iter().find(|name| !all.iter().any(|(_, it)| it.name == **name));
    if let Some(missing) = unknown_arn.or(unknown_name) {
        return Err(target_group_not_found(missing));
    }
    if let Some(arn) = of {
        load_balancers::find(state, context, arn)?;
    }
    let chosen = |arn: &String, it: &TargetGroup| {
        (arns.is_empty() || arns.contains(arn))
            && (names.is_empty() || names.contains(&it.name))
            && of.is_none_or(|of| users(state, arn).contains(of))
    };
    let records = all.into_iter().filter(|(arn, it)| chosen(arn, it)).collect();
    page(params, "DescribeTargetGroups", "TargetGroups", records, |arn, it| target_group(state, arn, it))
}

pub(super) fn describe_attributes(state: &mut State, context: &Context, params: &Params) -> Answer {
    attributes(&operations::find(state, context, params.require("TargetGroupArn")?)?.attributes)
}

pub(super) fn modify_attributes(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("TargetGroupArn")?;
    operations::modify_attributes(state, context, arn, &pairs(params, "Attributes")?)?;
    attributes(&operations::find(state, context, arn)?.attributes)
}

/// The load balancers that forward to a target group.
fn users<'a>(state: &'a State, arn: &str) -> BTreeSet<&'a str> {
    let listeners = state.elbv2.listeners.values().filter(|listener| listener.target_group == arn);
    listeners.map(|listener| listener.load_balancer.as_str()).collect()
}

fn described(state: &State, context: &Context, arn: &str) -> Answer {
    let found = operations::find(state, context, arn)?;
    Ok(vec![Element::members("TargetGroups", [target_group(state, arn, found)])])
}

fn target_group(state: &State, arn: &str, it: &TargetGroup) -> Vec<Element> {
    vec![
        Element::text("TargetGroupArn", arn),
        Element::text("TargetGroupName", &it.name),
        Element::text("Protocol", &it.protocol),
        Element::text("Port", it.port),
        Element::text("VpcId", &it.vpc),
        Element::text("HealthCheckProtocol", "TCP"),
        Element::text("HealthCheckPort", "traffic-port"),
        Element::text("HealthCheckEnabled", true),
        Element::text("HealthCheckIntervalSeconds", it.health_check.interval_seconds),
        Element::text("HealthCheckTimeoutSeconds", it.health_check.timeout_seconds),
        Element::text("HealthyThresholdCount", it.health_check.healthy_threshold),
        Element::text("UnhealthyThresholdCount", it.health_check.unhealthy_threshold),
        Element::texts("LoadBalancerArns", "member", users(state, arn)),
        Element::text("TargetType", &it.target_type),
        Element::text("IpAddressType", "ipv4"),
    ]
}
