//! "Step 1. Start the Kubernetes cluster": configuration files, clusters and their contexts, and the namespaces that the
//! document needs later and never creates.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::omission::Omission;
use super::resource::{Found, RUN_TAG, Resource};
use super::steps::{Each, Phase, Scope, Step};
use super::world::context_of;
use super::{World, aws_failure, cluster_config, kube_failure};
use crate::diagnosis::{Diagnosed, Own};
use crate::engine::{Done, Failure, TaskContext};
use crate::topology::ClusterIndex;

const HEADING: &str = "Step 1. Start the Kubernetes cluster";

/// `cluster_N.yaml`.
pub static WRITE_CONFIG: Step = Step {
    id: "write-cluster-config",
    title: "Define the configuration file of the cluster",
    heading: HEADING,
    clauses: &["C1.1", "C1.2"],
    phase: Phase::Provision,
    each: Each::Cluster,
    needs: |_, _| Vec::new(),
    commands: |_, scope| vec![format!("# save the ClusterConfig as cluster_{scope}.yaml")],
    calls: &[],
    gap: None,
    omission: Omission::no_probe_fails().stops(|_, scope| vec![("create-cluster", scope)]),
    run: |context, scope| Box::pin(write_config(context, scope)),
};

/// `eksctl create cluster`.
pub static CREATE_CLUSTER: Step = Step {
    id: "create-cluster",
    title: "Create the cluster and wait for its nodes",
    heading: HEADING,
    clauses: &["C1.3", "C1.5"],
    phase: Phase::Provision,
    each: Each::Cluster,
    needs: |_, scope| vec![("write-cluster-config", scope)],
    commands: |_, scope| vec![format!("eksctl create cluster -f cluster_{scope}.yaml")],
    calls: &["eks:DescribeCluster"],
    gap: None,
    omission: Omission::no_probe_fails().stops(|_, scope| vec![("get-context", scope)]),
    run: |context, scope| Box::pin(create_cluster(context, scope)),
};

/// `kubectl config get-contexts`.
pub static GET_CONTEXT: Step = Step {
    id: "get-context",
    title: "Obtain the Kubernetes context of the cluster",
    heading: HEADING,
    clauses: &["C1.4"],
    phase: Phase::Provision,
    each: Each::Cluster,
    needs: |_, scope| vec![("create-cluster", scope)],
    commands: |_, _| vec!["kubectl config get-contexts".to_owned()],
    calls: &["kubernetes:version"],
    gap: None,
    omission: Omission::no_probe_fails().caught_by(&["context-works"]),
    run: |context, scope| Box::pin(get_context(context, scope)),
};

/// The namespace.
pub static CREATE_NAMESPACE: Step = Step {
    id: "create-namespace",
    title: "Create the namespace of the TidbCluster",
    heading: HEADING,
    clauses: &["C3.2"],
    phase: Phase::Provision,
    each: Each::Cluster,
    needs: |_, scope| vec![("get-context", scope)],
    commands: |topology, scope| match scope {
        Scope::Cluster(index) => {
            vec![format!(
                "kubectl --context ${{context_{scope}}} create namespace {}",
                topology.cluster(index).namespace
            )]
        }
        _ => Vec::new(),
    },
    calls: &["kubernetes:create namespaces"],
    gap: Some("the document deploys into this namespace (step 3) and forwards its zone (step 2), but never creates it"),
    omission: Omission::diagnosed(|topology, scope| {
        Diagnosed::each(Own::NamespaceMissing, "namespace", scope.clusters(topology))
    })
    .caught_by(&["namespace-exists"])
    .stops(|_, scope| vec![("deploy-nginx", scope), ("deploy-probers", scope)]),
    run: |context, scope| Box::pin(create_namespace(context, scope)),
};

pub(super) fn cluster_of(scope: Scope) -> Result<ClusterIndex, Failure> {
    match scope {
        Scope::Cluster(index) => Ok(index),
        other => Err(Failure::new(format!("a task for one cluster was given the scope {other}"))),
    }
}

async fn write_config(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let config = cluster_config(world.cluster(index), &world.run_id)
        .map_err(|error| Failure::new("the ClusterConfig cannot be written as YAML").because(error))?;
    let path = world.directory.join(format!("cluster_{index}.yaml"));
    tokio::fs::write(&path, &config)
        .await
        .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))?;
    world.learn(index, |facts| facts.config = Some(config));
    Ok(Done::changed())
}

