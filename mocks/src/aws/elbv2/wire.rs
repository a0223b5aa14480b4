//! ELBv2's query protocol.

use crate::aws::elbv2::errors::{listener_not_found, load_balancer_not_found, target_group_not_found, validation};
use crate::aws::elbv2::{
    Health, Listener, LoadBalancer, NewLoadBalancer, NewTargetGroup, Target, TargetGroup, listeners, load_balancers,
    target_groups,
};
use crate::aws::tags::Tags;
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// Answers an action of ELBv2 with the children of `<ActionResult>`.
///
/// # Errors
/// The service's own error codes; `InvalidAction` for what is not emulated.
pub fn handle(state: &mut State, context: &Context, action: &str, params: &Params) -> Result<Vec<Element>, AwsError> {
    match action {
        "CreateLoadBalancer" => create_load_balancer(state, context, params),
        "DescribeLoadBalancers" => describe_load_balancers(state, context, params),
        "DeleteLoadBalancer" => done(load_balancers::delete(state, context, params.require("LoadBalancerArn")?)),
        "DescribeLoadBalancerAttributes" => {
            let found = load_balancers::find(state, context, params.require("LoadBalancerArn")?)?;
            Ok(vec![attributes(&found.attributes)])
        }
        "ModifyLoadBalancerAttributes" => {
            let arn = params.require("LoadBalancerArn")?;
            load_balancers::modify_attributes(state, context, arn, &pairs(params, "Attributes")?)?;
            Ok(vec![attributes(&load_balancers::find(state, context, arn)?.attributes)])
        }
        "SetSecurityGroups" => Err(AwsError::client(
            "InvalidConfigurationRequest",
            "You cannot set security groups on a Network Load Balancer that was created without any",
        )),
        "CreateTargetGroup" => create_target_group(state, context, params),
        "DescribeTargetGroups" => describe_target_groups(state, context, params),
        "DeleteTargetGroup" => done(target_groups::delete(state, context, params.require("TargetGroupArn")?)),
        "DescribeTargetGroupAttributes" => {
            let found = target_groups::find(state, context, params.require("TargetGroupArn")?)?;
            Ok(vec![attributes(&found.attributes)])
        }
        "ModifyTargetGroupAttributes" => {
            let arn = params.require("TargetGroupArn")?;
            target_groups::modify_attributes(state, context, arn, &pairs(params, "Attributes")?)?;
            Ok(vec![attributes(&target_groups::find(state, context, arn)?.attributes)])
        }
        "RegisterTargets" => {
            let arn = params.require("TargetGroupArn")?;
            done(target_groups::register(state, context, arn, &targets(params)?))
        }
        "DeregisterTargets" => {
            let arn = params.require("TargetGroupArn")?;
            let instances: Vec<_> = targets(params)?.into_iter().map(|(instance, _)| instance).collect();
            done(target_groups::deregister(state, context, arn, &instances))
        }
        "DescribeTargetHealth" => describe_target_health(state, context, params),
        "CreateListener" => create_listener(state, context, params),
        "DescribeListeners" => describe_listeners(state, context, params),
        "ModifyListener" => modify_listener(state, context, params),
        "DeleteListener" => done(listeners::delete(state, params.require("ListenerArn")?)),
        "AddTags" => {
            let added: Tags = pairs(params, "Tags")?.into_iter().collect();
            for arn in params.members("ResourceArns") {
                tags_of(state, context, &arn)?.extend(added.clone());
            }
            Ok(Vec::new())
        }
        "RemoveTags" => {
            let keys = params.members("TagKeys");
            for arn in params.members("ResourceArns") {
                tags_of(state, context, &arn)?.retain(|key, _| !keys.contains(key));
            }
            Ok(Vec::new())
        }
        "DescribeTags" => describe_tags(state, context, params),
        _ => Err(AwsError::not_emulated("ELBv2", action)),
    }
}

fn done(result: Result<(), AwsError>) -> Result<Vec<Element>, AwsError> {
    result.map(|()| Vec::new())
}

/// `Name.member.N.Key` and `.Value`.
fn pairs(params: &Params, name: &str) -> Result<Vec<(String, String)>, AwsError> {
    params
        .structs(&format!("{name}.member"))
        .iter()
        .map(|pair| Ok((pair.require("Key")?.to_owned(), pair.get("Value").unwrap_or_default().to_owned())))
        .collect()
}

