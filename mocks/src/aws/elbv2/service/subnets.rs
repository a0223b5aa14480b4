//! Where the load balancer of a Service goes.

use std::collections::BTreeMap;

use super::{ServiceLoadBalancer, cluster_tag};
use crate::aws::State;
use crate::aws::ec2::{Association, Subnet};
use crate::aws::tags::Tags;

/// One subnet for each availability zone, of those that belong to the cluster or to none by their tags: preferably one
/// tagged for the role, then one tagged for the cluster, then the lowest id. A load balancer that faces the internet takes
/// public ones only.
pub(super) fn choose(state: &State, wanted: &ServiceLoadBalancer) -> Vec<String> {
    let role = if wanted.internal { "kubernetes.io/role/internal-elb" } else { "kubernetes.io/role/elb" };
    let own = cluster_tag(&wanted.cluster);
    let usable = |(id, subnet): &(&String, &Subnet)| {
        subnet.vpc == wanted.vpc
            && (subnet.tags.contains_key(&own) || !is_of_any_cluster(&subnet.tags))
            && (wanted.internal || is_public(state, id, subnet))
    };
    let mut best: BTreeMap<&str, (bool, bool, &str)> = BTreeMap::new();
    for (id, subnet) in state.ec2.subnets.iter().filter(usable) {
        // `false` sorts first.
        let rank = (!subnet.tags.contains_key(role), !subnet.tags.contains_key(&own), id.as_str());
        let entry = best.entry(&subnet.availability_zone).or_insert(rank);
        *entry = (*entry).min(rank);
    }
    best.into_values().map(|(_, _, id)| id.to_owned()).collect()
}

fn is_of_any_cluster(tags: &Tags) -> bool {
    tags.keys().any(|key| key.starts_with("kubernetes.io/cluster/"))
}

/// Whether the subnet's effective route table leads to an internet gateway.
fn is_public(state: &State, id: &str, subnet: &Subnet) -> bool {
    let tables = || state.ec2.route_tables.values().filter(|table| table.vpc == subnet.vpc);
    let explicit = Association::Subnet(id.to_owned());
    let table = tables()
        .find(|table| table.associations.values().any(|it| *it == explicit))
        .or_else(|| tables().find(|table| table.is_main()));
    table.is_some_and(|table| table.routes.values().any(|route| route.target.starts_with("igw-")))
}
