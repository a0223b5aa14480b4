//! CustomResourceDefinitions and the resources they add.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;

use super::*;

fn definition() -> CustomResourceDefinition {
    let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": {
        "spec": { "type": "object", "required": ["replicas"], "properties": {
            "replicas": { "type": "integer" }, "policy": { "type": "string", "default": "A" },
        } },
        "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    } } });
    let version = |name: &str, storage: bool| {
        json!({ "name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": { "status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" } } })
    };
    typed(json!({ "metadata": { "name": "widgets.example.com" }, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": { "plural": "widgets", "kind": "Widget", "shortNames": ["wd"] },
        "versions": [version("v1alpha1", true), version("v1beta1", false)],
    } }))
}

fn widgets(server: &ApiServer, version: &str) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Widget"), "widgets");
    Api::default_namespaced_with(server.client(), &resource)
}

fn widget(version: &str, spec: Value) -> DynamicObject {
    typed(
        json!({ "apiVersion": format!("example.com/{version}"), "kind": "Widget", "metadata": { "name": "w" }, "spec": spec }),
    )
}

#[tokio::test]
async fn custom_resources_live_as_long_as_their_definition() {
    let server = server().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
    assert_eq!(failure(widgets(&server, "v1beta1").list(&ListParams::default()).await).0, 404);
    create(&definitions, &definition()).await;
    soon(await_condition(definitions.clone(), "widgets.example.com", is_crd_established())).await.unwrap();
    let api = widgets(&server, "v1alpha1");
    let made = create(&api, &widget("v1alpha1", json!({ "replicas": 1, "unknown": 2 }))).await;
    assert_eq!(made.data["spec"], json!({ "replicas": 1, "policy": "A" }));
    // Any version of the definition shows it.
    let other = widgets(&server, "v1beta1").get("w").await.unwrap();
    assert_eq!(other.types.unwrap().api_version, "example.com/v1beta1");
    let found = kube::discovery::group(&server.client(), "example.com").await.unwrap();
    assert_eq!(found.preferred_version_or_latest(), "v1beta1");
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.unwrap();
    gone(definitions, "widgets.example.com").await;
    assert_eq!(failure(api.get("w").await).0, 404);
}

#[tokio::test]
async fn custom_resources_are_checked_and_have_subresources() {
    let server = server().await;
    create(&Api::all(server.client()), &definition()).await;
    let api = widgets(&server, "v1beta1");
    let refused = api.create(&PostParams::default(), &widget("v1beta1", json!({ "replicas": "x" }))).await;
    let (code, _, message) = failure(refused);
    assert_eq!(code, 422);
    insta::assert_snapshot!(message, @r#"Widget.example.com "w" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#);
    create(&api, &widget("v1beta1", json!({ "replicas": 1 }))).await;
    let params = PatchParams::default();
    let both = json!({ "spec": { "replicas": 2 }, "status": { "replicas": 2 } });
    let patched = api.patch("w", &params, &Patch::Merge(&both)).await.unwrap();
    assert_eq!((&patched.data["spec"]["replicas"], patched.data.get("status")), (&json!(2), None));
    assert_eq!(patched.metadata.generation, Some(2));
    let status = json!({ "spec": { "replicas": 9 }, "status": { "replicas": 2, "any": true } });
    let patched = api.patch_status("w", &params, &Patch::Merge(&status)).await.unwrap();
    assert_eq!((&patched.data["spec"]["replicas"], &patched.data["status"]["any"]), (&json!(2), &json!(true)));
    let scale = api.patch_scale("w", &params, &Patch::Merge(json!({ "spec": { "replicas": 3 } }))).await.unwrap();
    assert_eq!((scale.spec.unwrap().replicas, scale.status.unwrap().replicas), (Some(3), 2));
    assert_eq!(failure(api.patch("w", &params, &Patch::Strategic(&both)).await).0, 415);
    let config = widget("v1beta1", json!({ "replicas": 4 }));
    let applied = api.patch("w", &PatchParams::apply("test").force(), &Patch::Apply(&config)).await.unwrap();
    assert_eq!(applied.data["spec"]["replicas"], 4);
}
