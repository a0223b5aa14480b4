//! The faults. All are about cluster 1 and cluster 2, so they exist in every topology.

use std::sync::Arc;

use super::{Fault, corefiles, instead, without};
use crate::engine::Failure;
use crate::procedure::{Scope, add_routes_through};
use crate::topology::{ClusterIndex, Pair};

const ONE: ClusterIndex = ClusterIndex(0);
const TWO: ClusterIndex = ClusterIndex(1);

/// Every fault.
pub static CATALOGUE: &[Fault] = &[
    Fault {
        id: "missing-route",
        title: "the route tables of cluster 1 get no route to cluster 2",
        topology: |_| {},
        tasks: |_, tasks| without(tasks, "add-routes/1-to-2"),
        caught_by: &["route-to-peer"],
    },
    Fault {
        id: "route-to-wrong-peering",
        title: "the routes of cluster 1 to cluster 2 point to the peering with another cluster",
        topology: |_| {},
        tasks: |topology, mut tasks| {
            let Some(third) = topology.indices().nth(2) else { return tasks };
            let Some(wrong) = Pair::of(ONE, third) else { return tasks };
            for task in &mut tasks {
                if task.id() == "add-routes/1-to-2" {
                    task.needs.push(crate::procedure::task_id("create-peering", Scope::Pair(wrong)));
                }
            }
            let body = Arc::new(move |context: crate::engine::TaskContext<crate::procedure::World>, _| {
                Box::pin(async move {
                    let peering = context
                        .world()
                        .peering(wrong)
                        .ok_or_else(|| Failure::new("the peering connection was not created"))?;
                    add_routes_through(&context, ONE, TWO, &peering).await
                }) as futures::future::BoxFuture<'static, _>
            });
            instead(tasks, "add-routes/1-to-2", body)
        },
        caught_by: &["route-to-peer"],
    },
    Fault {
        id: "peering-not-accepted",
        title: "the peering of cluster 1 and cluster 2 is requested and never accepted",
        topology: |_| {},
        tasks: |_, tasks| without(tasks, "accept-peering/1-2"),
        caught_by: &["peering-active"],
    },
    Fault {
        id: "overlapping-cidr-blocks",
        title: "the VPC of cluster 2 has a block within the block of cluster 1, forced past validation",
        topology: |topology| {
            let block = topology.cluster(ONE).cidr_block;
            if let Some(half) = block.subnets(block.prefix_len() + 1).ok().and_then(|mut halves| halves.nth(1)) {
                topology.clusters[TWO.0].cidr_block = half;
            }
        },
        tasks: |_, tasks| tasks,
        caught_by: &["cidr-blocks-disjoint"],
    },
    Fault {
        id: "missing-security-group-rule",
        title: "the security group of cluster 2 gets no rule for cluster 1",
        topology: |_| {},
        tasks: |_, tasks| without(tasks, "allow-traffic/1-to-2"),
        caught_by: &["security-group-rules"],
    },
    Fault {
        id: "rules-on-unattached-group",
        title: "managed node groups: the rules are on a security group that no node interface carries",
        topology: |topology| {
            for group in topology.clusters.iter_mut().flat_map(|cluster| &mut cluster.node_groups) {
                group.managed = true;
            }
        },
        tasks: |_, tasks| tasks,
        caught_by: &["interface-security-groups"],
    },
    Fault {
        id: "nested-zone",
        title: "the Corefile of cluster 1 has the zone of cluster 2 inside the default server block",
        topology: |_| {},
        tasks: |_, tasks| instead(tasks, "edit-coredns/1", corefiles::body(corefiles::nest_first_zone)),
        caught_by: &["corefile-zones-top-level"],
    },
    Fault {
        id: "missing-force-tcp",
        title: "the Corefile of cluster 1 forwards to cluster 2 without force_tcp",
        topology: |_| {},
        tasks: |_, tasks| instead(tasks, "edit-coredns/1", corefiles::body(corefiles::forward_first_zone_over_udp)),
        caught_by: &["corefile-force-tcp"],
    },
    Fault {
        id: "wrong-upstreams",
        title: "the Corefile of cluster 1 forwards the zone of cluster 2 to addresses that are not its load balancer's",
        topology: |_| {},
        tasks: |_, tasks| instead(tasks, "edit-coredns/1", corefiles::body(corefiles::forward_first_zone_astray)),
        caught_by: &["corefile-upstreams"],
    },
    Fault {
        id: "same-namespace",
        title: "cluster 1 and cluster 2 use the same namespace",
        topology: |topology| topology.clusters[TWO.0].namespace = topology.cluster(ONE).namespace.clone(),
        tasks: |_, tasks| tasks,
        caught_by: &["namespaces-distinct"],
    },
];
