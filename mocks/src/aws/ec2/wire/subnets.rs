//! Subnets on the wire.

use super::listing::{Listing, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::regions::zone_id;
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{Ec2, Subnet};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::SUBNET, &[])?;
    let vpc = params.require("VpcId")?;
    let cidr = params.cidr("CidrBlock")?.ok_or_else(|| AwsError::missing_parameter("cidrBlock"))?;
    let zone = params.get("AvailabilityZone").unwrap_or_default();
    let id = state.ec2.create_subnet(&mut state.ids, context, vpc, cidr, zone, tags)?;
    let subnet = find(&state.ec2.subnets, &context.region, &id)?;
    Ok(vec![Element::new("subnet", xml(&state.ec2, &id, subnet))])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_subnet(context, params.require("SubnetId")?)?;
    done()
}

pub(super) fn modify_attribute(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("SubnetId")?;
    let Some(value) = params.bool("MapPublicIpOnLaunch.Value")? else {
        return Err(AwsError::client(
            "UnsupportedOperation",
            "Of a subnet's attributes only MapPublicIpOnLaunch is emulated.",
        ));
    };
    state.ec2.map_public_ip_on_launch(context, id, value)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeSubnets",
        ids: "SubnetId",
        set: "subnetSet",
        filters: &[
            "availability-zone",
            "availabilityZone",
            "availability-zone-id",
            "available-ip-address-count",
            "cidr",
            "cidr-block",
            "cidrBlock",
            "default-for-az",
            "map-public-ip-on-launch",
            "owner-id",
            "state",
            "subnet-id",
            "vpc-id",
        ],
    };
    let ec2 = &state.ec2;
    let field = |id: &str, subnet: &Subnet, name: &str| match name {
        "availability-zone" | "availabilityZone" => one(&subnet.availability_zone),
        "availability-zone-id" => one(zone_id(&subnet.availability_zone)),
        "available-ip-address-count" => one(ec2.available_addresses(id)),
        "cidr" | "cidr-block" | "cidrBlock" => one(subnet.cidr_block),
        "default-for-az" => one(false),
        "map-public-ip-on-launch" => one(subnet.map_public_ip),
        "owner-id" => one(ACCOUNT),
        "state" => one("available"),
        "subnet-id" => one(id),
        _ => one(&subnet.vpc),
    };
    listing.of_region(context, params, &ec2.subnets, field, |id, subnet| xml(ec2, id, subnet))
}

fn xml(ec2: &Ec2, id: &str, subnet: &Subnet) -> Vec<Element> {
    vec![
        Element::text("subnetId", id),
        Element::text("subnetArn", format!("arn:aws:ec2:{}:{ACCOUNT}:subnet/{id}", subnet.region)),
        Element::text("state", "available"),
        Element::text("ownerId", ACCOUNT),
        Element::text("vpcId", &subnet.vpc),
        Element::text("cidrBlock", subnet.cidr_block),
        Element::text("availableIpAddressCount", ec2.available_addresses(id)),
        Element::text("availabilityZone", &subnet.availability_zone),
        Element::text("availabilityZoneId", zone_id(&subnet.availability_zone)),
        Element::text("defaultForAz", false),
        Element::text("mapPublicIpOnLaunch", subnet.map_public_ip),
        Element::text("assignIpv6AddressOnCreation", false),
        tag_set(&subnet.tags),
    ]
}
