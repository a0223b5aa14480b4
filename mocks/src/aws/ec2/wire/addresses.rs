//! Internet gateways, NAT gateways and Elastic IP addresses on the wire.

use super::listing::{Listing, many, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{Ec2, ElasticAddress, InternetGateway, NatGateway};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

pub(super) fn create_internet_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::INTERNET_GATEWAY, &[])?;
    let id = state.ec2.create_internet_gateway(&mut state.ids, context, tags)?;
    let gateway = find(&state.ec2.internet_gateways, &context.region, &id)?;
    Ok(vec![Element::new("internetGateway", internet_gateway_xml(&id, gateway))])
}

pub(super) fn attach_internet_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (id, vpc) = (params.require("InternetGatewayId")?, params.require("VpcId")?);
    state.ec2.attach_internet_gateway(context, id, vpc)?;
    done()
}

pub(super) fn detach_internet_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (id, vpc) = (params.require("InternetGatewayId")?, params.require("VpcId")?);
    state.ec2.detach_internet_gateway(context, id, vpc)?;
    done()
}

pub(super) fn delete_internet_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_internet_gateway(context, params.require("InternetGatewayId")?)?;
    done()
}

pub(super) fn describe_internet_gateways(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeInternetGateways",
        ids: "InternetGatewayId",
        set: "internetGatewaySet",
        filters: &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"],
    };
    let field = |id: &str, gateway: &InternetGateway, name: &str| match name {
        "attachment.state" => many(gateway.vpc.as_ref().map(|_| "available")),
        "attachment.vpc-id" => many(&gateway.vpc),
        "owner-id" => one(ACCOUNT),
        _ => one(id),
    };
    listing.of_region(context, params, &state.ec2.internet_gateways, field, internet_gateway_xml)
}

fn internet_gateway_xml(id: &str, gateway: &InternetGateway) -> Vec<Element> {
    let attachments = gateway.vpc.iter().map(|vpc| {
        vec![
            Element::text("vpcId", vpc),
            // Not a mistake: AWS says `available` here, not `attached`.
            Element::text("state", "available"),
        ]
    });
    vec![
        Element::text("internetGatewayId", id),
        Element::text("ownerId", ACCOUNT),
        Element::items("attachmentSet", attachments),
        tag_set(&gateway.tags),
    ]
}

pub(super) fn create_nat_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    if params.get("ConnectivityType").is_some_and(|kind| kind != "public") {
        return Err(AwsError::client("UnsupportedOperation", "Private NAT gateways are not emulated."));
    }
    let tags = tags::specified(params, Kind::NAT_GATEWAY, &[])?;
    let (subnet, allocation) = (params.require("SubnetId")?, params.require("AllocationId")?);
    let id = state.ec2.create_nat_gateway(&mut state.ids, context, subnet, allocation, tags)?;
    let gateway = find(&state.ec2.nat_gateways, &context.region, &id)?;
    Ok(vec![Element::new("natGateway", nat_gateway_xml(&state.ec2, &id, gateway, "pending"))])
}

pub(super) fn delete_nat_gateway(state: &mut State, context: &Context, params: &Params) -> Answer {
    let id = params.require("NatGatewayId")?;
    state.ec2.delete_nat_gateway(context, id)?;
    Ok(vec![Element::text("natGatewayId", id)])
}

pub(super) fn describe_nat_gateways(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeNatGateways",
        ids: "NatGatewayId",
        set: "natGatewaySet",
        filters: &["nat-gateway-id", "state", "subnet-id", "vpc-id"],
    };
    let ec2 = &state.ec2;
    let field = |id: &str, gateway: &NatGateway, name: &str| match name {
        "state" => one(nat_gateway_state(gateway)),
        "subnet-id" => one(&gateway.subnet),
        "vpc-id" => one(&gateway.vpc),
        _ => one(id),
    };
    listing.of_region(context, params, &ec2.nat_gateways, field, |id, gateway| {
        nat_gateway_xml(ec2, id, gateway, nat_gateway_state(gateway))
    })
}

fn nat_gateway_state(gateway: &NatGateway) -> &'static str {
    if gateway.deleted { "deleted" } else { "available" }
}

fn nat_gateway_xml(ec2: &Ec2, id: &str, gateway: &NatGateway, state: &str) -> Vec<Element> {
    let mut address = vec![
        Element::text("allocationId", &gateway.allocation),
        Element::text("networkInterfaceId", &gateway.interface),
    ];
    let private = ec2.interfaces.get(&gateway.interface).and_then(|interface| interface.addresses.first());
    address.extend(Element::optional("privateIp", private));
    let public = ec2.addresses.get(&gateway.allocation).map(|address| address.public_ip);
    address.extend(Element::optional("publicIp", public));
    vec![
        Element::text("natGatewayId", id),
        Element::text("vpcId", &gateway.vpc),
        Element::text("subnetId", &gateway.subnet),
        Element::text("state", state),
        Element::text("connectivityType", "public"),
        Element::items("natGatewayAddressSet", [address]),
        tag_set(&gateway.tags),
    ]
}

pub(super) fn allocate_address(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::ADDRESS, &[])?;
    let id = state.ec2.allocate_address(&mut state.ids, context, tags)?;
    let address = find(&state.ec2.addresses, &context.region, &id)?;
    Ok(vec![
        Element::text("publicIp", address.public_ip),
        Element::text("domain", "vpc"),
        Element::text("allocationId", &id),
        Element::text("networkBorderGroup", &context.region),
    ])
}

pub(super) fn release_address(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.release_address(context, params.require("AllocationId")?)?;
    done()
}

pub(super) fn describe_addresses(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeAddresses",
        ids: "AllocationId",
        set: "addressesSet",
        filters: &["allocation-id", "domain", "network-interface-id", "public-ip"],
    };
    let ec2 = &state.ec2;
    let addresses = &ec2.addresses;
    let wanted = params.list("PublicIp");
    for ip in &wanted {
        let here = |address: &ElasticAddress| address.region == context.region && address.public_ip.to_string() == *ip;
        if !addresses.values().any(here) {
            return Err(AwsError::client("InvalidAddress.NotFound", format!("Address '{ip}' not found.")));
        }
    }
    let chosen = addresses
        .iter()
        .filter(|(_, address)| wanted.is_empty() || wanted.contains(&address.public_ip.to_string()))
        .map(|(id, address)| (id.clone(), address.clone()))
        .collect();
    let field = |id: &str, address: &ElasticAddress, name: &str| match name {
        "domain" => one("vpc"),
        "network-interface-id" => many(&address.interface),
        "public-ip" => one(address.public_ip),
        _ => one(id),
    };
    listing.of_region(context, params, &chosen, field, |id, address| {
        let mut fields = vec![
            Element::text("publicIp", address.public_ip),
            Element::text("allocationId", id),
            Element::text("domain", "vpc"),
            Element::text("networkBorderGroup", &address.region),
            tag_set(&address.tags),
        ];
        if let Some(interface) = &address.interface {
            fields.push(Element::text("associationId", id.replacen("eipalloc-", "eipassoc-", 1)));
            fields.push(Element::text("networkInterfaceId", interface));
            let private = ec2.interfaces.get(interface).and_then(|interface| interface.addresses.first());
            fields.extend(Element::optional("privateIpAddress", private));
        }
        fields
    })
}
