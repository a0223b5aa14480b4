//! Network interfaces on the wire.

use std::net::Ipv4Addr;

use super::listing::{Listing, many, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::regions::zone_id;
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{Ec2, Interface, NewInterface};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::INTERFACE, &[])?;
    let groups = params.list("SecurityGroupId");
    let description = params.get("Description").unwrap_or_default();
    let new = NewInterface {
        address: params.address("PrivateIpAddress")?,
        tags,
        ..NewInterface::new(params.require("SubnetId")?, &groups, description)
    };
    let secondary = params.int("SecondaryPrivateIpAddressCount")?.unwrap_or(0);
    let (id, _) = state.ec2.create_interface(&mut state.ids, context, new)?;
    for _ in 0..secondary {
        if let Err(error) = state.ec2.assign_private_address(context, &id) {
            state.ec2.release_interface(&id);
            return Err(error);
        }
    }
    let interface = find(&state.ec2.interfaces, &context.region, &id)?;
    Ok(vec![Element::new("networkInterface", xml(&state.ec2, &id, interface))])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_interface(context, params.require("NetworkInterfaceId")?)?;
    done()
}

pub(super) fn modify_attribute(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("NetworkInterfaceId")?;
    let groups = params.list("SecurityGroupId");
    if groups.is_empty() {
        return Err(AwsError::client(
            "UnsupportedOperation",
            "Of a network interface's attributes only its security groups are emulated.",
        ));
    }
    state.ec2.set_interface_groups(context, id, groups)?;
    done()
}

pub(super) fn assign_private_addresses(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("NetworkInterfaceId")?;
    let wanted = addresses(params)?;
    let count = params.int("SecondaryPrivateIpAddressCount")?.unwrap_or(0);
    if wanted.is_empty() && count < 1 {
        return Err(AwsError::missing_parameter("secondaryPrivateIpAddressCount"));
    }
    let free = state.ec2.available_addresses(&find(&state.ec2.interfaces, &context.region, id)?.subnet);
    if count > i64::from(free) {
        return Err(AwsError::client(
            "InsufficientFreeAddressesInSubnet",
            "The specified subnet does not have enough free addresses to satisfy the request.",
        ));
    }
    let mut assigned = Vec::new();
    for address in wanted {
        if let Err(error) = state.ec2.assign_specific(context, id, address) {
            // All or none.
            for address in assigned {
                state.ec2.unassign_private_address(context, id, address)?;
            }
            return Err(error);
        }
        assigned.push(address);
    }
    for _ in 0..count {
        assigned.push(state.ec2.assign_private_address(context, id)?);
    }
    let assigned = assigned.into_iter().map(|address| vec![Element::text("privateIpAddress", address)]);
    Ok(vec![
        Element::text("return", true),
        Element::text("networkInterfaceId", id),
        Element::items("assignedPrivateIpAddressesSet", assigned),
    ])
}

pub(super) fn unassign_private_addresses(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("NetworkInterfaceId")?;
    let own = find(&state.ec2.interfaces, &context.region, id)?.addresses.clone();
    let addresses = addresses(params)?;
    if let Some(other) = addresses.iter().find(|address| !own.iter().skip(1).any(|own| own == *address)) {
        // The same errors as for one address, before anything is changed.
        return state.ec2.unassign_private_address(context, id, *other).and_then(|()| done());
    }
    for address in addresses {
        state.ec2.unassign_private_address(context, id, address)?;
    }
    done()
}

fn addresses(params: &Params) -> Result<Vec<Ipv4Addr>, AwsError> {
    let parse = |text: String| {
        text.parse().map_err(|_| AwsError::invalid_value(format!("Invalid value '{text}' for privateIpAddress")))
    };
    params.list("PrivateIpAddress").into_iter().map(parse).collect()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeNetworkInterfaces",
        ids: "NetworkInterfaceId",
        set: "networkInterfaceSet",
        filters: &[
            "addresses.primary",
            "addresses.private-ip-address",
            "attachment.device-index",
            "attachment.instance-id",
            "attachment.status",
            "availability-zone",
            "description",
            "group-id",
            "group-name",
            "interface-type",
            "mac-address",
            "network-interface-id",
            "owner-id",
            "private-ip-address",
            "requester-id",
            "requester-managed",
            "source-dest-check",
            "status",
            "subnet-id",
            "vpc-id",
        ],
    };
    let ec2 = &state.ec2;
    let field = |id: &str, interface: &Interface, name: &str| match name {
        "addresses.primary" => one(true),
        "addresses.private-ip-address" => many(&interface.addresses),
        "attachment.device-index" => many(interface.instance.as_ref().map(|_| interface.device_index)),
        "attachment.instance-id" => many(&interface.instance),
        "attachment.status" => many(interface.in_use().then_some("attached")),
        "availability-zone" => many(ec2.subnets.get(&interface.subnet).map(|subnet| &subnet.availability_zone)),
        "description" => one(&interface.description),
        "group-id" => many(&interface.groups),
        "group-name" => {
            let groups = interface.groups.iter().filter_map(|group| ec2.security_groups.get(group));
            many(groups.map(|group| &group.name))
        }
        "interface-type" => one(&interface.interface_type),
        "mac-address" => one(mac_address(interface)),
        "owner-id" => one(ACCOUNT),
        "private-ip-address" => many(interface.addresses.first()),
        "requester-id" => many(&interface.requester),
        "requester-managed" => one(interface.requester.is_some()),
        "source-dest-check" => one(interface.source_dest_check),
        "status" => one(status(interface)),
        "subnet-id" => one(&interface.subnet),
        "vpc-id" => many(ec2.subnets.get(&interface.subnet).map(|subnet| &subnet.vpc)),
        _ => one(id),
    };
    listing.of_region(context, params, &ec2.interfaces, field, |id, interface| xml(ec2, id, interface))
}

