//! Load balancers on the wire.

use super::{Answer, attributes, done, page, pairs};
use crate::aws::elbv2::errors::{load_balancer_not_found, validation};
use crate::aws::elbv2::load_balancers as operations;
use crate::aws::elbv2::{LoadBalancer, NewLoadBalancer, rules};
use crate::aws::wire::params::Params;
use crate::aws::wire::time::iso8601;
use crate::aws::wire::xml::Element;
use crate::aws::{Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    match params.get("Type").unwrap_or("application") {
        "network" => {}
        other => return Err(validation(format!("Load balancers of type '{other}' are not emulated; network is"))),
    }
    if params.get("IpAddressType").is_some_and(|kind| kind != "ipv4") {
        return Err(validation("Only the IP address type ipv4 is emulated"));
    }
    let mut subnets = params.members("Subnets");
    let mappings = params.structs("SubnetMappings.member");
    if !subnets.is_empty() && !mappings.is_empty() {
        return Err(validation("You cannot specify both subnets and subnet mappings"));
    }
    for mapping in mappings {
        if mapping.iter().any(|(name, _)| name != "SubnetId") {
            return Err(validation("Subnet mappings with addresses of one's own are not emulated"));
        }
        subnets.push(mapping.require("SubnetId")?.to_owned());
    }
    let new = NewLoadBalancer {
        name: params.require("Name")?.to_owned(),
        scheme: params.get("Scheme").unwrap_or("internet-facing").to_owned(),
        subnets,
        security_groups: params.members("SecurityGroups"),
        tags: rules::tags(pairs(params, "Tags")?)?,
    };
    let arn = operations::create(state, context, new)?;
    let found = operations::find(state, context, &arn)?;
    // Of an existing one the state is as it is; a new one is never active in the answer that makes it.
    let code = if found.created == context.now { "provisioning" } else { found.state(context.now, &context.latencies) };
    Ok(vec![Element::members("LoadBalancers", [load_balancer(code, &arn, found)])])
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (arns, names) = (params.members("LoadBalancerArns"), params.members("Names"));
    if !arns.is_empty() && !names.is_empty() {
        return Err(validation("Load balancer ARNs and names cannot be specified at the same time"));
    }
    let all: Vec<_> = state.elbv2.load_balancers.iter().filter(|(_, it)| it.region == context.region).collect();
    let unknown_arn = arns.iter().find(|arn| !all.iter().any(|(known, _)| known == arn));
    let unknown_name = names.iter().find(|name| !all.iter().any(|(_, it)| it.name == **name));
    if let Some(missing) = unknown_arn.or(unknown_name) {
        return Err(load_balancer_not_found(missing));
    }
    let chosen = |arn: &String, it: &LoadBalancer| {
        (arns.is_empty() || arns.contains(arn)) && (names.is_empty() || names.contains(&it.name))
    };
    let records = all.into_iter().filter(|(arn, it)| chosen(arn, it)).collect();
    page(params, "DescribeLoadBalancers", "LoadBalancers", records, |arn, it| {
        load_balancer(it.state(context.now, &context.latencies), arn, it)
    })
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    operations::delete(state, context, params.require("LoadBalancerArn")?)?;
    done()
}

pub(super) fn describe_attributes(state: &mut State, context: &Context, params: &Params) -> Answer {
    attributes(&operations::find(state, context, params.require("LoadBalancerArn")?)?.attributes)
}

pub(super) fn modify_attributes(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("LoadBalancerArn")?;
    operations::modify_attributes(state, context, arn, &pairs(params, "Attributes")?)?;
    attributes(&operations::find(state, context, arn)?.attributes)
}

pub(super) fn set_security_groups(state: &mut State, context: &Context, params: &Params) -> Answer {
    let arn = params.require("LoadBalancerArn")?;
    operations::set_security_groups(state, context, arn, params.members("SecurityGroups"))?;
    let groups = &operations::find(state, context, arn)?.security_groups;
    Ok(vec![Element::texts("SecurityGroupIds", "member", groups)])
}

/// A load balancer as answers show it. `CanonicalHostedZoneId` is left out: there is no Route 53 here to use it with.
fn load_balancer(state: &str, arn: &str, it: &LoadBalancer) -> Vec<Element> {
    let zones = it.zones.iter().map(|zone| {
        vec![
            Element::text("ZoneName", &zone.availability_zone),
            Element::text("SubnetId", &zone.subnet),
            // Filled only for addresses that somebody asked for.
            Element::new("LoadBalancerAddresses", Vec::new()),
        ]
    });
    vec![
        Element::text("LoadBalancerArn", arn),
        Element::text("DNSName", it.dns_name()),
        Element::text("CreatedTime", iso8601(it.created)),
        Element::text("LoadBalancerName", &it.name),
        Element::text("Scheme", &it.scheme),
        Element::text("VpcId", &it.vpc),
        Element::new("State", vec![Element::text("Code", state)]),
        Element::text("Type", "network"),
        Element::members("AvailabilityZones", zones),
        Element::texts("SecurityGroups", "member", &it.security_groups),
        Element::text("IpAddressType", "ipv4"),
    ]
}