fn port(params: &Params, name: &str) -> Result<Option<u16>, AwsError> {
    let outside = |_| validation(format!("1 validation error detected: Value at '{name}' must be between 1 and 65535"));
    params.int(name)?.map(|port| u16::try_from(port).map_err(outside)).transpose()
}

fn attributes(attributes: &std::collections::BTreeMap<String, String>) -> Element {
    Element::members(
        "Attributes",
        attributes.iter().map(|(key, value)| vec![Element::text("Key", key), Element::text("Value", value)]),
    )
}

fn create_load_balancer(state: &mut State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    match params.get("Type").unwrap_or("application") {
        "network" => {}
        other => return Err(validation(format!("Load balancers of type '{other}' are not emulated; network is"))),
    }
    let mut subnets = params.members("Subnets");
    for mapping in params.structs("SubnetMappings.member") {
        subnets.push(mapping.require("SubnetId")?.to_owned());
    }
    let new = NewLoadBalancer {
        name: params.require("Name")?.to_owned(),
        scheme: params.get("Scheme").unwrap_or("internet-facing").to_owned(),
        subnets,
        security_groups: params.members("SecurityGroups"),
        tags: pairs(params, "Tags")?.into_iter().collect(),
    };
    let arn = load_balancers::create(state, context, new)?;
    let found = load_balancers::find(state, context, &arn)?;
    Ok(vec![Element::members("LoadBalancers", [load_balancer("provisioning", &arn, found)])])
}

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
        Element::text("CanonicalHostedZoneId", "Z000000EXAMPLE"),
        Element::text("CreatedTime", crate::aws::wire::time::iso8601(it.created)),
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

fn page_marker(next: Option<String>) -> Option<Element> {
    Element::optional("NextMarker", next)
}

fn describe_load_balancers(state: &State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let (arns, names) = (params.members("LoadBalancerArns"), params.members("Names"));
    let all: Vec<_> = state.elbv2.load_balancers.iter().filter(|(_, it)| it.region == context.region).collect();
    if let Some(missing) = arns.iter().find(|arn| !all.iter().any(|(known, _)| known == arn)) {
        return Err(load_balancer_not_found(missing));
    }
    if let Some(missing) = names.iter().find(|name| !all.iter().any(|(_, it)| it.name == **name)) {
        return Err(load_balancer_not_found(missing));
    }
    let wanted = all
        .into_iter()
        .filter(|(arn, it)| (arns.is_empty() || arns.contains(arn)) && (names.is_empty() || names.contains(&it.name)));
    let page = PageRequest::elbv2(params, "DescribeLoadBalancers")?.page(wanted.collect(), |(arn, _)| arn.as_str());
    let members =
        page.items.into_iter().map(|(arn, it)| load_balancer(it.state(context.now, &context.latencies), arn, it));
    let mut children = vec![Element::members("LoadBalancers", members)];
    children.extend(page_marker(page.next));
    Ok(children)
}

fn create_target_group(state: &mut State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    match params.get("TargetType").unwrap_or("instance") {
        "instance" => {}
        other => return Err(validation(format!("Targets of type '{other}' are not emulated; instance is"))),
    }
    let seconds = |name: &str, default: u32| -> Result<u32, AwsError> {
        Ok(params.int(name)?.and_then(|it| u32::try_from(it).ok()).unwrap_or(default))
    };
    let port = port(params, "Port")?.ok_or_else(|| validation("A port must be specified"))?;
    let tags = pairs(params, "Tags")?.into_iter().collect();
    let mut new = NewTargetGroup::tcp(params.require("Name")?, params.require("VpcId")?, port, tags);
    new.protocol = params.get("Protocol").unwrap_or("TCP").to_owned();
    new.interval_seconds = seconds("HealthCheckIntervalSeconds", new.interval_seconds)?;
    new.threshold = seconds("HealthyThresholdCount", new.threshold)?;
    let arn = target_groups::create(state, context, new)?;
    let element = target_group(state, &arn, target_groups::find(state, context, &arn)?);
    Ok(vec![Element::members("TargetGroups", [element])])
}

