//! Everything that exists, for the proof that nothing does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use acrossk8s_vpc::PeeringState;
use serde::{Deserialize, Serialize};

use super::hosts::Attached;
use crate::aws::ec2::regions::regions;
use crate::aws::tags::Tags;
use crate::aws::{Aws, Context, State};

/// Everything that exists in an account and on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Resources of AWS, by type and id. Those that AWS still shows although they are gone (terminated instances, deleted
    /// NAT gateways, peerings that have ended) are not among them.
    pub resources: Vec<InventoryItem>,
    /// Hosts on the network: VPC, address and name.
    pub hosts: Vec<InventoryHost>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InventoryItem {
    /// Type, as in AWS's tag specifications where there is one, for example `vpc` or `load-balancer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id or ARN.
    pub id: String,
    /// Region.
    pub region: String,
    /// Tags.
    pub tags: Tags,
}

/// A host on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryHost {
    /// VPC.
    pub vpc: String,
    /// Address.
    pub address: Ipv4Addr,
    /// Name.
    pub name: String,
}

impl Inventory {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.hosts.is_empty()
    }

    /// Ids by type, hosts of the network as `network-host`.
    pub fn by_type(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for item in &self.resources {
            all.entry(item.kind.clone()).or_default().push(item.id.clone());
        }
        for host in &self.hosts {
            all.entry("network-host".to_owned()).or_default().push(host.name.clone());
        }
        all
    }

    pub(super) fn of(aws: &Aws, hosts: &BTreeMap<(String, Ipv4Addr), Attached>) -> Self {
        let mut resources = Vec::new();
        for region in aws.read("us-east-1", |state, _| used_regions(state)) {
            aws.read(&region, |state, context| {
                resources.extend(ec2(state, context));
                resources.extend(others(state, &region));
            });
        }
        resources.sort();
        // A peering is in two regions.
        resources.dedup_by(|a, b| a.kind == b.kind && a.id == b.id);
        let host = |((vpc, address), attached): (&(String, Ipv4Addr), &Attached)| InventoryHost {
            vpc: vpc.clone(),
            address: *address,
            name: attached.spec.name.clone(),
        };
        Self { resources, hosts: hosts.iter().map(host).collect() }
    }
}

/// Regions that something can be in: those that AWS lists, and those that a record names.
fn used_regions(state: &State) -> BTreeSet<String> {
    let ec2 = &state.ec2;
    let vpcs = ec2.vpcs.values().map(|it| &it.region);
    let addresses = ec2.addresses.values().map(|it| &it.region);
    let gateways = ec2.internet_gateways.values().map(|it| &it.region);
    let groups = state.elbv2.target_groups.values().map(|it| &it.region);
    let clusters = state.eks.clusters.keys().map(|(region, _)| region);
    let named = vpcs.chain(addresses).chain(gateways).chain(groups).chain(clusters).cloned();
    regions().map(str::to_owned).chain(named).collect()
}

fn item(kind: &str, id: &str, region: &str, tags: &Tags) -> InventoryItem {
    InventoryItem { kind: kind.to_owned(), id: id.to_owned(), region: region.to_owned(), tags: tags.clone() }
}

fn ec2(state: &State, context: &Context) -> Vec<InventoryItem> {
    let ec2 = &state.ec2;
    let is_gone = |id: &str| {
        let terminated = ec2.instances.get(id).is_some_and(|instance| instance.state == "terminated");
        let deleted = ec2.nat_gateways.get(id).is_some_and(|gateway| gateway.deleted);
        let ended = ec2.peerings.get(id).is_some_and(|peering| {
            matches!(
                peering.state(context.now, &context.latencies),
                PeeringState::Deleted | PeeringState::Rejected | PeeringState::Expired | PeeringState::Failed
            )
        });
        terminated || deleted || ended
    };
    let all = ec2.all_tags(context).into_iter().filter(|(id, ..)| !is_gone(id));
    all.map(|(id, kind, tags)| item(kind.resource_type, &id, &context.region, &tags)).collect()
}

fn others(state: &State, region: &str) -> Vec<InventoryItem> {
    let mut all = Vec::new();
    for (arn, it) in state.elbv2.load_balancers.iter().filter(|(_, it)| it.region == region) {
        all.push(item("load-balancer", arn, region, &it.tags));
        let listeners = state.elbv2.listeners.iter().filter(|(_, listener)| listener.load_balancer == *arn);
        all.extend(listeners.map(|(arn, listener)| item("listener", arn, region, &listener.tags)));
    }
    let groups = state.elbv2.target_groups.iter().filter(|(_, it)| it.region == region);
    all.extend(groups.map(|(arn, it)| item("target-group", arn, region, &it.tags)));
    for ((_, name), cluster) in state.eks.clusters.iter().filter(|((at, _), _)| at == region) {
        all.push(item("cluster", name, region, &cluster.tags));
        let groups = cluster.nodegroups.iter();
        all.extend(groups.map(|(id, group)| item("nodegroup", &format!("{name}/{id}"), region, &group.tags)));
        let addons = cluster.addons.iter();
        all.extend(addons.map(|(id, addon)| item("addon", &format!("{name}/{id}"), region, &addon.tags)));
    }
    all
}
