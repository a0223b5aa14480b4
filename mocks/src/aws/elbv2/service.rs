//! The load balancer of a Kubernetes Service, as AWS's cloud provider makes it.
//!
//! Source: cloud-provider-aws, its service controller for the annotation `aws-load-balancer-type: nlb`.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use sha1::Digest as _;

use crate::aws::ec2::SecurityGroupRule;
use crate::aws::elbv2::{NewLoadBalancer, NewTargetGroup, listeners, load_balancers, target_groups};
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
        let mut name = format!("a{}", self.uid.replace('-', ""));
        name.truncate(32);
        name
    }

    fn tags(&self) -> Tags {
        let mut tags = self.extra_tags.clone();
        tags.insert("kubernetes.io/service-name".to_owned(), format!("{}/{}", self.namespace, self.service));
        tags.insert(cluster_tag(&self.cluster), "owned".to_owned());
        tags
    }

    /// Name of the target group for a port.
    fn target_group_name(&self, port: u16, node_port: u16) -> String {
        let cut = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        let hash = sha1::Sha1::digest(format!("{}/{port}/{node_port}", self.uid));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).take(5).collect();
        format!("k8s-{}-{}-{hash}", cut(&self.namespace), cut(&self.service))
    }
}

fn cluster_tag(cluster: &str) -> String {
    format!("kubernetes.io/cluster/{cluster}")
}

/// Makes the load balancer, its listeners, target groups, targets and the rules on the nodes; what is there already stays.
///
/// # Errors
/// `InvalidConfigurationRequest` without a usable subnet or with several tagged security groups on an instance; what EC2
/// and ELBv2 say.
pub fn ensure_service_load_balancer(
    state: &mut State,
    context: &Context,
    wanted: &ServiceLoadBalancer,
) -> Result<Ensured, AwsError> {
    let subnets = subnets(state, wanted);
    let new = NewLoadBalancer {
        name: wanted.name(),
        scheme: if wanted.internal { "internal" } else { "internet-facing" }.to_owned(),
        subnets: subnets.clone(),
        security_groups: Vec::new(),
        tags: wanted.tags(),
    };
    let arn = load_balancers::create(state, context, new)?;
    let cross_zone = ("load_balancing.cross_zone.enabled".to_owned(), wanted.cross_zone.to_string());
    load_balancers::modify_attributes(state, context, &arn, &[cross_zone])?;
    let groups = node_groups(state, wanted)?;
    for (port, node_port) in &wanted.ports {
        let name = wanted.target_group_name(*port, *node_port);
        let group = NewTargetGroup::tcp(&name, &wanted.vpc, *node_port, wanted.tags());
        let group = target_groups::create(state, context, group)?;
        listeners::create(state, context, &arn, "TCP", *port, &group, wanted.tags())?;
        let there: Vec<String> = target_groups::find(state, context, &group)?.targets.keys().cloned().collect();
        let gone: Vec<_> = there.into_iter().filter(|it| !wanted.instances.contains(it)).collect();
        target_groups::deregister(state, context, &group, &gone)?;
        let targets: Vec<_> = wanted.instances.iter().map(|it| (it.clone(), None)).collect();
        target_groups::register(state, context, &group, &targets)?;
        for security_group in &groups {
            open(state, context, security_group, &wanted.name(), *node_port)?;
        }
    }
    let hostname = load_balancers::find(state, context, &arn)?.dns_name();
    Ok(Ensured { hostname, arn })
}

