//! VPCs on the wire.

use super::listing::{Listing, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::Vpc;
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::VPC, &[])?;
    let cidr = params.cidr("CidrBlock")?.ok_or_else(|| AwsError::missing_parameter("cidrBlock"))?;
    let id = state.ec2.create_vpc(&mut state.ids, context, cidr, tags)?;
    let vpc = find(&state.ec2.vpcs, &context.region, &id)?;
    Ok(vec![Element::new("vpc", xml(&id, vpc, "pending"))])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_vpc(context, params.require("VpcId")?)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeVpcs",
        ids: "VpcId",
        set: "vpcSet",
        filters: &[
            "cidr",
            "cidr-block",
            "cidr-block-association.cidr-block",
            "cidr-block-association.state",
            "is-default",
            "isDefault",
            "owner-id",
            "state",
            "vpc-id",
        ],
    };
    let field = |id: &str, vpc: &Vpc, name: &str| match name {
        "cidr" | "cidr-block" | "cidr-block-association.cidr-block" => one(vpc.cidr_block),
        "cidr-block-association.state" => one("associated"),
        "is-default" | "isDefault" => one(false),
        "owner-id" => one(ACCOUNT),
        "state" => one("available"),
        _ => one(id),
    };
    listing.of_region(context, params, &state.ec2.vpcs, field, |id, vpc| xml(id, vpc, "available"))
}

pub(super) fn modify_attribute(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("VpcId")?;
    let support = params.bool("EnableDnsSupport.Value")?;
    let hostnames = params.bool("EnableDnsHostnames.Value")?;
    match (support, hostnames) {
        (None, None) => return Err(AwsError::missing_parameter("attribute")),
        (Some(_), Some(_)) => {
            return Err(AwsError::invalid_combination("Only one attribute can be modified at a time"));
        }
        _ => {}
    }
    state.ec2.modify_vpc_attribute(context, id, support, hostnames)?;
    done()
}

pub(super) fn describe_attribute(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("VpcId")?;
    let vpc = find(&state.ec2.vpcs, &context.region, id)?;
    let (name, value) = match params.require("Attribute")? {
        "enableDnsSupport" => ("enableDnsSupport", vpc.dns_support),
        "enableDnsHostnames" => ("enableDnsHostnames", vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => ("enableNetworkAddressUsageMetrics", false),
        other => {
            return Err(AwsError::invalid_value(format!(
                "Value ({other}) for parameter attribute is invalid. Unknown attribute."
            )));
        }
    };
    Ok(vec![Element::text("vpcId", id), Element::new(name, vec![Element::text("value", value)])])
}

fn xml(id: &str, vpc: &Vpc, state: &str) -> Vec<Element> {
    let association = vec![
        Element::text("cidrBlock", vpc.cidr_block),
        // AWS gives it an id of its own; it can be used for nothing here, so it follows from the VPC's.
        Element::text("associationId", id.replacen("vpc-", "vpc-cidr-assoc-", 1)),
        Element::new("cidrBlockState", vec![Element::text("state", "associated")]),
    ];
    vec![
        Element::text("vpcId", id),
        Element::text("ownerId", ACCOUNT),
        Element::text("state", state),
        Element::text("cidrBlock", vpc.cidr_block),
        Element::items("cidrBlockAssociationSet", [association]),
        Element::text("dhcpOptionsId", "default"),
        Element::text("instanceTenancy", "default"),
        Element::text("isDefault", false),
        tag_set(&vpc.tags),
    ]
}