fn target_group(state: &State, arn: &str, it: &TargetGroup) -> Vec<Element> {
    let users: std::collections::BTreeSet<_> = state
        .elbv2
        .listeners
        .values()
        .filter(|listener| listener.target_group == arn)
        .map(|listener| listener.load_balancer.as_str())
        .collect();
    vec![
        Element::text("TargetGroupArn", arn),
        Element::text("TargetGroupName", &it.name),
        Element::text("Protocol", &it.protocol),
        Element::text("Port", it.port),
        Element::text("VpcId", &it.vpc),
        Element::text("HealthCheckProtocol", "TCP"),
        Element::text("HealthCheckPort", "traffic-port"),
        Element::text("HealthCheckEnabled", true),
        Element::text("HealthCheckIntervalSeconds", it.interval_seconds),
        Element::text("HealthCheckTimeoutSeconds", 10),
        Element::text("HealthyThresholdCount", it.threshold),
        Element::text("UnhealthyThresholdCount", it.threshold),
        Element::texts("LoadBalancerArns", "member", users),
        Element::text("TargetType", &it.target_type),
        Element::text("IpAddressType", "ipv4"),
    ]
}

fn describe_target_groups(state: &State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let (arns, names) = (params.members("TargetGroupArns"), params.members("Names"));
    let all: Vec<_> = state.elbv2.target_groups.iter().filter(|(_, it)| it.region == context.region).collect();
    if let Some(missing) = arns.iter().find(|arn| !all.iter().any(|(known, _)| known == arn)) {
        return Err(target_group_not_found(missing));
    }
    if let Some(missing) = names.iter().find(|name| !all.iter().any(|(_, it)| it.name == **name)) {
        return Err(target_group_not_found(missing));
    }
    let of = params.get("LoadBalancerArn");
    if let Some(arn) = of {
        load_balancers::find(state, context, arn)?;
    }
    let used = |group: &str, by: &str| {
        state.elbv2.listeners.values().any(|listener| listener.load_balancer == by && listener.target_group == group)
    };
    let wanted = all.into_iter().filter(|(arn, it)| {
        (arns.is_empty() || arns.contains(arn))
            && (names.is_empty() || names.contains(&it.name))
            && of.is_none_or(|by| used(arn, by))
    });
    let page = PageRequest::elbv2(params, "DescribeTargetGroups")?.page(wanted.collect(), |(arn, _)| arn.as_str());
    let members = page.items.into_iter().map(|(arn, it)| target_group(state, arn, it));
    let mut children = vec![Element::members("TargetGroups", members)];
    children.extend(page_marker(page.next));
    Ok(children)
}

fn targets(params: &Params) -> Result<Vec<(String, Option<u16>)>, AwsError> {
    params
        .structs("Targets.member")
        .iter()
        .map(|target| Ok((target.require("Id")?.to_owned(), port(target, "Port")?)))
        .collect()
}

fn describe_target_health(state: &State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let arn = params.require("TargetGroupArn")?;
    let group = target_groups::find(state, context, arn)?;
    let in_use = state.elbv2.listeners.values().any(|listener| listener.target_group == arn);
    let members = group.targets.iter().map(|(instance, target)| {
        vec![
            Element::new("Target", vec![Element::text("Id", instance), Element::text("Port", target.port)]),
            Element::text("HealthCheckPort", target.port),
            Element::new("TargetHealth", health(target, in_use)),
        ]
    });
    Ok(vec![Element::members("TargetHealthDescriptions", members)])
}

fn health(target: &Target, in_use: bool) -> Vec<Element> {
    let (state, reason) = match (in_use, target.health) {
        (false, _) => (
            "unused",
            Some(("Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")),
        ),
        (true, Health::Healthy) => ("healthy", None),
        (true, Health::Initial) => {
            ("initial", Some(("Elb.RegistrationInProgress", "Target registration is in progress")))
        }
        (true, Health::Unhealthy) => ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed"))),
    };
    let mut children = vec![Element::text("State", state)];
    if let Some((reason, description)) = reason {
        children.extend([Element::text("Reason", reason), Element::text("Description", description)]);
    }
    children
}

