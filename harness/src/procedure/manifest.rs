//! Manifests of the procedure: written to the run directory as the document says, applied as `kubectl apply` would.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use serde::Deserialize as _;

use super::resource::{Found, RUN_TAG, Resource};
use super::{World, kube_failure};
use crate::engine::{Failure, TaskContext};
use crate::topology::ClusterIndex;

/// The Service in front of CoreDNS (C2.7).
pub const DNS_LB: &str = include_str!("../../../fixtures/manifests/dns-lb.yaml");

/// The pod and Service of the check (C3.1).
pub const SAMPLE_NGINX: &str = include_str!("../../../fixtures/manifests/sample-nginx.yaml");

/// The default StorageClass (C1.6).
pub const STORAGE_CLASS: &str = include_str!("../../../fixtures/manifests/storage-class.yaml");

/// The probers on every node (C3.5s).
pub const PROBER: &str = include_str!("../../../fixtures/manifests/prober.yaml");

/// Field manager of server-side apply.
pub const FIELD_MANAGER: &str = "acrossk8s";

/// Writes a manifest into the run directory.
pub async fn write(world: &World, name: &str, text: &str) -> Result<(), Failure> {
    let path = world.directory.join(name);
    tokio::fs::write(&path, text)
        .await
        .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))
}

/// Reads a manifest back from the run directory.
pub async fn read(world: &World, name: &str) -> Result<Vec<DynamicObject>, Failure> {
    let path = world.directory.join(name);
    let text = tokio::fs::read_to_string(&path)
        .await
        .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))?;
    parse(&text).map_err(|error| Failure::new(format!("{} is not a manifest", path.display())).because(error))
}

fn parse(text: &str) -> Result<Vec<DynamicObject>, String> {
    let documents = serde_saphyr::from_multiple::<serde_json::Value>(text).map_err(|error| error.to_string())?;
    let object = |value| DynamicObject::deserialize(value).map_err(|error: serde_json::Error| error.to_string());
    documents.into_iter().map(object).collect()
}

/// The API of an object's kind: in a namespace, or of the cluster.
pub fn api_of(client: kube::Client, kind: &str, namespace: Option<&str>) -> Result<Api<DynamicObject>, Failure> {
    let resource = match kind {
        "Pod" => ApiResource::erase::<Pod>(&()),
        "Service" => ApiResource::erase::<Service>(&()),
        "DaemonSet" => ApiResource::erase::<DaemonSet>(&()),
        "StorageClass" => ApiResource::erase::<StorageClass>(&()),
        other => {
            return Err(Failure::new(format!("a manifest has the kind {other}, which the procedure does not use")));
        }
    };
    Ok(match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}

/// Applies every object of a manifest; see [`apply`]. Returns whether any was created.
pub async fn apply_all(
    context: &TaskContext<World>,
    index: ClusterIndex,
    namespace: Option<&str>,
    text: &str,
) -> Result<bool, Failure> {
    let mut made = false;
    for object in parse(text).map_err(|error| Failure::new("a manifest cannot be read").because(error))? {
        made |= apply(context, index, namespace, &object).await?;
    }
    Ok(made)
}

/// Applies an object, in a namespace or of the cluster, marked with the run. Returns whether it was created.
pub async fn apply(
    context: &TaskContext<World>,
    index: ClusterIndex,
    namespace: Option<&str>,
    object: &DynamicObject,
) -> Result<bool, Failure> {
    let world = context.world();
    let cluster = world.cluster(index).name.clone();
    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let namespaced = namespace.map(str::to_owned);
    let resource =
        Resource::Object { cluster, namespace: namespaced.clone(), object: kind.clone(), name: name.clone() };
    let what = format!("{} cannot be applied", resource.describe());
    let api = api_of(world.kubernetes(index).await?, &kind, namespace)?;
    let mut object = object.clone();
    object.metadata.namespace = namespaced;
    object.metadata.annotations.get_or_insert_default().insert(RUN_TAG.to_owned(), world.run_id.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let send = || async {
        api.patch(&name, &params, &Patch::Apply(&object)).await.map(drop).map_err(|error| kube_failure(&what, &error))
    };
    let find = async {
        match api.get_opt(&name).await {
            Ok(Some(_)) => send().await.map(Found::There),
            Ok(None) => Ok(Found::Missing),
            Err(error) => Err(kube_failure(&what, &error)),
        }
    };
    let (_, made) = world.ensure(context.task(), resource, find, send()).await?;
    Ok(made)
}
