//! Peering connections as people get them wrong ("Set up VPC peering", parts 2 and 3). All are about the pair of cluster
//! 1 and cluster 2.

use acrossk8s_aws::ec2::types::{ResourceType, Tag, TagSpecification};

use super::{Fault, ONE, TWO};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Done, Failure, TaskContext};
use crate::procedure::{Found, RUN_TAG, Resource, World, aws_failure};
use crate::topology::{ClusterIndex, Pair, Topology};

const REQUEST: &str = "create-peering/1-2";
const ACCEPT: &str = "accept-peering/1-2";
const STOPPED: [&str; 2] = ["add-routes/1-to-2", "add-routes/2-to-1"];

/// What a connection that has ended is known by where no route leads to it: its state is what keeps one from doing so.
fn no_longer_active() -> Diagnosed {
    Diagnosed::between(Own::PeeringNotActive, "vpc-peering-connection")
}

pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    let mut faults = vec![
        Fault::new(
            "peering-from-the-wrong-side",
            "cluster 2 requests the peering, and cluster 1 accepts it",
            Diagnosed::NoProbeFails,
        )
        .instead(REQUEST, |context, _| async move {
            let id = request(&context, TWO, ONE, true).await?;
            learn(&context, id)
        })
        .instead(ACCEPT, |context, _| async move {
            let id = peering(&context)?;
            let clients = context.world().aws(ONE)?;
            let accept = clients.ec2.accept_vpc_peering_connection().vpc_peering_connection_id(&id);
            accept.send().await.map_err(|error| aws_failure("the peering cannot be accepted", &error))?;
            Ok(Done::changed())
        })
        .caught_by(&["peering-roles"]),
        Fault::new(
            "peering-requested-twice",
            "cluster 2 requests a peering with cluster 1, too",
            Diagnosed::NoProbeFails,
        )
        .after(REQUEST, |context| async move { request(&context, TWO, ONE, true).await.map(drop) })
        .counts_on(ACCEPT)
        .caught_by(&["peering-exists"]),
        Fault::new(
            "peering-rejected",
            "cluster 2 rejects the peering",
            Diagnosed::between("BAD_STATE_ROUTE", "vpc-peering-connection"),
        )
        .instead(ACCEPT, |context, _| async move {
            let id = peering(&context)?;
            let clients = context.world().aws(TWO)?;
            let reject = clients.ec2.reject_vpc_peering_connection().vpc_peering_connection_id(id);
            reject.send().await.map_err(|error| aws_failure("the peering cannot be rejected", &error))?;
            Ok(Done::changed())
        })
        // Routes to a connection that was rejected are refused.
        .needs(ACCEPT, |_| STOPPED.map(str::to_owned).into())
        .or_beside_another(&no_longer_active())
        .caught_by(&["peering-exists"]),
        Fault::new(
            "peering-deleted",
            "the peering is deleted after the routes were added: they become black holes",
            Diagnosed::between("BAD_STATE_ROUTE", "vpc-peering-connection"),
        )
        .needs(ACCEPT, |_| STOPPED.map(str::to_owned).into())
        .after(ACCEPT, |context| async move {
            let id = peering(&context)?;
            let clients = context.world().aws(ONE)?;
            let delete = clients.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(id);
            delete.send().await.map(drop).map_err(|error| aws_failure("the peering cannot be deleted", &error))
        })
        .or_beside_another(&no_longer_active())
        .caught_by(&["peering-exists"]),
    ];
    // Within one region it need not be named.
    if topology.cluster(ONE).region != topology.cluster(TWO).region {
        faults.push(
            Fault::new(
                "peering-without-peer-region",
                "the request for the peering does not name the region of cluster 2",
                Diagnosed::between(Own::PeeringNotActive, "vpc-peering-connection"),
            )
            .instead(REQUEST, |context, _| async move {
                let id = request(&context, ONE, TWO, false).await?;
                learn(&context, id)
            })
            .caught_by(&["peering-exists"])
            .stops(&[ACCEPT])
            .stops(&STOPPED),
        );
    }
    faults
}

fn pair() -> Result<Pair, Failure> {
    Pair::of(ONE, TWO).ok_or_else(|| Failure::new("a cluster is no pair"))
}

fn peering(context: &TaskContext<World>) -> Result<String, Failure> {
    let known = context.world().peering(pair()?);
    known.ok_or_else(|| Failure::new("the peering connection was not created"))
}

fn learn(context: &TaskContext<World>, id: String) -> Result<Done, Failure> {
    context.world().learn_peering(pair()?, id.clone());
    Ok(Done::changed().note(id))
}

/// Requests a peering, with or without naming the region of the other VPC.
async fn request(
    context: &TaskContext<World>,
    from: ClusterIndex,
    to: ClusterIndex,
    with_region: bool,
) -> Result<String, Failure> {
    let world = context.world();
    let (clients, there) = (world.aws(from)?, world.cluster(to).region.clone());
    let (requester, accepter) = (world.vpc(from)?, world.vpc(to)?);
    let resource = Resource::Peering {
        region: clients.region.clone(),
        requester: requester.clone(),
        accepter_region: there.clone(),
        accepter: accepter.clone(),
    };
    let tag = Tag::builder().key(RUN_TAG).value(&world.run_id).build();
    let tags = TagSpecification::builder().resource_type(ResourceType::VpcPeeringConnection).tags(tag).build();
    let make = async {
        let new = clients.ec2.create_vpc_peering_connection().vpc_id(requester).peer_vpc_id(accepter);
        let new = new.set_peer_region(with_region.then_some(there)).tag_specifications(tags);
        let made = new.send().await.map_err(|error| aws_failure("the VPCs cannot be peered", &error))?;
        let id = made.vpc_peering_connection.and_then(|made| made.vpc_peering_connection_id);
        id.ok_or_else(|| Failure::new("EC2 returned no id"))
    };
    let (id, _) = world.ensure(context.task(), resource, async { Ok(Found::Missing) }, make).await?;
    Ok(id)
}
