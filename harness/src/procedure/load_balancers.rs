//! "Configure load balancers": a Service that puts an internal NLB in front of each CoreDNS, and the NLB's addresses.

use std::net::Ipv4Addr;

use acrossk8s_aws::Clients;
use acrossk8s_aws::elbv2::types::{LoadBalancer, LoadBalancerStateEnum as State, TargetHealthStateEnum as Health};
use k8s_openapi::api::core::v1::Service;
use kube::Api;

use super::clusters::cluster_of;
use super::omission::Omission;
use super::peering::filter;
use super::steps::{Each, Phase, Scope, Step};
use super::{World, aws_failure, kube_failure, manifest};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Done, Failure, TaskContext};
use crate::topology::{ClusterIndex, Topology};

const HEADING: &str = "Configure load balancers";
const MANIFEST: &str = "dns-lb.yaml";

/// Name of the Service.
pub const SERVICE: &str = "across-cluster-dns-tcp";
/// Namespace of CoreDNS and of the Service.
pub const NAMESPACE: &str = "kube-system";

/// `dns-lb.yaml`.
pub static WRITE_MANIFEST: Step = Step {
    id: "write-dns-service",
    title: "Create the load balancer service definition file",
    heading: HEADING,
    clauses: &["C2.7"],
    phase: Phase::Apply,
    each: Each::All,
    needs: |_, _| Vec::new(),
    commands: |_, _| vec!["# save the Service as dns-lb.yaml".to_owned()],
    calls: &[],
    gap: None,
    omission: Omission::diagnosed(no_service)
        .caught_by(&["dns-service"])
        .stops(|topology, _| topology.indices().map(|index| ("deploy-dns-service", Scope::Cluster(index))).collect()),
    run: |context, _| {
        Box::pin(async move {
            manifest::write(context.world(), MANIFEST, manifest::DNS_LB).await?;
            Ok(Done::changed())
        })
    },
};

