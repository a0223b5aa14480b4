//! `eksctl create cluster` and `eksctl delete cluster`.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Service, Taint};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};

use super::world::{Running, World};
use super::{ClusterInfo, LabError, addons, names};
use crate::aws::State;
use crate::eksctl::{self, ClusterConfig, Created};
use crate::kubernetes::cluster::{Cluster, ClusterSpec, Surroundings, cluster_dns};
use crate::kubernetes::controllers::control_loop::is_not_found;
use crate::kubernetes::controllers::pods;
use crate::kubernetes::node::NodeSpec;

/// Creates a cluster. It is made, or unmade, to the end even when the caller stops waiting.
pub(super) async fn create(world: &Arc<World>, yaml: &str) -> Result<ClusterInfo, LabError> {
    let config = ClusterConfig::parse(yaml)?;
    let task = world.tasks.spawn(make(Arc::clone(world), config));
    task.await.ok().flatten().unwrap_or(Err(LabError::Ended))
}

async fn make(world: Arc<World>, config: ClusterConfig) -> Result<ClusterInfo, LabError> {
    let (region, name) = (&config.metadata.region, &config.metadata.name);
    let _alone = world.change(region, name).await;
    let created = world.aws.with(region, |state, context| eksctl::create_cluster(state, context, &config))?;
    let result = start(&world, &config, created).await;
    if let Err(error) = &result {
        tracing::debug!(%error, name, region, "taking back what was made");
        if let Err(error) = unmake(&world, region, name).await {
            tracing::warn!(%error, name, region, "something is left of a cluster that could not be made");
        }
    }
    result
}

async fn start(world: &Arc<World>, config: &ClusterConfig, created: Created) -> Result<ClusterInfo, LabError> {
    let (region, name) = (config.metadata.region.clone(), config.metadata.name.clone());
    let resolver = names::Resolver::start(world, &created.vpc, &region, config.cidr_block()).await;
    let resolver = Arc::new(resolver.map_err(|source| LabError::Resolver { vpc: created.vpc.clone(), source })?);
    let version = config.metadata.version.clone();
    let nodes: Vec<_> = created.nodes.into_iter().map(|node| node_spec(&name, &version, node)).collect();
    let has_nodes = !nodes.is_empty();
    let spec = ClusterSpec {
        name: name.clone(),
        region: region.clone(),
        vpc: created.vpc,
        service_cidr: created.service_cidr,
        vpc_resolver: names::address(config.cidr_block()),
        version,
        listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        nodes,
    };
    let on = Surroundings {
        aws: Arc::clone(&world.aws),
        network: Arc::clone(&world.hosts) as _,
        images: world.images.clone(),
        clock: world.aws.clock().clone(),
    };
    let cluster = match Cluster::start(spec, on).await {
        Ok(cluster) => Arc::new(cluster),
        Err(error) => {
            resolver.stop(&world.hosts).await;
            return Err(error.into());
        }
    };
    let running = Running { cluster: Arc::clone(&cluster), resolver, number: world.next_number() };
    world.clusters.lock().insert((region.clone(), name.clone()), running.clone());
    let endpoint = cluster.url();
    world.aws.with(&region, |state, context| crate::aws::eks::set_endpoint(state, context, &name, &endpoint))?;
    addons::apply(&cluster.client(), cluster_dns(created.service_cidr), &config.addons).await?;
    if has_nodes {
        await_coredns(world, &cluster).await?;
    }
    until_active(world, &region, &name).await;
    running.info()
}

fn node_spec(cluster: &str, version: &str, node: eksctl::Node) -> NodeSpec {
    let mut labels = node.labels;
    let mut label = |key: &str, value: &str| drop(labels.insert(key.to_owned(), value.to_owned()));
    label("alpha.eksctl.io/cluster-name", cluster);
    label("alpha.eksctl.io/nodegroup-name", &node.nodegroup);
    if node.managed {
        label("eks.amazonaws.com/nodegroup", &node.nodegroup);
        label("eks.amazonaws.com/capacityType", "ON_DEMAND");
    } else {
        label("alpha.eksctl.io/instance-id", &node.instance);
        label("node-lifecycle", "on-demand");
    }
    let taint = |taint: eksctl::Taint| Taint {
        key: taint.key,
        value: Some(taint.value).filter(|value| !value.is_empty()),
        effect: taint.effect,
        time_added: None,
    };
    NodeSpec {
        name: node.name,
        instance: node.instance,
        interface: node.interface,
        address: node.address,
        zone: node.zone,
        instance_type: node.instance_type,
        kubelet_version: format!("v{version}.0-eks"),
        labels,
        taints: node.taints.into_iter().map(taint).collect(),
    }
}

/// Waits until all replicas of CoreDNS are available and behind its Service.
async fn await_coredns(world: &World, cluster: &Cluster) -> Result<(), LabError> {
    let informers = cluster.informers();
    let available = async {
        let replicas = informers.deployments.until(|deployments| {
            let coredns = deployments.iter().find(|it| it.name_any() == addons::COREDNS)?;
            let wanted = coredns.spec.as_ref()?.replicas.unwrap_or(1);
            (coredns.status.as_ref()?.available_replicas? >= wanted).then_some(wanted)
        });
        let replicas = usize::try_from(replicas.await).unwrap_or(0);
        let behind_service = informers.slices.until(|slices| {
            let own = slices.iter().filter(|slice| slice.name_any().starts_with(addons::KUBE_DNS));
            let endpoints = own.flat_map(|slice| &slice.endpoints);
            let ready = endpoints.filter(|it| it.conditions.as_ref().is_some_and(|it| it.ready == Some(true)));
            (ready.count() >= replicas).then_some(())
        });
        behind_service.await;
    };
    let done = tokio::time::timeout(world.patience, available).await;
    done.map_err(|_| LabError::TimedOut {
        what: format!("coredns of {} to become available", cluster.spec().name),
        seen: last_seen(cluster),
    })
}

