//! "Update the security groups for the instances": inbound rules for every other cluster's block.

use acrossk8s_aws::Clients;
use acrossk8s_aws::ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup, Tag, TagSpecification};

use super::omission::Omission;
use super::peering::filter;
use super::resource::{Found, RUN_TAG, Resource};
use super::routes::direction_of;
use super::steps::{Each, Phase, Scope, Step};
use super::{World, aws_failure};
use crate::diagnosis::Diagnosed;
use crate::engine::{Done, Failure, TaskContext};

/// The rule that lets one cluster's traffic into another.
pub static ALLOW_TRAFFIC: Step = Step {
    id: "allow-traffic",
    title: "Allow all traffic from the peer's CIDR block into the instances",
    heading: "Update the security groups for the instances",
    clauses: &["C2.5"],
    phase: Phase::Apply,
    each: Each::Direction,
    needs: |_, scope| match scope {
        Scope::Direction(_, to) => vec![("get-vpc-id", Scope::Cluster(to))],
        _ => Vec::new(),
    },
    commands: |topology, scope| match scope {
        Scope::Direction(from, to) => vec![format!(
            "aws ec2 authorize-security-group-ingress --region {} --group-id ${{eksctl-{}-cluster/ClusterSharedNodeSecurityGroup}} \
             --protocol all --cidr {}",
            topology.cluster(to).region,
            topology.cluster(to).name,
            topology.cluster(from).cidr_block,
        )],
        _ => Vec::new(),
    },
    calls: &["ec2:DescribeSecurityGroups", "ec2:AuthorizeSecurityGroupIngress"],
    gap: None,
    omission: Omission::diagnosed(|topology, scope| {
        let to = scope.clusters(topology).into_iter().skip(1);
        Diagnosed::each("ENI_SG_RULES_MISMATCH", "security-group", to)
    })
    .caught_by(&["security-group-rules"]),
    run: |context, scope| Box::pin(allow_traffic(context, scope)),
};

/// The value of the `Name` tag of the group that the document names.
pub fn documented_group(cluster: &str) -> String {
    format!("eksctl-{cluster}-cluster/ClusterSharedNodeSecurityGroup")
}

/// The group that the document names. What it calls the name is the `Name` tag: CloudFormation makes up the GroupName.
async fn find_group(clients: &Clients, vpc: &str, cluster: &str) -> Result<SecurityGroup, Failure> {
    let name = documented_group(cluster);
    let answer = clients
        .ec2
        .describe_security_groups()
        .filters(filter("vpc-id", vpc))
        .filters(filter("tag:Name", &name))
        .send()
        .await
        .map_err(|error| aws_failure(format!("the security groups of {vpc} cannot be read"), &error))?;
    match answer.security_groups() {
        [group] => Ok(group.clone()),
        groups => Err(Failure::new(format!("{} security groups of {vpc} are named {name}", groups.len()))
            .advise("the cluster has to be made by eksctl, which makes exactly one")),
    }
}

async fn allow_traffic(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let (from, to) = direction_of(scope)?;
    let clients = world.aws(to)?;
    let group = find_group(clients, &world.vpc(to)?, &world.cluster(to).name).await?;
    let id = group.group_id().unwrap_or_default().to_owned();
    let source = world.cluster(from).cidr_block;
    let wanted = source.to_string();
    let what = format!("traffic from {source} cannot be allowed into {id} in {}", clients.region);
    let resource = Resource::SecurityGroupRule { region: clients.region.clone(), group: id.clone(), source };
    let find = async {
        let there = group.ip_permissions().iter().any(|permission| {
            permission.ip_protocol() == Some("-1")
                && permission.ip_ranges().iter().any(|range| range.cidr_ip() == Some(wanted.as_str()))
        });
        Ok(if there { Found::There(()) } else { Found::Missing })
    };
    let make = async {
        let description = format!("Allow cluster {from} to communicate with cluster {to}");
        let sent = clients
            .ec2
            .authorize_security_group_ingress()
            .group_id(&id)
            .ip_permissions(
                IpPermission::builder()
                    .ip_protocol("-1")
                    .ip_ranges(IpRange::builder().cidr_ip(&wanted).description(description).build())
                    .build(),
            )
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::SecurityGroupRule)
                    .tags(Tag::builder().key(RUN_TAG).value(&world.run_id).build())
                    .build(),
            )
            .send()
            .await;
        sent.map(drop).map_err(|error| aws_failure(what.clone(), &error))
    };
    let (_, made) = world.ensure(context.task(), resource, find, make).await?;
    let done = if made { Done::changed() } else { Done::unchanged() };
    Ok(done.note(id))
}