/// `kubectl apply -f dns-lb.yaml`.
pub static DEPLOY_SERVICE: Step = Step {
    id: "deploy-dns-service",
    title: "Deploy the load balancer service",
    heading: HEADING,
    clauses: &["C2.7", "C2.8"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, _| vec![("write-dns-service", Scope::All)],
    commands: |_, scope| vec![format!("kubectl --context ${{context_{scope}}} apply -f dns-lb.yaml")],
    calls: &["kubernetes:apply services"],
    gap: None,
    // The others do without this load balancer's addresses, and so nobody edits the Corefile for a third.
    omission: Omission::diagnosed(|topology, scope| match topology.clusters.len() {
        // The Corefiles of the others lack each other's zones too.
        3.. => no_service(topology, scope).and(no_address(topology, scope)),
        _ => no_service(topology, scope),
    })
    .caught_by(&["dns-service"])
    .and_others(&["corefile-zone"])
    .stops(|_, scope| vec![("await-load-balancer", scope)]),
    run: |context, scope| Box::pin(deploy(context, scope)),
};

/// The load balancer's name, and that it is active.
pub static AWAIT_ACTIVE: Step = Step {
    id: "await-load-balancer",
    title: "Get the load balancer name and wait for it to become active, with a healthy target",
    heading: HEADING,
    clauses: &["C2.9", "C2.10"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, scope| vec![("deploy-dns-service", scope), ("get-vpc-id", scope)],
    commands: |topology, scope| match scope {
        Scope::Cluster(index) => vec![
            format!(
                "lb_name_{index}=$(kubectl --context ${{context_{index}}} -n kube-system get svc across-cluster-dns-tcp \
                 -o jsonpath=\"{{.status.loadBalancer.ingress[0].hostname}}\" | cut -d - -f 1)"
            ),
            format!(
                "aws elbv2 describe-load-balancers --names ${{lb_name_{index}}} --region {} --query 'LoadBalancers[*].State' --output text",
                topology.cluster(index).region
            ),
        ],
        _ => Vec::new(),
    },
    calls: &[
        "kubernetes:get services",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    ],
    gap: None,
    omission: Omission::diagnosed(no_address)
        .caught_by(&["corefile-zone"])
        .stops(|_, scope| vec![("get-load-balancer-addresses", scope)]),
    run: |context, scope| Box::pin(await_active(context, scope)),
};

/// The load balancer's addresses.
pub static GET_ADDRESSES: Step = Step {
    id: "get-load-balancer-addresses",
    title: "Check the IP addresses associated with the load balancer",
    heading: HEADING,
    clauses: &["C2.11"],
    phase: Phase::Apply,
    each: Each::Cluster,
    needs: |_, scope| vec![("await-load-balancer", scope)],
    commands: |topology, scope| match scope {
        Scope::Cluster(index) => vec![format!(
            "aws ec2 describe-network-interfaces --region {} --filters Name=description,Values=\"ELB net/${{lb_name_{index}}}*\" \
             --query 'NetworkInterfaces[*].PrivateIpAddress' --output text",
            topology.cluster(index).region
        )],
        _ => Vec::new(),
    },
    calls: &["ec2:DescribeNetworkInterfaces"],
    gap: None,
    omission: Omission::diagnosed(no_address).caught_by(&["corefile-zone"]).stops(|topology, scope| match scope {
        Scope::Cluster(index) => topology.others(index).map(|it| ("edit-coredns", Scope::Cluster(it))).collect(),
        _ => Vec::new(),
    }),
    run: |context, scope| Box::pin(get_addresses(context, scope)),
};

fn no_service(topology: &Topology, scope: Scope) -> Diagnosed {
    Diagnosed::each(Own::DnsServiceMissing, "service", scope.clusters(topology))
}

/// Who does not know the addresses of one cluster edits the Corefile of no other.
fn no_address(topology: &Topology, scope: Scope) -> Diagnosed {
    let all = scope.clusters(topology);
    let others = topology.indices().filter(|index| !all.contains(index));
    Diagnosed::each(Own::CorefileZoneMissing, "configmap", others)
}

async fn deploy(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let index = cluster_of(scope)?;
    let mut made = false;
    for object in manifest::read(context.world(), MANIFEST).await? {
        made |= manifest::apply(&context, index, Some(NAMESPACE), &object).await?;
    }
    Ok(if made { Done::changed() } else { Done::unchanged() })
}

/// The load balancer's name as the document takes it out of the Service's hostname: the part before the first dash.
/// Names made by another controller have dashes themselves, and the document's command then finds nothing.
pub fn name_in(hostname: &str) -> &str {
    hostname.split('-').next().unwrap_or(hostname)
}

pub(crate) async fn hostname_of(context: &TaskContext<World>, index: ClusterIndex) -> Result<String, Failure> {
    let world = context.world();
    let cluster = &world.cluster(index).name;
    let services: Api<Service> = Api::namespaced(world.kubernetes(index).await?, NAMESPACE);
    let patience = world.patience();
    context
        .wait_for(&format!("{cluster} to give {SERVICE} a hostname"), patience.load_balancer, patience.poll, || async {
            let service = services
                .get_opt(SERVICE)
                .await
                .map_err(|error| kube_failure(format!("Service {SERVICE} of {cluster} cannot be read"), &error))?
                .ok_or_else(|| Failure::new(format!("Service {SERVICE} of {cluster} is gone")))?;
            let hostname = service
                .status
                .and_then(|status| status.load_balancer?.ingress?.into_iter().next()?.hostname)
                .filter(|hostname| !hostname.is_empty());
            Ok(hostname
                .map_or_else(|| Condition::NotYet("its status has no hostname yet".to_owned()), Condition::Ready))
        })
        .await
}

async fn describe(clients: &Clients, name: &str) -> Result<Option<LoadBalancer>, Failure> {
    match clients.elbv2.describe_load_balancers().names(name).send().await {
        Ok(answer) => Ok(answer.load_balancers().first().cloned()),
        Err(error) if error.as_service_error().is_some_and(|it| it.is_load_balancer_not_found_exception()) => Ok(None),
        Err(error) => Err(aws_failure(format!("load balancer {name} in {} cannot be read", clients.region), &error)),
    }
}

async fn await_active(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = &world.cluster(index).name;
    let hostname = hostname_of(&context, index).await?;
    let name = name_in(&hostname).to_owned();
    if name == "k8s" {
        return Err(Failure::new(format!(
            "the load balancer of {cluster} was not made by the controller that the document expects"
        ))
        .because(format!(
            "its hostname is {hostname}: the AWS Load Balancer Controller or EKS Auto Mode took the Service"
        ))
        .advise("turn off the controller's mutating webhook (enableServiceMutatorWebhook=false), and Auto Mode"));
    }
    let clients = world.aws(index)?;
    let patience = world.patience();
    let arn = context
        .wait_for(
            &format!("load balancer {name} of {cluster} to become active"),
            patience.load_balancer,
            patience.poll,
            || async {
                let Some(found) = describe(clients, &name).await? else {
                    return Ok(Condition::NotYet("it does not exist".to_owned()));
                };
                let state = found.state();
                Ok(match state.and_then(|state| state.code()) {
                    Some(State::Active | State::ActiveImpaired) => {
                        Condition::Ready(found.load_balancer_arn.unwrap_or_default())
                    }
                    Some(State::Failed) => {
                        return Err(Failure::new(format!("load balancer {name} of {cluster} has failed"))
                            .because(state.and_then(|state| state.reason()).unwrap_or("no reason is given")));
                    }
                    code => Condition::NotYet(format!("it is {}", code.map_or("in no state", |code| code.as_str()))),
                })
            },
        )
        .await?;
    await_healthy_target(&context, clients, &name, &arn).await?;
    world.learn(index, |facts| facts.load_balancer = Some(name.clone()));
    Ok(Done::changed().note(name))
}

/// The document does not look at target health; without a healthy target every later DNS check is a matter of luck.
async fn await_healthy_target(
    context: &TaskContext<World>,
    clients: &Clients,
    name: &str,
    arn: &str,
) -> Result<(), Failure> {
    let patience = context.world().patience();
    let read = |what: &str| format!("the {what} of load balancer {name} cannot be read");
    context
        .wait_for(
            &format!("load balancer {name} to have a healthy target"),
            patience.target_health,
            patience.poll,
            || async {
                let groups = clients
                    .elbv2
                    .describe_target_groups()
                    .load_balancer_arn(arn)
                    .send()
                    .await
                    .map_err(|error| aws_failure(read("target groups"), &error))?;
                let mut seen = Vec::new();
                for group in groups.target_groups() {
                    let health = clients
                        .elbv2
                        .describe_target_health()
                        .set_target_group_arn(group.target_group_arn.clone())
                        .send()
                        .await
                        .map_err(|error| aws_failure(read("target health"), &error))?;
                    for target in health.target_health_descriptions() {
                        let state = target.target_health().and_then(|health| health.state());
                        if state == Some(&Health::Healthy) {
                            return Ok(Condition::Ready(()));
                        }
                        let id = target.target().and_then(|target| target.id()).unwrap_or("?");
                        seen.push(format!("{id} is {}", state.map_or("unknown", |state| state.as_str())));
                    }
                }
                Ok(Condition::NotYet(if seen.is_empty() { "it has no targets".to_owned() } else { seen.join(", ") }))
            },
        )
        .await
}

async fn get_addresses(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let name = world.known(index).load_balancer.ok_or_else(|| Failure::new("the load balancer's name is not known"))?;
    let clients = world.aws(index)?;
    let what = format!("the addresses of load balancer {name} cannot be read");
    let answer = clients
        .ec2
        .describe_network_interfaces()
        .filters(filter("description", &format!("ELB net/{name}*")))
        .send()
        .await
        .map_err(|error| aws_failure(&what, &error))?;
    let mut addresses: Vec<Ipv4Addr> = answer
        .network_interfaces()
        .iter()
        .filter_map(|interface| interface.private_ip_address()?.parse().ok())
        .collect();
    addresses.sort_unstable();
    if addresses.is_empty() {
        return Err(Failure::new(what).because(format!("no interface is described as \"ELB net/{name}*\"")).retry());
    }
    let note = addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
    world.learn(index, |facts| facts.load_balancer_addresses = addresses);
    Ok(Done::changed().note(note))
}
