//! The load balancer of a Kubernetes Service, as AWS's cloud provider makes it.
//!
//! Source: cloud-provider-aws, `pkg/providers/v1`, for Services with the annotation `aws-load-balancer-type: nlb`. Its
//! UDP and TLS ports, its `externalTrafficPolicy: Local`, and load balancers with security groups are not emulated.

mod node_rules;
mod subnets;

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use sha1::Digest as _;

use crate::aws::elbv2::{
    HealthCheckSettings, NewLoadBalancer, NewTargetGroup, listeners, load_balancers, target_groups,
};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, Context, State};

/// A Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLoadBalancer {
    /// Name of the cluster.
    pub cluster: String,
    /// VPC of the cluster.
    pub vpc: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub service: String,
    /// UID: the load balancer's name comes from it.
    pub uid: String,
    /// `aws-load-balancer-internal`.
    pub internal: bool,
    /// `aws-load-balancer-cross-zone-load-balancing-enabled`.
    pub cross_zone: bool,
    /// Port and node port of each TCP port.
    pub ports: Vec<(u16, u16)>,
    /// Instances of all ready nodes.
    pub instances: Vec<String>,
    /// `spec.loadBalancerSourceRanges`: the clients that are let in. None means everybody.
    pub source_ranges: Vec<Ipv4Net>,
    /// `aws-load-balancer-additional-resource-tags`.
    pub extra_tags: Tags,
}

/// What was ensured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// DNS name: the Service's hostname.
    pub hostname: String,
    /// ARN.
    pub arn: String,
}

impl ServiceLoadBalancer {
    /// Name of the load balancer: `a` and the UID without dashes, 32 characters at most.
    pub fn name(&self) -> String {
        let uid = self.uid.chars().filter(|c| *c != '-');
        std::iter::once('a').chain(uid).take(32).collect()
    }

    fn tags(&self) -> Tags {
        let mut tags = self.extra_tags.clone();
        tags.insert(SERVICE_TAG.to_owned(), format!("{}/{}", self.namespace, self.service));
        tags.insert(cluster_tag(&self.cluster), "owned".to_owned());
        tags
    }

    /// Name of the target group for a port: with another node port it is another group.
    fn target_group_name(&self, port: u16, node_port: u16) -> String {
        let cut = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        let interval = HealthCheckSettings::CLOUD_PROVIDER.interval_seconds;
        let Self { cluster, namespace, service, .. } = self;
        let hash =
            sha1::Sha1::digest(format!("{cluster}{namespace}{service}{port}{node_port}TCPinstanceTCP{interval}"));
        let hash: String = hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        format!("k8s-{}-{}-{hash}", cut(namespace), cut(service))
    }
}

const SERVICE_TAG: &str = "kubernetes.io/service-name";

fn cluster_tag(cluster: &str) -> String {
    format!("kubernetes.io/cluster/{cluster}")
}

/// An error of the cloud provider's own, which is nobody's answer. Its code is the reason of the event that tells of it.
fn failed(message: impl Into<String>) -> AwsError {
    AwsError::client("SyncLoadBalancerFailed", message)
}

/// Makes the load balancer, its listeners, target groups and targets, and the rules on the nodes' security groups; what is
/// there already stays, and what the Service does not ask for any more goes. Scheme and subnets of an existing load
/// balancer are never changed.
///
/// # Errors
/// `SyncLoadBalancerFailed` without a port or a usable subnet, or when it is not clear on which security group of an
/// instance rules belong; what EC2 and ELBv2 say. What was made before the error stays, and the next call goes on.
pub fn ensure_service_load_balancer(
    state: &mut State,
    context: &Context,
    wanted: &ServiceLoadBalancer,
) -> Result<Ensured, AwsError> {
    if wanted.ports.is_empty() {
        return Err(failed("requested load balancer with no ports"));
    }
    let arn = match load_balancers::named(state, context, &wanted.name()) {
        Some((arn, _)) => arn.clone(),
        None => create(state, context, wanted)?,
    };
    let cross_zone = ("load_balancing.cross_zone.enabled".to_owned(), wanted.cross_zone.to_string());
    load_balancers::modify_attributes(state, context, &arn, &[cross_zone])?;
    for (port, node_port) in &wanted.ports {
        sync_port(state, context, wanted, &arn, *port, *node_port)?;
    }
    remove_ports(state, context, wanted, &arn)?;
    node_rules::sync(state, context, wanted, &arn)?;
    let hostname = load_balancers::find(state, context, &arn)?.dns_name();
    Ok(Ensured { hostname, arn })
}