/// Deletes the load balancer of a Service, then its target groups, then the rules on the nodes. What is gone is no error.
///
/// # Errors
/// What ELBv2 says.
pub fn delete_service_load_balancer(
    state: &mut State,
    context: &Context,
    cluster: &str,
    namespace: &str,
    service: &str,
) -> Result<(), AwsError> {
    let service = format!("{namespace}/{service}");
    let ours = |tags: &Tags| {
        tags.get("kubernetes.io/service-name") == Some(&service) && tags.contains_key(&cluster_tag(cluster))
    };
    let here = |region: &str| region == context.region;
    let found: Vec<(String, String)> = state
        .elbv2
        .load_balancers
        .iter()
        .filter(|(_, it)| here(&it.region) && ours(&it.tags))
        .map(|(arn, it)| (arn.clone(), it.name.clone()))
        .collect();
    for (arn, _) in &found {
        load_balancers::delete(state, context, arn)?;
    }
    let groups: Vec<String> = state
        .elbv2
        .target_groups
        .iter()
        .filter(|(_, it)| here(&it.region) && ours(&it.tags))
        .map(|(arn, _)| arn.clone())
        .collect();
    for arn in groups {
        target_groups::delete(state, context, &arn)?;
    }
    let names: BTreeSet<_> = found.into_iter().map(|(_, name)| name).collect();
    for group in state.ec2.security_groups.values_mut() {
        group.rules.retain(|_, rule| {
            let description = rule.description.as_deref().unwrap_or_default();
            let name = description.strip_prefix("kubernetes.io/rule/nlb/").and_then(|it| it.split_once('='));
            name.is_none_or(|(_, name)| !names.contains(name))
        });
    }
    Ok(())
}

/// One subnet for each zone: an internal load balancer prefers those tagged for it, then those of the cluster, then the
/// lowest id.
fn subnets(state: &State, wanted: &ServiceLoadBalancer) -> Vec<String> {
    let role = if wanted.internal { "kubernetes.io/role/internal-elb" } else { "kubernetes.io/role/elb" };
    let mut best: BTreeMap<&str, (bool, bool, &str)> = BTreeMap::new();
    for (id, subnet) in state.ec2.subnets.iter().filter(|(_, it)| it.vpc == wanted.vpc) {
        // `false` sorts first.
        let rank =
            (!subnet.tags.contains_key(role), !subnet.tags.contains_key(&cluster_tag(&wanted.cluster)), id.as_str());
        let entry = best.entry(&subnet.availability_zone).or_insert(rank);
        *entry = (*entry).min(rank);
    }
    best.into_values().map(|(_, _, id)| id.to_owned()).collect()
}

/// For each instance its one security group that is tagged for the cluster, or its only one: rules are put on it.
fn node_groups(state: &State, wanted: &ServiceLoadBalancer) -> Result<BTreeSet<String>, AwsError> {
    let tag = cluster_tag(&wanted.cluster);
    let mut found = BTreeSet::new();
    for instance in &wanted.instances {
        let interface = state.ec2.instances.get(instance).and_then(|it| state.ec2.interfaces.get(&it.interface));
        let groups = interface.map(|it| it.groups.as_slice()).unwrap_or_default();
        let tagged: Vec<_> = groups
            .iter()
            .filter(|id| state.ec2.security_groups.get(*id).is_some_and(|group| group.tags.contains_key(&tag)))
            .collect();
        match (tagged.as_slice(), groups) {
            ([one], _) => found.insert((*one).clone()),
            ([], [one]) => found.insert(one.clone()),
            ([], _) => continue,
            _ => {
                let message = format!("Multiple tagged security groups found for instance {instance}");
                return Err(AwsError::client("InvalidConfigurationRequest", message));
            }
        };
    }
    Ok(found)
}

/// Opens the node port for clients and the path for MTU discovery. A rule for health checks of its own is not needed
/// where clients may come from anywhere.
fn open(state: &mut State, context: &Context, group: &str, name: &str, node_port: u16) -> Result<(), AwsError> {
    let port = i32::from(node_port);
    let anywhere = Ipv4Net::default();
    for rule in [
        SecurityGroupRule::cidr(false, "tcp", (port, port), anywhere)
            .described(format!("kubernetes.io/rule/nlb/client={name}")),
        SecurityGroupRule::cidr(false, "icmp", (3, 4), anywhere)
            .described(format!("kubernetes.io/rule/nlb/mtu={name}")),
    ] {
        let there =
            state.ec2.security_groups.get(group).is_some_and(|it| it.rules.values().any(|own| own.allows_same(&rule)));
        if !there {
            state.ec2.authorize(&mut state.ids, context, group, vec![rule])?;
        }
    }
    Ok(())
}
