//! "Set up VPC peering", parts 1 to 3: VPC ids, and a peering connection for each pair of clusters.

use acrossk8s_aws::ec2::types::{
    Filter, ResourceType, Tag, TagSpecification, VpcPeeringConnection, VpcPeeringConnectionStateReasonCode as Code,
};
use acrossk8s_aws::{Clients, ec2};

use super::clusters::cluster_of;
use super::omission::Omission;
use super::resource::{Found, RUN_TAG, Resource};
use super::steps::{Each, Phase, Scope, Step};
use super::{World, aws_failure};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Done, Failure, TaskContext};
use crate::topology::{Pair, Topology};

const HEADING: &str = "Set up VPC peering";

/// Requests that one Region lets be outstanding.
///
/// Source: Amazon VPC quotas, "Outstanding VPC peering connection requests"; it can be raised.
const OUTSTANDING: usize = 25;

/// `eksctl get cluster`.
pub static GET_VPC_ID: Step = Step {
    id: "get-vpc-id",
    title: "Get the VPC ID of the cluster",
    heading: HEADING,
    clauses: &["C2.1"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |topology, scope| match scope {
        Scope::Cluster(index) => {
            let cluster = topology.cluster(index);
            vec![format!("eksctl get cluster {} --region {}", cluster.name, cluster.region)]
        }
        _ => Vec::new(),
    },
    calls: &["eks:DescribeCluster"],
    gap: None,
    omission: Omission::diagnosed(|topology, scope| {
        let of = |pair: &Pair| scope == Scope::Cluster(pair.requester) || scope == Scope::Cluster(pair.accepter);
        let pairs = topology.pairs().into_iter().filter(of);
        Diagnosed::each(Own::PeeringMissing, "vpc", pairs.map(|pair| pair.requester))
    })
    .caught_by(&["peering-exists", "security-group-rules"])
    .stops(around),
    run: |context, scope| Box::pin(get_vpc_id(context, scope)),
};

/// The request.
pub static CREATE_PEERING: Step = Step {
    id: "create-peering",
    title: "Request the VPC peering connection",
    heading: HEADING,
    clauses: &["C2.2"],
    phase: Phase::Apply,
    each: Each::Pair,
    needs: |topology, scope| {
        let earlier = fewer_outstanding(topology, scope).map(|pair| ("accept-peering", Scope::Pair(pair)));
        both(scope, "get-vpc-id").into_iter().chain(earlier).collect()
    },
    commands: |topology, scope| match scope {
        Scope::Pair(pair) => vec![format!(
            "aws ec2 create-vpc-peering-connection --region {} --vpc-id ${{vpc_id_{}}} --peer-vpc-id ${{vpc_id_{}}} --peer-region {}",
            topology.cluster(pair.requester).region,
            pair.requester,
            pair.accepter,
            topology.cluster(pair.accepter).region,
        )],
        _ => Vec::new(),
    },
    calls: &["ec2:DescribeVpcPeeringConnections", "ec2:CreateVpcPeeringConnection", "ec2:CreateTags"],
    gap: None,
    omission: Omission::diagnosed(|topology, scope| {
        Diagnosed::each(Own::PeeringMissing, "vpc", scope.clusters(topology).into_iter().take(1))
    })
    .caught_by(&["peering-exists"])
    .stops(without_connection),
    run: |context, scope| Box::pin(create_peering(context, scope)),
};

/// The acceptance.
pub static ACCEPT_PEERING: Step = Step {
    id: "accept-peering",
    title: "Accept the VPC peering connection and wait until it is active",
    heading: HEADING,
    clauses: &["C2.2"],
    phase: Phase::Apply,
    each: Each::Pair,
    needs: |_, scope| vec![("create-peering", scope)],
    commands: |topology, scope| match scope {
        Scope::Pair(pair) => vec![format!(
            "aws ec2 accept-vpc-peering-connection --region {} --vpc-peering-connection-id ${{vpc_peering_id_{}{}}}",
            topology.cluster(pair.accepter).region,
            pair.requester,
            pair.accepter,
        )],
        _ => Vec::new(),
    },
    calls: &["ec2:DescribeVpcPeeringConnections", "ec2:AcceptVpcPeeringConnection", "ec2:CreateTags"],
    gap: None,
    omission: Omission::diagnosed(|_, _| Diagnosed::between("BAD_STATE_ROUTE", "vpc-peering-connection"))
        .caught_by(&["peering-active"]),
    run: |context, scope| Box::pin(accept_peering(context, scope)),
};

fn both(scope: Scope, step: &'static str) -> Vec<(&'static str, Scope)> {
    match scope {
        Scope::Pair(pair) => vec![(step, Scope::Cluster(pair.requester)), (step, Scope::Cluster(pair.accepter))],
        _ => Vec::new(),
    }
}

/// The pair whose request has to be accepted before that of another is made, so that no more are outstanding than a Region
/// allows: they take turns.
fn fewer_outstanding(topology: &Topology, scope: Scope) -> Option<Pair> {
    let Scope::Pair(pair) = scope else { return None };
    let region = |pair: &Pair| &topology.cluster(pair.requester).region;
    let requests: Vec<Pair> = topology.pairs().into_iter().filter(|it| region(it) == region(&pair)).collect();
    let turn = requests.iter().position(|it| *it == pair)?;
    turn.checked_sub(OUTSTANDING).map(|earlier| requests[earlier])
}

pub(super) fn pair_of(scope: Scope) -> Result<Pair, Failure> {
    match scope {
        Scope::Pair(pair) => Ok(pair),
        other => Err(Failure::new(format!("a task for a pair was given the scope {other}"))),
    }
}

/// Names of a pair's clusters, for messages.
fn named(topology: &Topology, pair: Pair) -> String {
    format!("{} and {}", topology.cluster(pair.requester).name, topology.cluster(pair.accepter).name)
}

async fn get_vpc_id(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let name = &world.cluster(index).name;
    let what = format!("the VPC ID of {name} cannot be read");
    let found =
        world.aws(index)?.eks.describe_cluster().name(name).send().await.map_err(|error| aws_failure(&what, &error))?;
    let config = found.cluster().and_then(|cluster| cluster.resources_vpc_config());
    let vpc =
        config.and_then(|config| config.vpc_id()).ok_or_else(|| Failure::new(&what).because("EKS names no VPC"))?;
    let subnets = config.map(|config| config.subnet_ids().to_vec()).unwrap_or_default();
    world.learn(index, |facts| {
        facts.vpc = Some(vpc.to_owned());
        facts.subnets = subnets;
    });
    Ok(Done::unchanged().note(vpc))
}

/// The live connection of two VPCs in either orientation, as one region sees it. Terminal states linger in the answers
/// for hours and do not count.
async fn live_connection(clients: &Clients, a: &str, b: &str) -> Result<Option<VpcPeeringConnection>, Failure> {
    for (requester, accepter) in [(a, b), (b, a)] {
        let answer = clients
            .ec2
            .describe_vpc_peering_connections()
            .filters(filter("requester-vpc-info.vpc-id", requester))
            .filters(filter("accepter-vpc-info.vpc-id", accepter))
            .filters(
                Filter::builder()
                    .name("status-code")
                    .set_values(Some(
                        ["initiating-request", "pending-acceptance", "provisioning", "active"]
                            .map(str::to_owned)
                            .into(),
                    ))
                    .build(),
            )
            .send()
            .await
            .map_err(|error| aws_failure("the peering connections cannot be read", &error))?;
        if let Some(found) = answer.vpc_peering_connections().first() {
            return Ok(Some(found.clone()));
        }
    }
    Ok(None)
}

pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn run_tag(world: &World) -> Tag {
    Tag::builder().key(RUN_TAG).value(&world.run_id).build()
}

async fn create_peering(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let pair = pair_of(scope)?;
    let (requester, accepter) = (world.vpc(pair.requester)?, world.vpc(pair.accepter)?);
    let clients = world.aws(pair.requester)?;
    let accepter_region = world.cluster(pair.accepter).region.clone();
    let what = format!("the VPCs of {} cannot be peered", named(&world.topology, pair));
    let resource = Resource::Peering {
        region: clients.region.clone(),
        requester: requester.clone(),
        accepter_region: accepter_region.clone(),
        accepter: accepter.clone(),
    };
    let (id, made) = world
        .ensure(
            context.task(),
            resource,
            async {
                let found = live_connection(clients, &requester, &accepter).await?;
                Ok(match found.and_then(|found| found.vpc_peering_connection_id) {
                    Some(id) => Found::There(id),
                    None => Found::Missing,
                })
            },
            async {
                let name = format!("{}-{}", world.cluster(pair.requester).name, world.cluster(pair.accepter).name);
                let answer = clients
                    .ec2
                    .create_vpc_peering_connection()
                    .vpc_id(&requester)
                    .peer_vpc_id(&accepter)
                    .peer_region(&accepter_region)
                    .tag_specifications(
                        TagSpecification::builder()
                            .resource_type(ResourceType::VpcPeeringConnection)
                            .tags(run_tag(world))
                            .tags(Tag::builder().key("Name").value(name).build())
                            .build(),
                    )
                    .send()
                    .await
                    .map_err(|error| aws_failure(&what, &error))?;
                answer
                    .vpc_peering_connection
                    .and_then(|made| made.vpc_peering_connection_id)
                    .ok_or_else(|| Failure::new(&what).because("EC2 returned no id"))
            },
        )
        .await?;
    world.learn_peering(pair, id.clone());
    let done = if made { Done::changed() } else { Done::unchanged() };
    Ok(done.note(id))
}

/// One look at a connection.
async fn state_of(client: &ec2::Client, id: &str) -> Result<Option<(Code, String)>, Failure> {
    match client.describe_vpc_peering_connections().vpc_peering_connection_ids(id).send().await {
        Ok(answer) => Ok(answer
            .vpc_peering_connections()
            .first()
            .and_then(|found| found.status())
            .and_then(|status| Some((status.code()?.clone(), status.message().unwrap_or_default().to_owned())))),
        // A new connection is not seen in both regions at once.
        Err(error) if super::failure::aws_code(&error) == Some("InvalidVpcPeeringConnectionID.NotFound") => Ok(None),
        Err(error) => Err(aws_failure(format!("the peering connection {id} cannot be read"), &error)),
    }
}

async fn accept_peering(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let pair = pair_of(scope)?;
    let id = world.peering(pair).ok_or_else(|| Failure::new("the peering connection was not created"))?;
    let clients = world.aws(pair.accepter)?;
    let patience = world.patience();
    let names = named(&world.topology, pair);

    let state = context
        .wait_for(
            &format!("the peering of {names} to be ready for acceptance"),
            patience.peering,
            patience.poll,
            || async {
                Ok(match state_of(&clients.ec2, &id).await? {
                    Some((code @ (Code::PendingAcceptance | Code::Provisioning | Code::Active), _)) => {
                        Condition::Ready(code)
                    }
                    Some((Code::InitiatingRequest, _)) => Condition::NotYet("initiating-request".to_owned()),
                    Some((code, message)) => return Err(dead_peering(&id, &code, &message)),
                    None => Condition::NotYet(format!("{} does not know {id} yet", clients.region)),
                })
            },
        )
        .await?;
    let accepts = state == Code::PendingAcceptance;
    if accepts {
        clients.ec2.accept_vpc_peering_connection().vpc_peering_connection_id(&id).send().await.map_err(|error| {
            aws_failure(format!("the peering connection {id} of {names} cannot be accepted"), &error)
        })?;
    }
    // Tags set in the requester's region are not seen in the accepter's.
    if world.cluster(pair.requester).region != world.cluster(pair.accepter).region {
        clients.ec2.create_tags().resources(&id).tags(run_tag(world)).send().await.map_err(|error| {
            aws_failure(format!("the peering connection {id} cannot be tagged in {}", clients.region), &error)
        })?;
    }
    for side in [pair.requester, pair.accepter] {
        let clients = world.aws(side)?;
        context
            .wait_for(
                &format!("the peering of {names} to be active in {}", clients.region),
                patience.peering,
                patience.poll,
                || async {
                    Ok(match state_of(&clients.ec2, &id).await? {
                        Some((Code::Active, _)) => Condition::Ready(()),
                        Some((code @ (Code::PendingAcceptance | Code::Provisioning), _)) => {
                            Condition::NotYet(code.as_str().to_owned())
                        }
                        Some((code, message)) => return Err(dead_peering(&id, &code, &message)),
                        None => Condition::NotYet(format!("{} does not know {id} yet", clients.region)),
                    })
                },
            )
            .await?;
    }
    Ok(if accepts { Done::changed() } else { Done::unchanged() })
}

fn dead_peering(id: &str, code: &Code, message: &str) -> Failure {
    Failure::new(format!("the peering connection {id} is {}", code.as_str()))
        .because(message)
        .advise("check that the VPCs exist in the regions named and that their CIDR blocks do not overlap")
}

/// What cannot be done with a VPC that is not known: its peerings, and opening its security group.
fn around(topology: &Topology, scope: Scope) -> Vec<(&'static str, Scope)> {
    let Scope::Cluster(index) = scope else { return Vec::new() };
    let pairs = topology.others(index).filter_map(|other| Pair::of(index, other));
    let rules = topology.others(index).map(|other| ("allow-traffic", Scope::Direction(other, index)));
    pairs.map(|pair| ("create-peering", Scope::Pair(pair))).chain(rules).collect()
}

/// What cannot be done without a connection.
fn without_connection(_: &Topology, scope: Scope) -> Vec<(&'static str, Scope)> {
    let Scope::Pair(pair) = scope else { return Vec::new() };
    let (one, two) = (pair.requester, pair.accepter);
    vec![
        ("accept-peering", scope),
        ("add-routes", Scope::Direction(one, two)),
        ("add-routes", Scope::Direction(two, one)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::invariants::fixture::documented;
    use crate::procedure::tasks;

    /// Requests are made as long as any can be, and the last is accepted first: the order in which most are outstanding.
    #[test]
    fn no_more_requests_are_outstanding_than_a_region_allows() {
        let (mut topology, _) = documented(20);
        for cluster in &mut topology.clusters {
            cluster.region = "us-west-2".to_owned();
        }
        let tasks = tasks(&topology);
        let of = |step: &str| tasks.iter().filter(|it| it.step.id == step).collect::<Vec<_>>();
        let (requests, acceptances) = (of("create-peering"), of("accept-peering"));
        let mut done: BTreeSet<String> =
            tasks.iter().map(|it| it.id()).filter(|id| !id.contains("-peering/")).collect();
        let (mut requested, mut accepted, mut most) = (0, 0, 0);
        while accepted < requests.len() {
            for it in &requests {
                if !done.contains(&it.id()) && it.needs.iter().all(|need| done.contains(need)) {
                    done.insert(it.id());
                    requested += 1;
                }
            }
            most = most.max(requested - accepted);
            let next = acceptances
                .iter()
                .rev()
                .find(|it| !done.contains(&it.id()) && it.needs.iter().all(|need| done.contains(need)));
            assert!(next.is_some_and(|it| done.insert(it.id())), "nothing can be done after {accepted} of them");
            accepted += 1;
        }
        assert_eq!((requested, most), (190, OUTSTANDING));
    }
}
