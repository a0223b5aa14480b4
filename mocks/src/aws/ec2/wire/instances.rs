//! Instances on the wire.

use super::listing::{Listing, many, one, tag_set};
use super::{Answer, interfaces, tags};
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{Ec2, Instance, NewInterface};
use crate::aws::wire::params::Params;
use crate::aws::wire::time::iso8601;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};
use crate::clock::SimTime;

/// The most instances that one request runs.
const MAX_COUNT: i64 = 100;

pub(super) fn run(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::INSTANCE, &["volume", "network-interface", "spot-instances-request"])?;
    let min = params.int("MinCount")?.ok_or_else(|| AwsError::missing_parameter("minCount"))?;
    let max = params.int("MaxCount")?.ok_or_else(|| AwsError::missing_parameter("maxCount"))?;
    if min < 1 || max < min || max > MAX_COUNT {
        return Err(AwsError::invalid_value(format!(
            "Invalid value for minCount ({min}) and maxCount ({max}): expecting 1 <= minCount <= maxCount <= {MAX_COUNT}"
        )));
    }
    let interface = new_interface(params)?;
    let instance_type = params.get("InstanceType").unwrap_or("m5.large");
    let mut made = Vec::new();
    for _ in 0..max {
        let run = state.ec2.run_instance_with(&mut state.ids, context, interface.clone(), instance_type, tags.clone());
        match run {
            Ok(id) => made.push(id),
            // As many as there is room for, at least the minimum.
            Err(_) if i64::try_from(made.len()).is_ok_and(|count| count >= min) => break,
            Err(error) => {
                for id in made {
                    state.ec2.terminate_instance(context, &id)?;
                    state.ec2.instances.remove(&id);
                }
                return Err(error);
            }
        }
    }
    let mut instances = Vec::new();
    for id in &made {
        let instance = find(&state.ec2.instances, &context.region, id)?;
        instances.push(xml(&state.ec2, id, instance, "pending"));
    }
    let reservation = made.first().map(|id| reservation_id(id)).unwrap_or_default();
    Ok(vec![
        Element::text("reservationId", reservation),
        Element::text("ownerId", ACCOUNT),
        Element::new("groupSet", Vec::new()),
        Element::items("instancesSet", instances),
    ])
}

/// The primary interface: of `NetworkInterface.1`, or of the request itself.
fn new_interface(params: &Params) -> Result<NewInterface, AwsError> {
    let specified = params.structs("NetworkInterface");
    let source = match specified.as_slice() {
        [] => params,
        [one] => one,
        _ => {
            return Err(AwsError::client(
                "UnsupportedOperation",
                "Running an instance with several network interfaces is not emulated.",
            ));
        }
    };
    let subnet = source.get("SubnetId").ok_or_else(|| {
        AwsError::client("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    })?;
    let groups = source.list("SecurityGroupId");
    let description = source.get("Description").unwrap_or_default();
    Ok(NewInterface { address: source.address("PrivateIpAddress")?, ..NewInterface::new(subnet, &groups, description) })
}

pub(super) fn terminate(state: &mut State, context: &Context, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    if ids.is_empty() {
        return Err(AwsError::missing_parameter("InstanceId"));
    }
    let mut previous = Vec::new();
    for id in &ids {
        previous.push((id, find(&state.ec2.instances, &context.region, id)?.state));
    }
    for id in &ids {
        state.ec2.terminate_instance(context, id)?;
    }
    let items = previous.into_iter().map(|(id, before)| {
        let current = if before == "terminated" { "terminated" } else { "shutting-down" };
        vec![
            Element::text("instanceId", id),
            Element::new("currentState", instance_state(current)),
            Element::new("previousState", instance_state(before)),
        ]
    });
    Ok(vec![Element::items("instancesSet", items)])
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeInstances",
        ids: "InstanceId",
        set: "reservationSet",
        filters: &[
            "availability-zone",
            "group-id",
            "instance-id",
            "instance-state-code",
            "instance-state-name",
            "instance-type",
            "instance.group-id",
            "network-interface.network-interface-id",
            "owner-id",
            "private-dns-name",
            "private-ip-address",
            "subnet-id",
            "vpc-id",
        ],
    };
    let ec2 = &state.ec2;
    let field = |id: &str, instance: &Instance, name: &str| {
        let primary = ec2.interfaces.get(&instance.interface);
        let address = primary.and_then(|interface| interface.addresses.first());
        match name {
            "availability-zone" => many(ec2.subnets.get(&instance.subnet).map(|subnet| &subnet.availability_zone)),
            "group-id" | "instance.group-id" => many(primary.into_iter().flat_map(|interface| &interface.groups)),
            "instance-state-code" => one(state_code(instance.state)),
            "instance-state-name" => one(instance.state),
            "instance-type" => one(&instance.instance_type),
            "network-interface.network-interface-id" => many(ec2.interfaces_of_instance(id).map(|(id, _)| id)),
            "owner-id" => one(ACCOUNT),
            "private-dns-name" => many(address.map(|ip| interfaces::private_dns_name(&instance.region, *ip))),
            "private-ip-address" => many(address),
            "subnet-id" => one(&instance.subnet),
            "vpc-id" => many(ec2.subnets.get(&instance.subnet).map(|subnet| &subnet.vpc)),
            _ => one(id),
        }
    };
    listing.of_region(context, params, &ec2.instances, field, |id, instance| {
        vec![
            Element::text("reservationId", reservation_id(id)),
            Element::text("ownerId", ACCOUNT),
            Element::new("groupSet", Vec::new()),
            Element::items("instancesSet", [xml(ec2, id, instance, instance.state)]),
        ]
    })
}

/// Each instance is shown in a reservation of its own, with an id that follows from its own.
fn reservation_id(instance: &str) -> String {
    instance.replacen("i-", "r-", 1)
}

fn state_code(state: &str) -> u32 {
    match state {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        "terminated" => 48,
        _ => 80,
    }
}

fn instance_state(state: &str) -> Vec<Element> {
    vec![Element::text("code", state_code(state)), Element::text("name", state)]
}

fn xml(ec2: &Ec2, id: &str, instance: &Instance, state: &str) -> Vec<Element> {
    let mut fields = vec![
        Element::text("instanceId", id),
        Element::text("imageId", "ami-00000000000000000"),
        Element::new("instanceState", instance_state(state)),
        Element::text("instanceType", &instance.instance_type),
        Element::text("amiLaunchIndex", 0),
        Element::text("launchTime", iso8601(SimTime::ZERO)),
        Element::text("architecture", "x86_64"),
        tag_set(&instance.tags),
    ];
    if let Some(subnet) = ec2.subnets.get(&instance.subnet) {
        fields.push(Element::new(
            "placement",
            vec![Element::text("availabilityZone", &subnet.availability_zone), Element::text("tenancy", "default")],
        ));
        if state != "terminated" {
            fields.extend([Element::text("subnetId", &instance.subnet), Element::text("vpcId", &subnet.vpc)]);
        }
    }
    if let Some(primary) = ec2.interfaces.get(&instance.interface) {
        if let Some(address) = primary.addresses.first() {
            fields.push(Element::text("privateIpAddress", address));
            fields.push(Element::text("privateDnsName", interfaces::private_dns_name(&instance.region, *address)));
        }
        fields.push(interfaces::group_set(ec2, &primary.groups));
    }
    let items = ec2.interfaces_of_instance(id).map(|(id, interface)| interfaces::xml(ec2, id, interface));
    fields.push(Element::items("networkInterfaceSet", items));
    fields
}
