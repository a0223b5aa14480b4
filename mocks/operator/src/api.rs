//! `TidbCluster`s in the API of their Kubernetes cluster.

use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};

use crate::cluster::TidbCluster;

/// The type.
pub const KIND: &str = "TidbCluster";

/// The resource.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("pingcap.com", "v1alpha1", KIND))
}

/// `TidbCluster`s of a namespace.
pub fn clusters(client: kube::Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &resource())
}

/// The part of an object that the operator acts on.
///
/// # Errors
/// The object does not fit.
pub fn read(object: &DynamicObject) -> Result<TidbCluster, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(object)?)
}
