//! Manifests of the procedure: written to the run directory as the document says, applied as `kubectl apply` would.

use k8s_openapi::api::core::v1::{Pod, Service};
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
    serde_saphyr::from_multiple::<serde_json::Value>(&text)
        .map_err(|error| error.to_string())
        .and_then(|documents| {
            documents
                .into_iter()
                .map(|value| DynamicObject::deserialize(value).map_err(|error| error.to_string()))
                .collect()
        })
        .map_err(|error| Failure::new(format!("{} is not a manifest", path.display())).because(error))
}

/// The API of an object's kind in a namespace.
pub fn api_of(client: kube::Client, kind: &str, namespace: &str) -> Result<Api<DynamicObject>, Failure> {
    let resource = match kind {
        "Pod" => ApiResource::erase::<Pod>(&()),
        "Service" => ApiResource::erase::<Service>(&()),
        other => {
            return Err(Failure::new(format!("a manifest has the kind {other}, which the procedure does not use")));
        }
    };
    Ok(Api::namespaced_with(client, namespace, &resource))
}

/// Applies an object in a namespace, marked with the run. Returns whether it was created.
pub async fn apply(
    context: &TaskContext<World>,
    index: ClusterIndex,
    namespace: &str,
    object: &DynamicObject,
) -> Result<bool, Failure> {
    let world = context.world();
    let cluster = world.cluster(index).name.clone();
    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let what = format!("{kind} {namespace}/{name} of {cluster} cannot be applied");
    let api = api_of(world.kubernetes(index).await?, &kind, namespace)?;
    let mut object = object.clone();
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.annotations.get_or_insert_default().insert(RUN_TAG.to_owned(), world.run_id.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let send = || async {
        api.patch(&name, &params, &Patch::Apply(&object)).await.map(drop).map_err(|error| kube_failure(&what, &error))
    };
    let resource = Resource::Object { cluster, namespace: namespace.to_owned(), object: kind, name: name.clone() };
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
