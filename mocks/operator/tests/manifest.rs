//! The manifests against the emulated API.

use acrossk8s_mocks::kubernetes::api::{ApiServer, ApiServerConfig};
use acrossk8s_operator::manifest::{ChartValues, chart, definitions};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use serde_json::{Value, json};

async fn create(server: &ApiServer, object: Value) -> kube::Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let types: TypeMeta = object.types.clone().expect("its type");
    let gvk = GroupVersionKind::try_from(types).expect("a group, version and kind");
    let (resource, capabilities) = kube::discovery::pinned_kind(&server.client(), &gvk).await?;
    let api = match (&object.metadata.namespace, capabilities.scope) {
        (Some(namespace), kube::discovery::Scope::Namespaced) => {
            Api::namespaced_with(server.client(), namespace, &resource)
        }
        _ => Api::all_with(server.client(), &resource),
    };
    api.create(&PostParams::default(), &object).await
}

#[tokio::test]
async fn definitions_and_chart_are_taken_and_unknown_fields_are_dropped() {
    let server = ApiServer::start(ApiServerConfig::default()).await.expect("an API server");
    for object in definitions().into_iter().chain(chart(&ChartValues::of_version("v1.6.5"))) {
        create(&server, object.clone()).await.unwrap_or_else(|error| panic!("{object}: {error}"));
    }
    let cluster = json!({
        "apiVersion": "pingcap.com/v1alpha1", "kind": "TidbCluster",
        "metadata": {"name": "tc1", "namespace": "default"},
        "spec": {"acrossK8s": true, "crossK8s": true, "pd": {"replicas": 1, "config": {"a": {"b": 1}}}},
    });
    let made = create(&server, cluster.clone()).await.expect("a TidbCluster");
    let expected = json!({"acrossK8s": true, "pd": {"replicas": 1, "config": {"a": {"b": 1}}}});
    assert_eq!(made.data["spec"], expected);

    let mut wrong = cluster;
    wrong["metadata"]["name"] = json!("tc2");
    wrong["spec"]["pd"]["replicas"] = json!("one");
    assert!(create(&server, wrong).await.is_err());

    let gvk = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let deployments: Api<DynamicObject> =
        Api::namespaced_with(server.client(), "tidb-admin", &ApiResource::from_gvk(&gvk));
    let names: Vec<_> = deployments.list(&kube::api::ListParams::default()).await.expect("a list").items;
    assert_eq!(
        names.iter().filter_map(|found| found.metadata.name.clone()).collect::<Vec<_>>(),
        ["tidb-controller-manager"]
    );
}