fn last_seen(cluster: &Cluster) -> String {
    let nodes = cluster.informers().nodes.list().len();
    let pods = cluster.informers().pods.list();
    let describe = |pod: &k8s_openapi::api::core::v1::Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let waiting = statuses.iter().filter_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let unscheduled = conditions.iter().filter(|it| it.type_ == "PodScheduled" && it.status == "False");
        let reasons: Vec<_> = waiting.chain(unscheduled.filter_map(|it| it.message.clone())).collect();
        format!("{} {} {}", pod.name_any(), pods::phase(pod), reasons.join(", ")).trim_end().to_owned()
    };
    let pods: Vec<_> = pods.iter().map(|pod| describe(pod)).collect();
    format!("{nodes} nodes; pods: {}", if pods.is_empty() { "none".to_owned() } else { pods.join("; ") })
}

/// Waits until EKS says that the cluster and its node groups are active.
async fn until_active(world: &World, region: &str, name: &str) {
    let at = world.aws.read(region, |state, context| {
        let cluster = state.eks.clusters.get(&(region.to_owned(), name.to_owned()))?;
        let groups = cluster.nodegroups.values().map(|it| it.created + context.latencies.nodegroup_create);
        groups.chain([cluster.created + context.latencies.cluster_create]).max()
    });
    let clock = world.aws.clock();
    if let Some(at) = at.filter(|at| *at > clock.now()) {
        clock.sleep_until(at).await;
    }
}

/// Deletes a cluster. It is deleted to the end even when the caller stops waiting.
pub(super) async fn delete(world: &Arc<World>, region: &str, name: &str) -> Result<(), LabError> {
    let (of, region, name) = (Arc::clone(world), region.to_owned(), name.to_owned());
    let task = world.tasks.spawn(async move {
        let _alone = of.change(&region, &name).await;
        unmake(&of, &region, &name).await
    });
    task.await.ok().flatten().unwrap_or(Err(LabError::Ended))
}

async fn unmake(world: &Arc<World>, region: &str, name: &str) -> Result<(), LabError> {
    let key = (region.to_owned(), name.to_owned());
    let running = world.clusters.lock().get(&key).cloned();
    match running {
        Some(running) => {
            delete_load_balancers(world, &running.cluster).await?;
            running.cluster.stop().await;
            running.resolver.stop(&world.hosts).await;
            world.clusters.lock().remove(&key);
        }
        None if !world.aws.read(region, |state, _| exists(state, region, name)) => {
            return Err(LabError::NotFound { name: name.to_owned() });
        }
        None => {}
    }
    world.aws.with(region, |state, context| eksctl::delete_cluster(state, context, name))?;
    world.load_balancers.update().await;
    let latency = world.aws.read(region, |_, context| context.latencies.cluster_delete);
    if !latency.is_zero() {
        world.aws.clock().sleep(latency).await;
    }
    Ok(())
}

fn is_of(tags: &crate::aws::tags::Tags, name: &str) -> bool {
    tags.get("alpha.eksctl.io/cluster-name").is_some_and(|it| it == name)
}

/// Whether anything of a cluster exists.
fn exists(state: &State, region: &str, name: &str) -> bool {
    state.eks.clusters.contains_key(&(region.to_owned(), name.to_owned()))
        || state.ec2.vpcs.values().any(|vpc| vpc.region == region && is_of(&vpc.tags, name))
}

/// Deletes the Services of type LoadBalancer and waits until their load balancers' interfaces are gone.
async fn delete_load_balancers(world: &World, cluster: &Cluster) -> Result<(), LabError> {
    let is_balanced =
        |service: &&Arc<Service>| service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let services = cluster.informers().services.list();
    let deletions = services.iter().filter(is_balanced).map(|service| async {
        let api: Api<Service> = Api::namespaced(cluster.client(), &service.namespace().unwrap_or_default());
        match api.delete(&service.name_any(), &DeleteParams::default()).await {
            Err(source) if !is_not_found(&source) => {
                Err(LabError::Kubernetes { what: format!("Service {} cannot be deleted", service.name_any()), source })
            }
            _ => Ok(()),
        }
    });
    join_all(deletions).await.into_iter().collect::<Result<(), _>>()?;
    let gone =
        cluster.informers().services.until(|services| (!services.iter().any(|it| is_balanced(&it))).then_some(()));
    tokio::time::timeout(world.patience, gone).await.map_err(|_| {
        let services = cluster.informers().services.list();
        let left: Vec<_> = services.iter().filter(is_balanced).map(|it| it.name_any()).collect();
        LabError::TimedOut {
            what: format!("Services of type LoadBalancer of {} to be deleted", cluster.spec().name),
            seen: left.join(", "),
        }
    })?;
    let vpc = &cluster.spec().vpc;
    loop {
        let last = world.aws.read(&cluster.spec().region, |state, _| {
            let is_here = |interface: &String| {
                let subnet = state.ec2.interfaces.get(interface).and_then(|it| state.ec2.subnets.get(&it.subnet));
                subnet.is_some_and(|subnet| subnet.vpc == *vpc)
            };
            state.elbv2.released.iter().filter(|(_, it)| is_here(it)).map(|(at, _)| *at).max()
        });
        let Some(last) = last else { return Ok(()) };
        world.aws.clock().sleep_until(last).await;
    }
}
