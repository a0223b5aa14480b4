//! `eksctl create cluster`: the cluster's stack, its add-ons, and the stacks of its node groups.

use ipnet::Ipv4Net;

use super::config::{Addon, ClusterConfig};
use super::delete::{delete_stacks, stack_exists};
use super::network;
use super::node_groups::{self, Node, Site};
use super::security_groups::{self, Groups};
use super::stack::{Stack, cluster_stack_name};
use crate::aws::eks::{self, NewAddon, NewCluster, versions};
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// Add-ons that a cluster gets unless the file says otherwise.
const DEFAULT_ADDONS: [&str; 4] = ["coredns", "kube-proxy", "metrics-server", "vpc-cni"];

/// A cluster that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// VPC.
    pub vpc: String,
    /// All subnets, the public ones first.
    pub subnets: Vec<String>,
    /// Nodes, in the order of the node groups in the file: unmanaged ones first.
    pub nodes: Vec<Node>,
    /// Service CIDR block.
    pub service_cidr: Ipv4Net,
}

/// Makes a cluster in the region of the request. When a part of it cannot be made, nothing of it remains. (eksctl leaves a
/// stack that was rolled back, to be deleted by hand.)
///
/// The URL of its Kubernetes API is told later, with [`eks::set_endpoint`].
///
/// # Errors
/// `AlreadyExistsException` while anything of the stack of that name is left; `ResourceInUseException` for the name of a
/// cluster that eksctl has not made; `InvalidParameterException` for the file of another region, or for what it asks for
/// and there is not; what EC2 and EKS say, of quotas for one.
pub fn create_cluster(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<Created, AwsError> {
    let name = &config.metadata.name;
    if config.metadata.region != context.region {
        let message = format!("metadata.region is {}, not {}", config.metadata.region, context.region);
        return Err(AwsError::client("InvalidParameterException", message));
    }
    let stack = cluster_stack_name(name);
    if stack_exists(state, context, &stack) {
        return Err(AwsError::client("AlreadyExistsException", format!("Stack [{stack}] already exists")));
    }
    if eks::find(state, context, name).is_ok() {
        let message = format!("Cluster already exists with name: {name}");
        return Err(AwsError::with_status(409, "ResourceInUseException", message));
    }
    let created = build(state, context, config);
    if created.is_err() {
        // Nothing else can hold on to it yet; and if it did, the first error is the one to tell.
        let _ = delete_stacks(state, context, name);
    }
    created
}

fn build(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<Created, AwsError> {
    let name = &config.metadata.name;
    let stack = Stack::of_cluster(state, context, config);
    let network = network::create(state, context, config, &stack)?;
    let (control_plane, shared) = security_groups::create(state, context, &stack, &network.vpc)?;
    let new = NewCluster {
        name: name.clone(),
        version: config.metadata.version.clone(),
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{}-ServiceRole", stack.name),
        subnets: network.all(),
        security_groups: vec![control_plane.clone()],
        service_cidr: Some(config.service_cidr()),
        tags: stack.tags("ControlPlane"),
    };
    let cluster = eks::create_cluster(state, context, new)?;
    let groups = Groups { control_plane, shared, cluster };
    security_groups::connect(state, context, &groups)?;
    create_addons(state, context, config)?;
    let site = Site { config, network: &network, groups: &groups };
    let mut nodes = Vec::new();
    for (group, managed) in config.groups() {
        nodes.extend(node_groups::create(state, context, &site, group, managed)?);
    }
    Ok(Created { subnets: network.all(), vpc: network.vpc, nodes, service_cidr: config.service_cidr() })
}

fn create_addons(state: &mut State, context: &Context, config: &ClusterConfig) -> Result<(), AwsError> {
    let asked = |name: &str| config.addons.iter().any(|addon| addon.name == name);
    let defaults = DEFAULT_ADDONS.into_iter().filter(|name| !config.without_default_addons() && !asked(name));
    let mut all: Vec<NewAddon> =
        defaults.map(|name| NewAddon { name: name.to_owned(), ..NewAddon::default() }).collect();
    all.extend(config.addons.iter().map(|addon| new_addon(addon, &config.metadata.version)));
    for mut addon in all {
        addon.tags.extend(config.metadata.tags.clone());
        eks::create_addon(state, context, &config.metadata.name, addon)?;
    }
    Ok(())
}

/// eksctl completes a version such as `1.13.2` to a build.
fn new_addon(addon: &Addon, kubernetes: &str) -> NewAddon {
    let asked = addon.version.strip_prefix('v').unwrap_or(&addon.version);
    let version = match asked {
        "" | "default" | "latest" => None,
        build if build.contains("-eksbuild.") => Some(format!("v{build}")),
        short => {
            let known = versions::addon(&addon.name, kubernetes);
            let fits = |build: &String| build.starts_with(&format!("v{short}-"));
            Some(known.filter(fits).unwrap_or_else(|| addon.version.clone()))
        }
    };
    NewAddon {
        name: addon.name.clone(),
        version,
        configuration: addon.configuration_values.clone(),
        tags: addon.tags.clone(),
    }
}