fn create(state: &mut State, context: &Context, wanted: &ServiceLoadBalancer) -> Result<String, AwsError> {
    let subnets = subnets::choose(state, wanted);
    if subnets.is_empty() {
        return Err(failed("could not find any suitable subnets for creating the ELB"));
    }
    let new = NewLoadBalancer {
        name: wanted.name(),
        scheme: if wanted.internal { "internal" } else { "internet-facing" }.to_owned(),
        subnets,
        security_groups: Vec::new(),
        tags: wanted.tags(),
    };
    load_balancers::create(state, context, new)
}

/// One port: its target group with the right targets, and a listener that forwards to it.
fn sync_port(
    state: &mut State,
    context: &Context,
    wanted: &ServiceLoadBalancer,
    arn: &str,
    port: u16,
    node_port: u16,
) -> Result<(), AwsError> {
    let name = wanted.target_group_name(port, node_port);
    let group = NewTargetGroup {
        health_check: HealthCheckSettings::CLOUD_PROVIDER,
        ..NewTargetGroup::tcp(&name, &wanted.vpc, node_port, wanted.tags())
    };
    let group = target_groups::create(state, context, group)?;
    sync_targets(state, context, wanted, &group)?;
    let existing = listeners::at(state, arn, port).map(|(listener, it)| (listener.clone(), it.target_group.clone()));
    match existing {
        None => {
            listeners::create(state, context, arn, "TCP", port, &group, wanted.tags())?;
        }
        Some((_, old)) if old == group => {}
        Some((listener, old)) => {
            listeners::modify(state, context, &listener, None, None, Some(&group))?;
            target_groups::delete(state, context, &old)?;
        }
    }
    Ok(())
}

/// Registers what is missing and deregisters the rest. Instances that do not run are no targets.
fn sync_targets(
    state: &mut State,
    context: &Context,
    wanted: &ServiceLoadBalancer,
    group: &str,
) -> Result<(), AwsError> {
    let running = |id: &&String| state.ec2.instances.get(*id).is_some_and(|it| it.state == "running");
    let expected: BTreeSet<String> = wanted.instances.iter().filter(running).cloned().collect();
    let registered: BTreeSet<String> = target_groups::find(state, context, group)?.targets.keys().cloned().collect();
    let gone: Vec<_> = registered.difference(&expected).cloned().collect();
    let new: Vec<_> = expected.difference(&registered).map(|id| (id.clone(), None)).collect();
    target_groups::deregister(state, context, group, &gone)?;
    target_groups::register(state, context, group, &new)
}

/// Deletes the listeners, with their target groups, of ports that the Service has no more.
fn remove_ports(state: &mut State, context: &Context, wanted: &ServiceLoadBalancer, arn: &str) -> Result<(), AwsError> {
    let asked = |port: u16| wanted.ports.iter().any(|(asked, _)| *asked == port);
    let extra: Vec<_> = state
        .elbv2
        .listeners
        .iter()
        .filter(|(_, it)| it.load_balancer == arn && !asked(it.port))
        .map(|(listener, it)| (listener.clone(), it.target_group.clone()))
        .collect();
    for (listener, group) in extra {
        listeners::delete(state, context, &listener)?;
        target_groups::delete(state, context, &group)?;
    }
    Ok(())
}

/// Deletes the load balancer of a Service, then its target groups, then the rules on the nodes' security groups. What is
/// gone is no error. (The cloud provider leaves target groups and rules behind when somebody else has deleted the load
/// balancer; here they go, too.)
///
/// # Errors
/// What ELBv2 says: `OperationNotPermitted` under deletion protection, above all.
pub fn delete_service_load_balancer(
    state: &mut State,
    context: &Context,
    cluster: &str,
    namespace: &str,
    service: &str,
) -> Result<(), AwsError> {
    let service = format!("{namespace}/{service}");
    let ours = |region: &str, tags: &Tags| {
        region == context.region && tags.get(SERVICE_TAG) == Some(&service) && tags.contains_key(&cluster_tag(cluster))
    };
    let found: Vec<(String, String)> = state
        .elbv2
        .load_balancers
        .iter()
        .filter(|(_, it)| ours(&it.region, &it.tags))
        .map(|(arn, it)| (arn.clone(), it.name.clone()))
        .collect();
    for (arn, _) in &found {
        load_balancers::delete(state, context, arn)?;
    }
    let groups = state.elbv2.target_groups.iter().filter(|(_, it)| ours(&it.region, &it.tags));
    let groups: Vec<String> = groups.map(|(arn, _)| arn.clone()).collect();
    for arn in groups {
        target_groups::delete(state, context, &arn)?;
    }
    for (_, name) in found {
        node_rules::remove(state, context, cluster, &name)?;
    }
    Ok(())
}
