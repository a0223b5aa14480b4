//! Route tables, their associations and routes on the wire.

use super::listing::{Listing, many, one, tag_set};
use super::{Answer, done, tags};
use crate::aws::ec2::resource::{Kind, find};
use crate::aws::ec2::{Association, Ec2, Route, RouteTable};
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// The parameters that may name the target of a route.
const TARGETS: &[&str] = &["GatewayId", "NatGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId"];

/// Parameters of AWS's that name a target of a kind that is not emulated.
const OTHER_TARGETS: &[&str] = &[
    "InstanceId",
    "TransitGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "EgressOnlyInternetGatewayId",
    "VpcEndpointId",
    "CoreNetworkArn",
];

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = tags::specified(params, Kind::ROUTE_TABLE, &[])?;
    let id = state.ec2.create_route_table(&mut state.ids, context, params.require("VpcId")?, tags)?;
    let table = find(&state.ec2.route_tables, &context.region, &id)?;
    Ok(vec![Element::new("routeTable", xml(&state.ec2, context, &id, table))])
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_route_table(context, params.require("RouteTableId")?)?;
    done()
}

pub(super) fn associate(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (table, subnet) = (params.require("RouteTableId")?, params.require("SubnetId")?);
    let id = state.ec2.associate_route_table(&mut state.ids, context, table, subnet)?;
    Ok(vec![Element::text("associationId", id), association_state()])
}

pub(super) fn disassociate(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.disassociate_route_table(context, params.require("AssociationId")?)?;
    done()
}

pub(super) fn replace_association(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (association, table) = (params.require("AssociationId")?, params.require("RouteTableId")?);
    let id = state.ec2.replace_route_table_association(&mut state.ids, context, association, table)?;
    Ok(vec![Element::text("newAssociationId", id), association_state()])
}

pub(super) fn create_route(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (table, target) = (params.require("RouteTableId")?, target(params)?);
    state.ec2.create_route(context, table, destination(params)?, target)?;
    done()
}

pub(super) fn replace_route(state: &mut State, context: &Context, params: &Params) -> Answer {
    let (table, target) = (params.require("RouteTableId")?, target(params)?);
    state.ec2.replace_route(context, table, destination(params)?, target)?;
    done()
}

pub(super) fn delete_route(state: &mut State, context: &Context, params: &Params) -> Answer {
    state.ec2.delete_route(context, params.require("RouteTableId")?, destination(params)?)?;
    done()
}

fn destination(params: &Params) -> Result<ipnet::Ipv4Net, AwsError> {
    for other in ["DestinationIpv6CidrBlock", "DestinationPrefixListId"] {
        if params.get(other).is_some() {
            return Err(AwsError::client("UnsupportedOperation", format!("{other} is not emulated.")));
        }
    }
    params.cidr("DestinationCidrBlock")?.ok_or_else(|| AwsError::missing_parameter("destinationCidrBlock"))
}

fn target(params: &Params) -> Result<&str, AwsError> {
    if let Some(other) = OTHER_TARGETS.iter().find(|name| params.get(name).is_some()) {
        return Err(AwsError::client("UnsupportedOperation", format!("{other} is not emulated as a route's target.")));
    }
    let mut targets = TARGETS.iter().filter_map(|name| Some((*name, params.get(name)?)));
    match (targets.next(), targets.next()) {
        (Some((name, target)), None) => {
            let kind = match name {
                "GatewayId" => Kind::INTERNET_GATEWAY,
                "NatGatewayId" => Kind::NAT_GATEWAY,
                "VpcPeeringConnectionId" => Kind::PEERING,
                _ => Kind::INTERFACE,
            };
            kind.check(target)?;
            Ok(target)
        }
        (None, _) => Err(AwsError::client(
            "MissingParameter",
            "The request must contain exactly one of: gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId",
        )),
        (Some(_), Some(_)) => {
            Err(AwsError::invalid_combination("The request must contain exactly one target of the route"))
        }
    }
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let listing = Listing {
        action: "DescribeRouteTables",
        ids: "RouteTableId",
        set: "routeTableSet",
        filters: &[
            "association.main",
            "association.route-table-association-id",
            "association.route-table-id",
            "association.subnet-id",
            "owner-id",
            "route-table-id",
            "route.destination-cidr-block",
            "route.gateway-id",
            "route.nat-gateway-id",
            "route.origin",
            "route.state",
            "route.vpc-peering-connection-id",
            "vpc-id",
        ],
    };
    let ec2 = &state.ec2;
    let field = |id: &str, table: &RouteTable, name: &str| {
        let targets = |kinds: &[&str]| {
            let of_kind = |route: &&Route| kinds.iter().any(|kind| route.target.starts_with(kind));
            many(table.routes.values().filter(of_kind).map(|route| &route.target))
        };
        match name {
            "association.main" => many(table.associations.values().map(|of| *of == Association::Main)),
            "association.route-table-association-id" => many(table.associations.keys()),
            "association.route-table-id" if table.associations.is_empty() => Vec::new(),
            "association.subnet-id" => many(table.associations.values().filter_map(subnet)),
            "owner-id" => one(ACCOUNT),
            "route.destination-cidr-block" => many(table.routes.keys()),
            "route.gateway-id" => targets(&["local", "igw-"]),
            "route.nat-gateway-id" => targets(&["nat-"]),
            "route.origin" => many(table.routes.values().map(|route| route.origin)),
            "route.state" => many(table.routes.values().map(|route| ec2.route_state(context, route))),
            "route.vpc-peering-connection-id" => targets(&["pcx-"]),
            "vpc-id" => one(&table.vpc),
            _ => one(id),
        }
    };
    listing.of_region(context, params, &ec2.route_tables, field, |id, table| xml(ec2, context, id, table))
}

fn subnet(association: &Association) -> Option<&String> {
    match association {
        Association::Main => None,
        Association::Subnet(subnet) => Some(subnet),
    }
}

fn association_state() -> Element {
    Element::new("associationState", vec![Element::text("state", "associated")])
}

fn xml(ec2: &Ec2, context: &Context, id: &str, table: &RouteTable) -> Vec<Element> {
    let associations = table.associations.iter().map(|(association, of)| {
        let mut fields = vec![
            Element::text("routeTableAssociationId", association),
            Element::text("routeTableId", id),
            Element::text("main", *of == Association::Main),
            association_state(),
        ];
        fields.extend(Element::optional("subnetId", subnet(of)));
        fields
    });
    let routes = table.routes.iter().map(|(destination, route)| {
        let target = match Kind::of_id(&route.target) {
            Some(Kind::PEERING) => "vpcPeeringConnectionId",
            Some(Kind::NAT_GATEWAY) => "natGatewayId",
            Some(Kind::INTERFACE) => "networkInterfaceId",
            _ => "gatewayId",
        };
        let mut fields = vec![Element::text("destinationCidrBlock", destination), Element::text(target, &route.target)];
        if target == "networkInterfaceId" {
            let interface = ec2.interfaces.get(&route.target);
            fields.extend(Element::optional("instanceId", interface.and_then(|record| record.instance.as_ref())));
        }
        fields.push(Element::text("origin", route.origin));
        fields.push(Element::text("state", ec2.route_state(context, route)));
        fields
    });
    vec![
        Element::text("routeTableId", id),
        Element::text("vpcId", &table.vpc),
        Element::text("ownerId", ACCOUNT),
        Element::items("routeSet", routes),
        Element::items("associationSet", associations),
        Element::new("propagatingVgwSet", Vec::new()),
        tag_set(&table.tags),
    ]
}