/// The target group of the one action that a Network Load Balancer's listener has.
fn forwards_to(params: &Params) -> Result<Option<String>, AwsError> {
    let actions = params.structs("DefaultActions.member");
    match actions.as_slice() {
        [] => Ok(None),
        [action] if action.get("Type") == Some("forward") => Ok(Some(action.require("TargetGroupArn")?.to_owned())),
        _ => Err(validation("A Network Load Balancer's listener has exactly one default action of type 'forward'")),
    }
}

fn create_listener(state: &mut State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let load_balancer = params.require("LoadBalancerArn")?;
    let port = port(params, "Port")?.ok_or_else(|| validation("A port must be specified"))?;
    let group = forwards_to(params)?.ok_or_else(|| validation("A default action must be specified"))?;
    let tags = pairs(params, "Tags")?.into_iter().collect();
    let protocol = params.get("Protocol").unwrap_or("TCP");
    let arn = listeners::create(state, context, load_balancer, protocol, port, &group, tags)?;
    described(state, &arn)
}

fn modify_listener(state: &mut State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let arn = params.require("ListenerArn")?;
    listeners::modify(state, context, arn, port(params, "Port")?, forwards_to(params)?.as_deref())?;
    described(state, arn)
}

fn described(state: &State, arn: &str) -> Result<Vec<Element>, AwsError> {
    let found = state.elbv2.listeners.get(arn).ok_or_else(|| listener_not_found(arn))?;
    Ok(vec![Element::members("Listeners", [listener(arn, found)])])
}

fn listener(arn: &str, it: &Listener) -> Vec<Element> {
    let action = vec![Element::text("Type", "forward"), Element::text("TargetGroupArn", &it.target_group)];
    vec![
        Element::text("ListenerArn", arn),
        Element::text("LoadBalancerArn", &it.load_balancer),
        Element::text("Port", it.port),
        Element::text("Protocol", &it.protocol),
        Element::members("DefaultActions", [action]),
    ]
}

fn describe_listeners(state: &State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let arns = params.members("ListenerArns");
    let of = params.get("LoadBalancerArn");
    if let Some(arn) = of {
        load_balancers::find(state, context, arn)?;
    } else if arns.is_empty() {
        return Err(validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    if let Some(missing) = arns.iter().find(|arn| !state.elbv2.listeners.contains_key(*arn)) {
        return Err(listener_not_found(missing));
    }
    let wanted = state
        .elbv2
        .listeners
        .iter()
        .filter(|(arn, it)| (arns.is_empty() || arns.contains(arn)) && of.is_none_or(|of| it.load_balancer == of));
    let page = PageRequest::elbv2(params, "DescribeListeners")?.page(wanted.collect(), |(arn, _)| arn.as_str());
    let mut children = vec![Element::members("Listeners", page.items.into_iter().map(|(arn, it)| listener(arn, it)))];
    children.extend(page_marker(page.next));
    Ok(children)
}

fn tags_of<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut Tags, AwsError> {
    if arn.contains(":loadbalancer/") {
        let found = state.elbv2.load_balancers.get_mut(arn).filter(|it| it.region == context.region);
        found.map(|it| &mut it.tags).ok_or_else(|| load_balancer_not_found(arn))
    } else if arn.contains(":listener/") {
        state.elbv2.listeners.get_mut(arn).map(|it| &mut it.tags).ok_or_else(|| listener_not_found(arn))
    } else {
        let found = state.elbv2.target_groups.get_mut(arn).filter(|it| it.region == context.region);
        found.map(|it| &mut it.tags).ok_or_else(|| target_group_not_found(arn))
    }
}

fn describe_tags(state: &mut State, context: &Context, params: &Params) -> Result<Vec<Element>, AwsError> {
    let arns = params.members("ResourceArns");
    if arns.is_empty() || arns.len() > 20 {
        return Err(validation("1 validation error detected: 'resourceArns' must have length between 1 and 20"));
    }
    let mut members = Vec::new();
    for arn in arns {
        let tags = tags_of(state, context, &arn)?;
        let list = tags.iter().map(|(key, value)| vec![Element::text("Key", key), Element::text("Value", value)]);
        members.push(vec![Element::text("ResourceArn", &arn), Element::members("Tags", list)]);
    }
    Ok(vec![Element::members("TagDescriptions", members)])
}
