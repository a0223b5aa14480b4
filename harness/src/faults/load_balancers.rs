//! The load balancer of cluster 1 as people get it wrong, or as it changes behind their back ("Configure load
//! balancers").

use acrossk8s_aws::ec2::types::Tag;
use acrossk8s_aws::elbv2::types::{LoadBalancerAttribute, TargetDescription};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Fault, ONE, TWO};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Condition, Done, Failure, TaskContext};
use crate::procedure::load_balancers::{NAMESPACE, SERVICE, hostname_of, name_in};
use crate::procedure::{STEPS, Scope, World, aws_failure, filter, kube_failure, manifest};
use crate::topology::{ClusterIndex, Topology};

const DEPLOY: &str = "deploy-dns-service/1";
const KNOWN: &str = "get-load-balancer-addresses/1";
const LISTENS: &str = "service.beta.kubernetes.io/aws-load-balancer-";

pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    // Without the addresses of cluster 1 no other Corefile is edited, for a third cluster neither.
    let (others, unedited): (&[_], _) = match topology.clusters.len() {
        3.. => (&["corefile-zone"], Diagnosed::each(Own::CorefileZoneMissing, "configmap", topology.others(ONE))),
        _ => (&[], Diagnosed::NoProbeFails),
    };
    let mut faults = vec![
        deployed("internet-facing-load-balancer", "the load balancer of cluster 1 faces the internet", Diagnosed::NoProbeFails, "internal"),
        deployed("load-balancer-of-one-zone", "the load balancer of cluster 1 is not cross-zone", Diagnosed::NoProbeFails, "cross-zone-load-balancing-enabled"),
        deployed("classic-load-balancer", "the Service of cluster 1 does not ask for a Network Load Balancer", Diagnosed::at(Own::DnsLoadBalancerMissing, "service", ONE).and(unedited.clone()), "type")
            .caught_by(others)
            .stops(&["await-load-balancer/1"]),
        drifted("service-selects-nothing", "the Service of cluster 1 selects pods that there are not", Diagnosed::at(Own::DnsServiceWithoutEndpoints, "service", ONE), |context| async move {
            merge(&context, json!({ "spec": { "selector": { "k8s-app": "coredns" } } })).await
        })
        .caught_by(&["dns-service"]),
        drifted("service-over-udp", "the Service of cluster 1 has its port for UDP", Diagnosed::at(Own::DnsServicePortMismatch, "service", ONE), |context| async move {
            let port = json!({ "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 });
            merge(&context, json!({ "spec": { "ports": [port] } })).await
        })
        .caught_by(&["dns-service"]),
        drifted("service-with-another-port", "the Service of cluster 1 listens on port 5353", Diagnosed::at(Own::DnsServicePortMismatch, "service", ONE), |context| async move {
            let port = json!({ "name": "dns", "port": 5353, "protocol": "TCP", "targetPort": 53 });
            merge(&context, json!({ "spec": { "ports": [port] } })).await
        })
        .caught_by(&["dns-service"]),
        drifted("service-made-anew", "the Service of cluster 1 is made anew: the Corefiles get stale addresses", Diagnosed::each(Own::CorefileUpstreamsMismatch, "configmap", topology.others(ONE)), make_anew)
            .caught_by(&["corefile-upstreams"]),
        drifted("service-with-a-wrong-range", "the Service of cluster 1 gets a source range that is none", Diagnosed::NoProbeFails, |context| async move {
            merge(&context, json!({ "spec": { "loadBalancerSourceRanges": ["anywhere"] } })).await
        })
        .caught_by(&["dns-service-warnings"]),
        drifted("host-name-of-another-controller", "another controller takes the Service of cluster 1 over", Diagnosed::NoProbeFails, |context| async move {
            let region = &context.world().cluster(ONE).region;
            let hostname = format!("k8s-kubesyst-acrosscl-0123456789-0123456789abcdef.elb.{region}.amazonaws.com");
            let status = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": hostname }] } } });
            let patched = api(&context).await?.patch_status(SERVICE, &PatchParams::default(), &Patch::Merge(status)).await;
            patched.map(drop).map_err(|error| kube_failure("the status cannot be changed", &error))
        })
        .caught_by(&["load-balancer-name", "load-balancer-exists"]),
        drifted("load-balancer-deleted", "the load balancer of cluster 1 is deleted past its Service", Diagnosed::at(Own::DnsLoadBalancerMissing, "service", ONE), |context| async move {
            let delete = context.world().aws(ONE)?.elbv2.delete_load_balancer().load_balancer_arn(arn(&context).await?);
            delete.send().await.map(drop).map_err(|error| aws_failure("the load balancer cannot be deleted", &error))
        })
        .caught_by(&["load-balancer-exists"]),
        drifted("cross-zone-turned-off", "cross-zone balancing of cluster 1 is turned off past its Service", Diagnosed::NoProbeFails, |context| async move {
            let off = LoadBalancerAttribute::builder().key("load_balancing.cross_zone.enabled").value("false").build();
            let change = context.world().aws(ONE)?.elbv2.modify_load_balancer_attributes();
            let changed = change.load_balancer_arn(arn(&context).await?).attributes(off).send().await;
            changed.map(drop).map_err(|error| aws_failure("the attribute cannot be changed", &error))
        })
        .caught_by(&["load-balancer-form"]),
        drifted("listener-on-another-port", "the listener of cluster 1 is moved to port 5353", Diagnosed::at("ELBV2_LISTENERS_MISMATCH", "load-balancer", ONE), |context| async move {
            let elb = &context.world().aws(ONE)?.elbv2;
            let read = elb.describe_listeners().load_balancer_arn(arn(&context).await?).send().await;
            let read = read.map_err(|error| aws_failure("the listeners cannot be read", &error))?;
            let listener = read.listeners().first().and_then(|it| it.listener_arn()).unwrap_or_default();
            let changed = elb.modify_listener().listener_arn(listener).port(5353).send().await;
            changed.map(drop).map_err(|error| aws_failure("the listener cannot be changed", &error))
        })
        .caught_by(&["load-balancer-form"]),
        drifted("targets-deregistered", "the targets of cluster 1 are deregistered", Diagnosed::at("ELBV2_LISTENER_HAS_NO_TG", "load-balancer", ONE), deregister)
            .caught_by(&["load-balancer-targets"]),
        drifted("interface-of-another-load-balancer", "an interface of cluster 1 bears the load balancer's description", Diagnosed::NoProbeFails, strange_interface)
            .before("delete-nginx/1", |context| async move { remove_strange_interfaces(&context).await })
            .caught_by(&["load-balancer-addresses"]),
        Fault::new("no-subnet-for-the-load-balancer", "the subnets of cluster 1 are tagged for another cluster", Diagnosed::at(Own::DnsLoadBalancerMissing, "service", ONE).and(unedited))
            .before(DEPLOY, |context| async move { tag_subnets(&context).await })
            .needs(DEPLOY, |_| vec!["get-vpc-id/1".to_owned()])
            .caught_by(&["dns-service-hostname", "dns-service-warnings"])
            .caught_by(others)
            .stops(&["await-load-balancer/1"]),
    ];
    let mut early = Fault::new(
        "load-balancer-not-awaited",
        "the load balancers take hours, and nobody waits for them",
        Diagnosed::each("BAD_STATE", "load-balancer", topology.indices()),
    )
    .caught_by(&["load-balancer-active"]);
    early.lab.load_balancer_provision = Some(std::time::Duration::from_secs(36_000));
    for index in topology.indices() {
        early = early.instead(&crate::procedure::task_id("await-load-balancer", Scope::Cluster(index)), not_awaited);
    }
    faults.push(early);
    faults
}

/// The Service without one of its annotations.
fn deployed(id: &str, title: &str, diagnosed: Diagnosed, annotation: &'static str) -> Fault {
    Fault::new(id, title, diagnosed)
        .instead(DEPLOY, move |context, _| async move {
            let wrong: Vec<_> =
                manifest::DNS_LB.lines().filter(|it| !it.contains(&format!("{LISTENS}{annotation}:"))).collect();
            manifest::apply_all(&context, ONE, Some(NAMESPACE), &wrong.join("\n")).await?;
            Ok(Done::changed())
        })
        .caught_by(&["dns-service"])
}

/// What happens to the load balancer once its addresses were noted.
fn drifted<F>(
    id: &str,
    title: &str,
    diagnosed: Diagnosed,
    mishap: impl Fn(TaskContext<World>) -> F + Send + Sync + 'static,
) -> Fault
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Fault::new(id, title, diagnosed).after(KNOWN, mishap)
}

