//! Network Load Balancers of a region, with their listeners and target health.

use std::collections::BTreeMap;

use acrossk8s_aws::Clients;

use super::{ClusterObservation, Listener, LoadBalancer, Target};

type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Reads the load balancers of the VPCs. Their addresses are those of the interfaces read before, since
/// DescribeLoadBalancers tells only addresses that somebody asked for.
pub(super) async fn read(
    clients: &Clients,
    vpcs: &BTreeMap<String, usize>,
    clusters: &BTreeMap<usize, ClusterObservation>,
) -> Result<Vec<(usize, LoadBalancer)>, ReadError> {
    let mut pages = clients.elbv2.describe_load_balancers().into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(load_balancer) = pages.next().await {
        let load_balancer = load_balancer?;
        let Some(index) = load_balancer.vpc_id().and_then(|vpc| vpcs.get(vpc)).copied() else { continue };
        let arn = load_balancer.load_balancer_arn().unwrap_or_default().to_owned();
        let name = load_balancer.load_balancer_name().unwrap_or_default().to_owned();
        let prefix = format!("ELB net/{name}/");
        let addresses = clusters
            .get(&index)
            .into_iter()
            .flat_map(|cluster| &cluster.interfaces)
            .filter(|interface| interface.description.starts_with(&prefix))
            .filter_map(|interface| interface.addresses.first().copied())
            .collect();
        found.push((
            index,
            LoadBalancer {
                dns_name: load_balancer.dns_name().unwrap_or_default().to_owned(),
                kind: load_balancer.r#type().map_or("", |kind| kind.as_str()).to_owned(),
                scheme: load_balancer.scheme().map_or("", |scheme| scheme.as_str()).to_owned(),
                state: load_balancer.state().and_then(|it| it.code()).map_or("", |code| code.as_str()).to_owned(),
                cross_zone: cross_zone(clients, &arn).await?,
                subnets: load_balancer
                    .availability_zones()
                    .iter()
                    .filter_map(|zone| zone.subnet_id().map(str::to_owned))
                    .collect(),
                addresses,
                listeners: listeners(clients, &arn).await?,
                arn,
                name,
            },
        ));
    }
    Ok(found)
}

async fn cross_zone(clients: &Clients, arn: &str) -> Result<bool, ReadError> {
    let answer = clients.elbv2.describe_load_balancer_attributes().load_balancer_arn(arn).send().await?;
    Ok(answer.attributes().iter().any(|attribute| {
        attribute.key() == Some("load_balancing.cross_zone.enabled") && attribute.value() == Some("true")
    }))
}

async fn listeners(clients: &Clients, arn: &str) -> Result<Vec<Listener>, ReadError> {
    let answer = clients.elbv2.describe_listeners().load_balancer_arn(arn).send().await?;
    let mut found = Vec::new();
    for listener in answer.listeners() {
        let mut targets = Vec::new();
        for group in listener.default_actions().iter().filter_map(|action| action.target_group_arn()) {
            let health = clients.elbv2.describe_target_health().target_group_arn(group).send().await?;
            targets.extend(health.target_health_descriptions().iter().filter_map(|description| {
                let (target, health) = (description.target()?, description.target_health());
                Some(Target {
                    id: target.id()?.to_owned(),
                    port: u16::try_from(target.port()?).ok()?,
                    health: health.and_then(|it| it.state()).map_or("", |state| state.as_str()).to_owned(),
                    description: health.and_then(|it| it.description()).map(str::to_owned),
                })
            }));
        }
        found.push(Listener {
            protocol: listener.protocol().map_or("", |protocol| protocol.as_str()).to_owned(),
            port: listener.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            targets,
        });
    }
    Ok(found)
}