fn status(interface: &Interface) -> &'static str {
    if interface.in_use() { "in-use" } else { "available" }
}

/// A locally administered address, different for each interface of a VPC.
fn mac_address(interface: &Interface) -> String {
    let [a, b, c, d] = interface.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The private DNS name that AWS derives from an address.
pub(super) fn private_dns_name(region: &str, address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    let domain = if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// `<groupSet>` of an interface or an instance.
pub(super) fn group_set(ec2: &Ec2, groups: &[String]) -> Element {
    let items = groups.iter().map(|id| {
        let mut fields = vec![Element::text("groupId", id)];
        fields.extend(Element::optional("groupName", ec2.security_groups.get(id).map(|group| &group.name)));
        fields
    });
    Element::items("groupSet", items)
}

/// `<attachment>` of an interface that belongs to an instance or a service.
pub(super) fn attachment(id: &str, interface: &Interface) -> Option<Element> {
    let mut fields = vec![
        Element::text("attachmentId", id.replacen("eni-", "eni-attach-", 1)),
        Element::text("deviceIndex", interface.device_index.max(u32::from(interface.instance.is_none()))),
        Element::text("status", "attached"),
        Element::text("deleteOnTermination", interface.instance.is_some()),
    ];
    match (&interface.instance, &interface.requester) {
        (Some(instance), _) => {
            fields.extend([Element::text("instanceId", instance), Element::text("instanceOwnerId", ACCOUNT)])
        }
        (None, Some(requester)) => fields.push(Element::text("instanceOwnerId", requester)),
        (None, None) => return None,
    }
    Some(Element::new("attachment", fields))
}

pub(super) fn xml(ec2: &Ec2, id: &str, interface: &Interface) -> Vec<Element> {
    let mut fields = vec![
        Element::text("networkInterfaceId", id),
        Element::text("subnetId", &interface.subnet),
        Element::text("ownerId", ACCOUNT),
        Element::text("description", &interface.description),
        Element::text("interfaceType", &interface.interface_type),
        Element::text("requesterManaged", interface.requester.is_some()),
        Element::text("sourceDestCheck", interface.source_dest_check),
        Element::text("status", status(interface)),
        Element::text("macAddress", mac_address(interface)),
        group_set(ec2, &interface.groups),
        tag_set(&interface.tags),
    ];
    if let Some(subnet) = ec2.subnets.get(&interface.subnet) {
        fields.extend([
            Element::text("vpcId", &subnet.vpc),
            Element::text("availabilityZone", &subnet.availability_zone),
            Element::text("availabilityZoneId", zone_id(&subnet.availability_zone)),
        ]);
    }
    fields.extend(Element::optional("requesterId", interface.requester.as_ref()));
    fields.extend(attachment(id, interface));
    if let Some(primary) = interface.addresses.first() {
        fields.push(Element::text("privateIpAddress", primary));
        fields.push(Element::text("privateDnsName", private_dns_name(&interface.region, *primary)));
    }
    fields.push(private_addresses(interface));
    let public = ec2.addresses.iter().find(|(_, address)| address.interface.as_deref() == Some(id));
    if let Some((allocation, address)) = public {
        fields.push(Element::new(
            "association",
            vec![
                Element::text("allocationId", allocation),
                Element::text("ipOwnerId", ACCOUNT),
                Element::text("publicIp", address.public_ip),
            ],
        ));
    }
    fields
}

/// `<privateIpAddressesSet>`.
pub(super) fn private_addresses(interface: &Interface) -> Element {
    let items = interface.addresses.iter().enumerate().map(|(index, address)| {
        vec![
            Element::text("privateIpAddress", address),
            Element::text("privateDnsName", private_dns_name(&interface.region, *address)),
            Element::text("primary", index == 0),
        ]
    });
    Element::items("privateIpAddressesSet", items)
}