async fn api(context: &TaskContext<World>) -> Result<Api<Service>, Failure> {
    Ok(Api::namespaced(context.world().kubernetes(ONE).await?, NAMESPACE))
}

async fn merge(context: &TaskContext<World>, patch: Value) -> Result<(), Failure> {
    let patched = api(context).await?.patch(SERVICE, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(|error| kube_failure("the Service cannot be changed", &error))
}

async fn arn(context: &TaskContext<World>) -> Result<String, Failure> {
    let world = context.world();
    let name = world.known(ONE).load_balancer.unwrap_or_default();
    let found = world.aws(ONE)?.elbv2.describe_load_balancers().names(name).send().await;
    let found = found.map_err(|error| aws_failure("the load balancer cannot be read", &error))?;
    let arn = found.load_balancers().first().and_then(|it| it.load_balancer_arn());
    arn.map(str::to_owned).ok_or_else(|| Failure::new("the load balancer is gone"))
}

async fn make_anew(context: TaskContext<World>) -> Result<(), Failure> {
    let api = api(&context).await?;
    let read = |error: &kube::Error| kube_failure("the Service cannot be made anew", error);
    api.delete(SERVICE, &DeleteParams::default()).await.map_err(|error| read(&error))?;
    let patience = context.world().patience();
    context
        .wait_for("the Service to be gone", patience.deletion, patience.poll, || async {
            let there = api.get_opt(SERVICE).await.map_err(|error| read(&error))?.is_some();
            Ok(if there { Condition::NotYet("it is there".to_owned()) } else { Condition::Ready(()) })
        })
        .await?;
    manifest::apply_all(&context, ONE, Some(NAMESPACE), manifest::DNS_LB).await?;
    for step in STEPS.iter().filter(|step| step.id == "await-load-balancer") {
        (step.run)(context.clone(), Scope::Cluster(ONE)).await?;
    }
    Ok(())
}

async fn deregister(context: TaskContext<World>) -> Result<(), Failure> {
    let elb = &context.world().aws(ONE)?.elbv2;
    let groups = elb.describe_target_groups().load_balancer_arn(arn(&context).await?).send().await;
    let groups = groups.map_err(|error| aws_failure("the target groups cannot be read", &error))?;
    for group in groups.target_groups().iter().filter_map(|group| group.target_group_arn()) {
        let health = elb.describe_target_health().target_group_arn(group).send().await;
        let health = health.map_err(|error| aws_failure("the targets cannot be read", &error))?;
        let targets: Vec<TargetDescription> =
            health.target_health_descriptions().iter().filter_map(|it| it.target().cloned()).collect();
        let gone = elb.deregister_targets().target_group_arn(group).set_targets(Some(targets)).send().await;
        gone.map_err(|error| aws_failure("the targets cannot be deregistered", &error))?;
    }
    Ok(())
}

const STRANGE: &str = "of another load balancer";

async fn strange_interface(context: TaskContext<World>) -> Result<(), Failure> {
    let known = context.world().known(ONE);
    let (name, subnet) = (known.load_balancer.unwrap_or_default(), known.subnets.first().cloned().unwrap_or_default());
    let new = context.world().aws(ONE)?.ec2.create_network_interface().subnet_id(subnet);
    let made = new.description(format!("ELB net/{name}/{STRANGE}")).send().await;
    made.map(drop).map_err(|error| aws_failure("the interface cannot be made", &error))
}

/// No journal knows the interface, and the subnet could not be deleted with it.
async fn remove_strange_interfaces(context: &TaskContext<World>) -> Result<(), Failure> {
    let ec2 = &context.world().aws(ONE)?.ec2;
    let read = ec2.describe_network_interfaces().filters(filter("description", &format!("ELB net/*{STRANGE}")));
    let found = read.send().await.map_err(|error| aws_failure("the interfaces cannot be read", &error))?;
    for id in found.network_interfaces().iter().filter_map(|interface| interface.network_interface_id()) {
        let gone = ec2.delete_network_interface().network_interface_id(id).send().await;
        gone.map_err(|error| aws_failure(format!("{id} cannot be deleted"), &error))?;
    }
    Ok(())
}

async fn tag_subnets(context: &TaskContext<World>) -> Result<(), Failure> {
    let world = context.world();
    let (name, other) = (&world.cluster(ONE).name, &world.cluster(TWO).name);
    let tag = |cluster: &str| Tag::builder().key(format!("kubernetes.io/cluster/{cluster}"));
    let (clients, subnets) = (world.aws(ONE)?, Some(world.known(ONE).subnets));
    let failed = "the subnets cannot be tagged";
    let gone = clients.ec2.delete_tags().set_resources(subnets.clone()).tags(tag(name).build()).send().await;
    gone.map_err(|error| aws_failure(failed, &error))?;
    let made = clients.ec2.create_tags().set_resources(subnets).tags(tag(other).value("owned").build()).send().await;
    made.map(drop).map_err(|error| aws_failure(failed, &error))
}

/// The name of the load balancer, whatever its state.
async fn not_awaited(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let Scope::Cluster(index): Scope = scope else { return Ok(Done::unchanged()) };
    let index: ClusterIndex = index;
    let hostname = hostname_of(&context, index).await?;
    context.world().learn(index, |facts| facts.load_balancer = Some(name_in(&hostname).to_owned()));
    Ok(Done::changed())
}
