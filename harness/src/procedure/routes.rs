//! "Set up VPC peering", part 4: a route to each other cluster in every route table of the cluster's subnets.

use std::collections::BTreeSet;

use acrossk8s_aws::Clients;
use acrossk8s_aws::ec2::types::RouteTable;
use ipnet::Ipv4Net;

use super::omission::Omission;
use super::peering::filter;
use super::resource::{Found, Resource};
use super::steps::{Each, Phase, Scope, Step};
use super::{World, aws_failure};
use crate::diagnosis::Diagnosed;
use crate::engine::{Done, Failure, TaskContext};
use crate::topology::{ClusterIndex, Pair};

/// The routes of one cluster to another.
pub static ADD_ROUTES: Step = Step {
    id: "add-routes",
    title: "Add the route to the peer in the route tables of all subnets",
    heading: "Set up VPC peering",
    clauses: &["C2.3"],
    phase: Phase::Apply,
    each: Each::Direction,
    needs: |_, scope| match scope {
        Scope::Direction(from, to) => {
            Pair::of(from, to).map(|pair| ("create-peering", Scope::Pair(pair))).into_iter().collect()
        }
        _ => Vec::new(),
    },
    commands: |topology, scope| match scope {
        Scope::Direction(from, to) => vec![format!(
            "aws ec2 create-route --region {} --route-table-id ${{each route table of cluster {from}}} --destination-cidr-block {} \
             --vpc-peering-connection-id ${{vpc_peering_id_{}{}}}",
            topology.cluster(from).region,
            topology.cluster(to).cidr_block,
            from.min(to),
            from.max(to),
        )],
        _ => Vec::new(),
    },
    calls: &["ec2:DescribeRouteTables", "ec2:CreateRoute"],
    gap: None,
    omission: Omission::diagnosed(|topology, scope| {
        let from = scope.clusters(topology).into_iter().take(1);
        Diagnosed::each("NO_ROUTE_TO_DESTINATION", "route-table", from)
    })
    .caught_by(&["route-to-peer"]),
    run: |context, scope| Box::pin(add_routes(context, scope)),
};

pub(super) fn direction_of(scope: Scope) -> Result<(ClusterIndex, ClusterIndex), Failure> {
    match scope {
        Scope::Direction(from, to) => Ok((from, to)),
        other => Err(Failure::new(format!("a task for a direction was given the scope {other}"))),
    }
}

/// The route tables that are effective for subnets: the explicitly associated one, else the VPC's main one.
///
/// Source: VPC user guide, "Subnet route tables".
pub(crate) async fn effective_tables(
    clients: &Clients,
    vpc: &str,
    subnets: &[String],
) -> Result<Vec<RouteTable>, Failure> {
    let mut pages = clients.ec2.describe_route_tables().filters(filter("vpc-id", vpc)).into_paginator().items().send();
    let mut tables = Vec::new();
    while let Some(table) = pages.next().await {
        tables.push(table.map_err(|error| aws_failure(format!("the route tables of {vpc} cannot be read"), &error))?);
    }
    let explicit: BTreeSet<&str> = tables
        .iter()
        .flat_map(|table| table.associations())
        .filter_map(|association| association.subnet_id())
        .collect();
    let needs_main = subnets.iter().any(|subnet| !explicit.contains(subnet.as_str()));
    let serves = |table: &RouteTable| {
        table.associations().iter().any(|association| match association.subnet_id() {
            Some(subnet) => subnets.iter().any(|wanted| wanted == subnet),
            None => needs_main && association.main() == Some(true),
        })
    };
    Ok(tables.iter().filter(|table| serves(table)).cloned().collect())
}

async fn add_routes(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let (from, to) = direction_of(scope)?;
    let pair = Pair::of(from, to).ok_or_else(|| Failure::new("a cluster has no route to itself"))?;
    let peering = world.peering(pair).ok_or_else(|| Failure::new("the peering connection was not created"))?;
    add_routes_through(&context, from, to, &peering).await
}

/// Adds the route to a cluster in every effective route table of another, through a peering connection.
pub(crate) async fn add_routes_through(
    context: &TaskContext<World>,
    from: ClusterIndex,
    to: ClusterIndex,
    peering: &str,
) -> Result<Done, Failure> {
    let world = context.world();
    let clients = world.aws(from)?;
    let vpc = world.vpc(from)?;
    let destination = world.cluster(to).cidr_block;
    let tables = effective_tables(clients, &vpc, &world.known(from).subnets).await?;
    if tables.is_empty() {
        return Err(Failure::new(format!("{vpc} has no route table for the subnets of {}", world.cluster(from).name)));
    }
    let mut added = 0;
    for table in &tables {
        let id = table.route_table_id().unwrap_or_default();
        added += usize::from(add_route(context, clients, id, table, destination, peering).await?);
    }
    let done = if added > 0 { Done::changed() } else { Done::unchanged() };
    Ok(done.note(format!("{added} of {} route tables changed", tables.len())))
}

async fn add_route(
    context: &TaskContext<World>,
    clients: &Clients,
    id: &str,
    table: &RouteTable,
    destination: Ipv4Net,
    peering: &str,
) -> Result<bool, Failure> {
    let what = format!("the route to {destination} cannot be added to {id} in {}", clients.region);
    let wanted = destination.to_string();
    let resource = Resource::Route {
        region: clients.region.clone(),
        table: id.to_owned(),
        destination,
        peering: peering.to_owned(),
    };
    let find = async {
        let existing = table.routes().iter().find(|route| route.destination_cidr_block() == Some(&wanted));
        match existing {
            None => Ok(Found::Missing),
            Some(route) if route.vpc_peering_connection_id() == Some(peering) => Ok(Found::There(())),
            Some(route) => Err(Failure::new(what.clone())
                .because(format!("a route to {destination} is there and points to {}", target_of(route)))
                .advise(format!("delete it: aws ec2 delete-route --region {} --route-table-id {id} --destination-cidr-block {destination}", clients.region))),
        }
    };
    let make = async {
        clients
            .ec2
            .create_route()
            .route_table_id(id)
            .destination_cidr_block(&wanted)
            .vpc_peering_connection_id(peering)
            .send()
            .await
            .map(drop)
            .map_err(|error| aws_failure(what.clone(), &error))
    };
    let (_, made) = context.world().ensure(context.task(), resource, find, make).await?;
    Ok(made)
}

/// The target of a route, whatever kind it is.
pub(crate) fn target_of(route: &acrossk8s_aws::ec2::types::Route) -> &str {
    [
        route.vpc_peering_connection_id(),
        route.nat_gateway_id(),
        route.gateway_id(),
        route.transit_gateway_id(),
        route.network_interface_id(),
        route.instance_id(),
        route.local_gateway_id(),
        route.carrier_gateway_id(),
        route.core_network_arn(),
    ]
    .into_iter()
    .flatten()
    .next()
    .unwrap_or("unknown")
}