async fn create_cluster(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let config = world.known(index).config.ok_or_else(|| Failure::new("the configuration file was not written"))?;
    let eks = &world.aws(index)?.eks;
    let what = format!("cluster {} could not be created in {}", cluster.name, cluster.region);
    let resource = Resource::Cluster { region: cluster.region.clone(), name: cluster.name.clone() };
    let (_, made) = world
        .ensure(
            context.task(),
            resource,
            async {
                match eks.describe_cluster().name(&cluster.name).send().await {
                    Ok(found) => {
                        let owner = found.cluster().and_then(|found| found.tags()).and_then(|tags| tags.get(RUN_TAG));
                        if owner == Some(&world.run_id) {
                            Ok(Found::There(()))
                        } else {
                            Err(Failure::new(what.clone())
                                .because("a cluster of that name exists and is not of this run")
                                .advise("delete it, or give the cluster another name in the scenario"))
                        }
                    }
                    Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => {
                        Ok(Found::Missing)
                    }
                    Err(error) => Err(aws_failure(what.clone(), &error)),
                }
            },
            async {
                world
                    .environment
                    .create_cluster(&config)
                    .await
                    .map_err(|error| Failure::new(what.clone()).because(error.why))
            },
        )
        .await?;
    Ok(if made { Done::changed() } else { Done::unchanged() })
}

async fn get_context(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let kubeconfig = world
        .environment
        .kubeconfig()
        .await
        .map_err(|error| Failure::new("the contexts cannot be read").because(error))?;
    let name = context_of(&kubeconfig, cluster)
        .ok_or_else(|| Failure::new(format!("there is no context for {} in the kubeconfig", cluster.name)).retry())?;
    let client = world.kubernetes(index).await?;
    client
        .apiserver_version()
        .await
        .map_err(|error| kube_failure(format!("the Kubernetes API of {} does not answer", cluster.name), &error))?;
    write_kubeconfig(world, &kubeconfig)?;
    world.learn(index, |facts| facts.context = Some(name.clone()));
    Ok(Done::changed().note(name))
}

/// The kubeconfig of the run: in its directory, never in the user's own.
fn write_kubeconfig(world: &World, kubeconfig: &kube::config::Kubeconfig) -> Result<(), Failure> {
    let path = world.directory.join(crate::run_directory::KUBECONFIG);
    let yaml = serde_saphyr::to_string(kubeconfig)
        .map_err(|error| Failure::new("the kubeconfig cannot be written as YAML").because(error))?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("{} cannot be written", path.display())).because(error);
    // Several clusters write the same file: a rename never shows half of one.
    let mut file = tempfile::NamedTempFile::new_in(&world.directory).map_err(|error| failed(&error))?;
    std::io::Write::write_all(&mut file, yaml.as_bytes()).map_err(|error| failed(&error))?;
    file.persist(&path).map(drop).map_err(|error| failed(&error))
}

async fn create_namespace(context: TaskContext<World>, scope: Scope) -> Result<Done, Failure> {
    let world = context.world();
    let index = cluster_of(scope)?;
    let cluster = world.cluster(index);
    let namespaces: Api<Namespace> = Api::all(world.kubernetes(index).await?);
    let what = format!("namespace {} of {} could not be created", cluster.namespace, cluster.name);
    let resource = Resource::Namespace { cluster: cluster.name.clone(), name: cluster.namespace.clone() };
    let (_, made) = world
        .ensure(
            context.task(),
            resource,
            async {
                match namespaces.get_opt(&cluster.namespace).await {
                    Ok(Some(_)) => Ok(Found::There(())),
                    Ok(None) => Ok(Found::Missing),
                    Err(error) => Err(kube_failure(what.clone(), &error)),
                }
            },
            async {
                let mut namespace = Namespace::default();
                namespace.metadata.name = Some(cluster.namespace.clone());
                namespace.metadata.annotations = Some([(RUN_TAG.to_owned(), world.run_id.clone())].into());
                namespaces
                    .create(&kube::api::PostParams::default(), &namespace)
                    .await
                    .map(drop)
                    .map_err(|error| kube_failure(what.clone(), &error))
            },
        )
        .await?;
    Ok(if made { Done::changed() } else { Done::unchanged() })
}
