//! Routes as people get them wrong ("Set up VPC peering", part 4). All are about the routes of cluster 1 to cluster 2.

use acrossk8s_aws::ec2::types::RouteTable;
use ipnet::Ipv4Net;

use super::{Fault, ONE, TWO};
use crate::diagnosis::Diagnosed;
use crate::engine::{Done, Failure, TaskContext};
use crate::procedure::{Scope, World, add_routes_through, aws_failure, effective_tables, filter, task_id};
use crate::topology::{Pair, Topology};

const ROUTES: &str = "add-routes/1-to-2";

pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    let mut faults = vec![
        Fault::new(
            "missing-route-back",
            "the route tables of cluster 2 get no route to cluster 1",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", TWO),
        )
        .leaves_out("add-routes/2-to-1")
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-in-main-table-only",
            "only the main route table, which no subnet uses, gets the route",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", ONE),
        )
        .instead(ROUTES, |context, _| async move {
            let main = main_table(&context).await?;
            route(&context, &main, block_of(&context), Target::Peering).await?;
            Ok(Done::changed())
        })
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-table-forgotten",
            "one of the route tables of the nodes of cluster 1 gets no route to cluster 2",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", ONE),
        )
        .after(ROUTES, |context| async move {
            let tables = tables(&context).await?;
            // Nodes are in private subnets; nothing is asked from the public ones.
            let is_private = |it: &&RouteTable| it.routes().iter().any(|route| route.nat_gateway_id().is_some());
            let last = tables.iter().rfind(is_private).ok_or_else(|| Failure::new("no route table is private"))?;
            let (clients, destination) = (context.world().aws(ONE)?, block_of(&context).to_string());
            let delete = clients.ec2.delete_route().route_table_id(id(last)).destination_cidr_block(destination);
            delete.send().await.map(drop).map_err(|error| aws_failure("a route cannot be deleted", &error))
        })
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-to-gateway",
            "the routes of cluster 1 to cluster 2 lead to the gateway of the default route",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", ONE),
        )
        .instead(ROUTES, |context, _| async move { everywhere(&context, block_of(&context), Target::Gateway).await })
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-too-narrow",
            "the routes of cluster 1 lead to the first half of the block of cluster 2 only",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", ONE),
        )
        .instead(ROUTES, |context, _| async move { everywhere(&context, half_of(&context)?, Target::Peering).await })
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-too-wide",
            "the routes of cluster 1 to cluster 2 are for a block of half the address space",
            Diagnosed::NoProbeFails,
        )
        .instead(ROUTES, |context, _| async move {
            let wide = Ipv4Net::new(block_of(&context).addr(), 1).map(|wide| wide.trunc());
            let wide = wide.map_err(|error| Failure::new("the block is none").because(error))?;
            everywhere(&context, wide, Target::Peering).await
        })
        .caught_by(&["route-to-peer"]),
        Fault::new(
            "route-shadowed",
            "a more specific route of cluster 1 leads half of cluster 2 to a gateway",
            Diagnosed::at("NO_ROUTE_TO_DESTINATION", "route-table", ONE),
        )
        .after(
            ROUTES,
            |context| async move { everywhere(&context, half_of(&context)?, Target::Gateway).await.map(drop) },
        )
        .caught_by(&["route-not-shadowed"]),
    ];
    if let Some(wrong) = topology.indices().nth(2).and_then(|third| Pair::of(ONE, third)) {
        let title = "the routes of cluster 1 to cluster 2 point to the peering with another cluster";
        let fault = Fault::new(
            "route-to-wrong-peering",
            title,
            Diagnosed::at("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "route-table", ONE),
        )
        .needs(ROUTES, move |_| vec![task_id("create-peering", Scope::Pair(wrong))])
        .instead(ROUTES, move |context, _| async move {
            let peering = context.world().peering(wrong);
            let peering = peering.ok_or_else(|| Failure::new("the peering connection was not created"))?;
            add_routes_through(&context, ONE, TWO, &peering).await
        })
        .caught_by(&["route-to-peer"]);
        faults.push(fault);
    }
    faults
}

/// Where a wrong route leads.
#[derive(Clone, Copy)]
enum Target {
    /// To the peering connection of the two clusters.
    Peering,
    /// Where the table's default route leads.
    Gateway,
}

fn block_of(context: &TaskContext<World>) -> Ipv4Net {
    context.world().cluster(TWO).cidr_block
}

fn half_of(context: &TaskContext<World>) -> Result<Ipv4Net, Failure> {
    let block = block_of(context);
    let half = Ipv4Net::new(block.addr(), block.prefix_len() + 1);
    half.map(|half| half.trunc()).map_err(|error| Failure::new("the block has no half").because(error))
}

fn id(table: &RouteTable) -> &str {
    table.route_table_id().unwrap_or_default()
}

async fn tables(context: &TaskContext<World>) -> Result<Vec<RouteTable>, Failure> {
    let world = context.world();
    effective_tables(world.aws(ONE)?, &world.vpc(ONE)?, &world.known(ONE).subnets).await
}

async fn main_table(context: &TaskContext<World>) -> Result<RouteTable, Failure> {
    let world = context.world();
    let read = world.aws(ONE)?.ec2.describe_route_tables();
    let read = read.filters(filter("vpc-id", &world.vpc(ONE)?)).filters(filter("association.main", "true"));
    let found = read.send().await.map_err(|error| aws_failure("the main route table cannot be read", &error))?;
    let main = found.route_tables.unwrap_or_default().into_iter().next();
    main.ok_or_else(|| Failure::new("the VPC has no main route table"))
}

/// A route in every table of the cluster's subnets. The tables go with the cluster, and so do these routes.
async fn everywhere(context: &TaskContext<World>, to: Ipv4Net, target: Target) -> Result<Done, Failure> {
    for table in tables(context).await? {
        route(context, &table, to, target).await?;
    }
    Ok(Done::changed())
}

async fn route(context: &TaskContext<World>, table: &RouteTable, to: Ipv4Net, target: Target) -> Result<(), Failure> {
    let world = context.world();
    let new = world.aws(ONE)?.ec2.create_route().route_table_id(id(table)).destination_cidr_block(to.to_string());
    let new = match target {
        Target::Peering => new.set_vpc_peering_connection_id(Pair::of(ONE, TWO).and_then(|pair| world.peering(pair))),
        Target::Gateway => {
            let default = table.routes().iter().find(|route| route.destination_cidr_block() == Some("0.0.0.0/0"));
            match default.map(|default| (default.nat_gateway_id(), default.gateway_id())) {
                Some((Some(nat), _)) => new.nat_gateway_id(nat),
                Some((None, Some(gateway))) => new.gateway_id(gateway),
                _ => return Err(Failure::new(format!("{} has no default route", id(table)))),
            }
        }
    };
    new.send().await.map(drop).map_err(|error| aws_failure(format!("a route to {to} cannot be added"), &error))
}
