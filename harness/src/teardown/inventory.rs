//! The proof that nothing is left: everything in the regions that carries the run's tag.

use acrossk8s_aws::ec2::types::Filter;
use acrossk8s_aws::{Clients, DisplayErrorContext, Regions};
use futures::future::join_all;

use crate::procedure::RUN_TAG;

/// What carries a run's tag, for example `vpc vpc-0123… (us-west-1)`; or why that could not be read.
pub type Inventory = Result<Vec<String>, String>;

/// Reads everything that carries the run's tag, in every region. Resources that AWS goes on showing after their end
/// (deleted peering connections and NAT gateways, terminated instances) do not count.
///
/// # Errors
/// When a region cannot be read: then nothing is proven.
pub async fn inventory(regions: &Regions, run_id: &str) -> Inventory {
    let mut remaining = Vec::new();
    for region in join_all(regions.iter().map(|clients| read(clients, run_id))).await {
        remaining.extend(region?);
    }
    remaining.sort();
    Ok(remaining)
}

async fn read(clients: &Clients, run_id: &str) -> Inventory {
    let tag = Filter::builder().name(format!("tag:{RUN_TAG}")).values(run_id).build();
    let region = &clients.region;
    let mut found = Vec::new();
    macro_rules! ec2 {
        ($kind:literal, $call:ident, $id:ident $(, $alive:expr)?) => {{
            let mut pages = clients.ec2.$call().filters(tag.clone()).into_paginator().items().send();
            while let Some(item) = pages.next().await {
                let item = item.map_err(|error| failed($kind, region, &error))?;
                $(if !$alive(&item) { continue; })?
                found.push(format!("{} {} ({region})", $kind, item.$id().unwrap_or_default()));
            }
        }};
    }
    ec2!("VPC", describe_vpcs, vpc_id);
    ec2!("subnet", describe_subnets, subnet_id);
    ec2!("route table", describe_route_tables, route_table_id);
    ec2!("internet gateway", describe_internet_gateways, internet_gateway_id);
    nat_gateways(clients, &tag, &mut found).await?;
    ec2!("security group", describe_security_groups, group_id);
    ec2!("security group rule", describe_security_group_rules, security_group_rule_id);
    ec2!("network interface", describe_network_interfaces, network_interface_id);
    ec2!(
        "VPC peering connection",
        describe_vpc_peering_connections,
        vpc_peering_connection_id,
        |it: &acrossk8s_aws::ec2::types::VpcPeeringConnection| {
            let code = it.status().and_then(|status| status.code()).map_or("", |code| code.as_str());
            !["deleted", "deleting", "failed", "rejected", "expired"].contains(&code)
        }
    );
    instances(clients, &tag, &mut found).await?;
    let addresses = clients.ec2.describe_addresses().filters(tag.clone()).send().await;
    for address in addresses.map_err(|error| failed("Elastic IP address", region, &error))?.addresses() {
        found.push(format!("Elastic IP address {} ({region})", address.allocation_id().unwrap_or_default()));
    }
    clusters(clients, run_id, &mut found).await?;
    load_balancers(clients, run_id, &mut found).await?;
    Ok(found)
}

async fn nat_gateways(clients: &Clients, tag: &Filter, found: &mut Vec<String>) -> Result<(), String> {
    let region = &clients.region;
    // The one call of EC2's whose parameter is called Filter.
    let mut pages = clients.ec2.describe_nat_gateways().filter(tag.clone()).into_paginator().items().send();
    while let Some(gateway) = pages.next().await {
        let gateway = gateway.map_err(|error| failed("NAT gateway", region, &error))?;
        if gateway.state().is_none_or(|state| state.as_str() != "deleted") {
            found.push(format!("NAT gateway {} ({region})", gateway.nat_gateway_id().unwrap_or_default()));
        }
    }
    Ok(())
}

async fn instances(clients: &Clients, tag: &Filter, found: &mut Vec<String>) -> Result<(), String> {
    let region = &clients.region;
    let mut pages = clients.ec2.describe_instances().filters(tag.clone()).into_paginator().items().send();
    while let Some(reservation) = pages.next().await {
        for instance in reservation.map_err(|error| failed("instance", region, &error))?.instances() {
            let state = instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str());
            if state != "terminated" {
                found.push(format!("instance {} ({region})", instance.instance_id().unwrap_or_default()));
            }
        }
    }
    Ok(())
}

async fn clusters(clients: &Clients, run_id: &str, found: &mut Vec<String>) -> Result<(), String> {
    let region = &clients.region;
    let mut pages = clients.eks.list_clusters().into_paginator().items().send();
    while let Some(name) = pages.next().await {
        let name = name.map_err(|error| failed("EKS cluster", region, &error))?;
        let cluster = match clients.eks.describe_cluster().name(&name).send().await {
            Ok(answer) => answer.cluster,
            Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => None,
            Err(error) => return Err(failed("EKS cluster", region, &error)),
        };
        let owner = cluster.as_ref().and_then(|it| it.tags()).and_then(|tags| tags.get(RUN_TAG));
        if owner.is_some_and(|owner| owner == run_id) {
            found.push(format!("EKS cluster {name} ({region})"));
        }
    }
    Ok(())
}

async fn load_balancers(clients: &Clients, run_id: &str, found: &mut Vec<String>) -> Result<(), String> {
    let region = &clients.region;
    let fail = |error: &(dyn std::error::Error + 'static)| failed("load balancer", region, error);
    let mut pages = clients.elbv2.describe_load_balancers().into_paginator().items().send();
    let mut arns = Vec::new();
    while let Some(load_balancer) = pages.next().await {
        arns.extend(load_balancer.map_err(|error| fail(&error))?.load_balancer_arn);
    }
    // DescribeTags takes twenty resources at a time (ELBv2 API reference).
    for arns in arns.chunks(20) {
        let answer = clients.elbv2.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await;
        for description in answer.map_err(|error| fail(&error))?.tag_descriptions() {
            if description.tags().iter().any(|tag| tag.key() == Some(RUN_TAG) && tag.value() == Some(run_id)) {
                found.push(format!("load balancer {} ({region})", description.resource_arn().unwrap_or_default()));
            }
        }
    }
    Ok(())
}

fn failed(kind: &str, region: &str, error: &(dyn std::error::Error + 'static)) -> String {
    format!("the inventory of {region} cannot be taken ({kind}): {}", DisplayErrorContext(error))
}
