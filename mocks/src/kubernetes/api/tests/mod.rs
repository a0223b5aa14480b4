//! The server through its front door: `kube` clients, and raw HTTP where the wire format matters.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod custom;
mod lifecycle;
mod objects;
mod streams;
mod watches;
mod wire;

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ApiServer, ApiServerConfig};

async fn server() -> ApiServer {
    ApiServer::start(ApiServerConfig::default()).await.unwrap()
}

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str, data: Value) -> ConfigMap {
    typed(json!({ "metadata": { "name": name }, "data": data }))
}

fn pod(name: &str) -> Pod {
    typed(json!({ "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "nodeName": "n1", "containers": [{ "name": "main", "image": "nginx:1.21.5" }] } }))
}

async fn create<K>(api: &Api<K>, object: &K) -> K
where
    K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), object).await.unwrap()
}

async fn namespace(server: &ApiServer, name: &str) -> Namespace {
    create(&Api::all(server.client()), &typed(json!({ "metadata": { "name": name } }))).await
}

/// The status of a request that must fail.
fn failure<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String, String) {
    match result.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("{other}"),
    }
}

/// Fails a test that hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// Waits until an object is gone.
async fn gone<K>(api: Api<K>, name: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_none();
    soon(kube::runtime::wait::await_condition(api, name, condition)).await.unwrap();
}
