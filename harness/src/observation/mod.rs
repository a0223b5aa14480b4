//! Reading AWS, Kubernetes and probes into an [`Observation`].

mod aws;
mod fabric;
mod kubernetes;
mod load_balancers;
mod model;
mod probes;

use std::sync::Arc;

pub use fabric::{UNREAD, fabric};
pub use model::*;
pub use probes::TIDB_PORTS;

use crate::procedure::World;

/// Reads everything: AWS batched by region, each Kubernetes, and the probes of every direction. What cannot be read is
/// told in [`Observation::unread`].
pub async fn observe(world: &Arc<World>) -> Observation {
    let mut observation = Observation {
        version: VERSION,
        clusters: world.topology.clusters.iter().map(|_| ClusterObservation::default()).collect(),
        ..Observation::default()
    };
    let (aws, kubernetes) = tokio::join!(aws::read(world), kubernetes::read(world));
    aws.put_into(&mut observation);
    for (index, result) in kubernetes.into_iter().enumerate() {
        match result {
            Ok((seen, unread)) => {
                observation.clusters[index].kubernetes = Some(seen);
                observation.unread.extend(unread);
            }
            Err(why) => observation.unread.push(Unread { cluster: Some(index), what: "Kubernetes".to_owned(), why }),
        }
    }
    for (index, facts) in world.facts.lock().clusters.iter() {
        if let Some(cluster) = observation.clusters.get_mut(*index) {
            cluster.cluster_config = facts.config.clone();
            cluster.vpc_taken = facts.vpc.clone();
            cluster.coredns_backup = facts.coredns_backup.clone();
        }
    }
    observation.probes = world.probes.lock().clone();
    observation.probes.extend(probes::probe(world, &observation).await);
    observation
}

/// Looks at what is left of the check, once it was to be cleaned up.
pub async fn look_after_check(world: &World, observation: &mut Observation) {
    for (index, looked) in kubernetes::left_after_check(world).await.into_iter().enumerate() {
        match looked {
            Ok(left) => observation.clusters[index].left_after_check = Some(left),
            Err(why) => {
                let what = "what is left after the check".to_owned();
                observation.unread.push(Unread { cluster: Some(index), what, why });
            }
        }
    }
}
