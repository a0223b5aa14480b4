//! Deletion: grace, finalisers, namespaces, owners.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};

use super::*;

fn owned(name: &str, owner: &ConfigMap, blocks: bool) -> ConfigMap {
    typed(json!({ "metadata": { "name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid,
        "blockOwnerDeletion": blocks,
    }] } }))
}

#[tokio::test]
async fn a_pod_on_a_node_waits_for_its_kubelet() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    create(&api, &pod("p")).await;
    let deleting = api.delete("p", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(deleting.metadata.deletion_grace_period_seconds, Some(30));
    // A shorter time may be asked for, a longer one not.
    api.delete("p", &DeleteParams::default().grace_period(60)).await.unwrap();
    assert_eq!(api.get("p").await.unwrap().metadata.deletion_grace_period_seconds, Some(30));
    api.delete("p", &DeleteParams::default().grace_period(5)).await.unwrap();
    assert_eq!(api.get("p").await.unwrap().metadata.deletion_grace_period_seconds, Some(5));
    let other = Preconditions { uid: Some("other".to_owned()), resource_version: None };
    let params = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(other), ..DeleteParams::default() };
    assert_eq!(failure(api.delete("p", &params).await).0, 409);
    api.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(api.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn a_pod_on_no_node_goes_at_once() {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    let mut pending = pod("p");
    pending.spec.as_mut().unwrap().node_name = None;
    create(&api, &pending).await;
    api.delete("p", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    create(&api, &typed(json!({ "metadata": { "name": "c", "finalizers": ["a.b/c"] } }))).await;
    assert!(api.delete("c", &DeleteParams::default()).await.unwrap().is_left());
    let params = PatchParams::default();
    let more = Patch::Merge(json!({ "metadata": { "finalizers": ["a.b/c", "d.e/f"] } }));
    assert_eq!(failure(api.patch("c", &params, &more).await).0, 422);
    api.patch("c", &params, &Patch::Merge(json!({ "metadata": { "finalizers": null } }))).await.unwrap();
    assert!(api.get_opt("c").await.unwrap().is_none());
}

#[tokio::test]
async fn a_namespace_is_emptied_before_it_goes() {
    let server = server().await;
    namespace(&server, "n").await;
    let namespaces: Api<Namespace> = Api::all(server.client());
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "n");
    let pods: Api<Pod> = Api::namespaced(server.client(), "n");
    create(&maps, &config_map("c", json!({}))).await;
    create(&pods, &pod("p")).await;
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    gone(maps.clone(), "c").await;
    // The pod's kubelet has not said that it ended.
    let terminating = namespaces.get("n").await.unwrap();
    assert_eq!(terminating.status.unwrap().phase.as_deref(), Some("Terminating"));
    let (code, reason, message) = failure(maps.create(&PostParams::default(), &config_map("d", json!({}))).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    insta::assert_snapshot!(message, @r#"configmaps "d" is forbidden: unable to create new content in namespace n because it is being terminated"#);
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    gone(namespaces, "n").await;
}

#[tokio::test]
async fn dependents_go_with_their_owner() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let owner = create(&api, &config_map("owner", json!({}))).await;
    let child = create(&api, &owned("child", &owner, true)).await;
    create(&api, &owned("grandchild", &child, true)).await;
    api.delete("owner", &DeleteParams::background()).await.unwrap();
    gone(api.clone(), "grandchild").await;
    assert!(api.get_opt("child").await.unwrap().is_none());
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let owner = create(&api, &config_map("owner", json!({}))).await;
    let mut child = owned("child", &owner, true);
    child.metadata.finalizers = Some(vec!["a.b/c".to_owned()]);
    create(&api, &child).await;
    assert!(api.delete("owner", &DeleteParams::foreground()).await.unwrap().is_left());
    let deleting = |child: Option<&ConfigMap>| child.is_some_and(|child| child.metadata.deletion_timestamp.is_some());
    soon(kube::runtime::wait::await_condition(api.clone(), "child", deleting)).await.unwrap();
    assert_eq!(api.get("owner").await.unwrap().metadata.finalizers.unwrap(), ["foregroundDeletion"]);
    api.patch("child", &PatchParams::default(), &Patch::Merge(json!({ "metadata": { "finalizers": [] } })))
        .await
        .unwrap();
    gone(api, "owner").await;
}

#[tokio::test]
async fn orphans_stay() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let owner = create(&api, &config_map("owner", json!({}))).await;
    create(&api, &owned("child", &owner, true)).await;
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    api.delete("owner", &params).await.unwrap();
    gone(api.clone(), "owner").await;
    assert!(api.get("child").await.unwrap().metadata.owner_references.is_none());
}

#[tokio::test]
async fn what_names_an_owner_that_is_not_there_is_collected() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let ghost: ConfigMap = typed(json!({ "metadata": { "name": "ghost", "uid": "no-such-uid" } }));
    create(&api, &owned("child", &ghost, false)).await;
    gone(api, "child").await;
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        create(&api, &typed(json!({ "metadata": { "name": name, "labels": { "l": label } } }))).await;
    }
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("l=x")).await.unwrap();
    let left = api.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(left.iter().filter_map(|map| map.metadata.name.as_deref()).collect::<Vec<_>>(), ["c"]);
}

#[tokio::test]
async fn eviction_heeds_disruption_budgets() {
    let server = server().await;
    let pods: Api<Pod> = Api::default_namespaced(server.client());
    create(&pods, &pod("p")).await;
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(server.client());
    create(
        &budgets,
        &typed(json!({ "metadata": { "name": "b" }, "spec": { "selector": { "matchLabels": { "app": "p" } } } })),
    )
    .await;
    let allowed = |number: i32| Patch::Merge(json!({ "status": { "disruptionsAllowed": number } }));
    budgets.patch_status("b", &PatchParams::default(), &allowed(0)).await.unwrap();
    assert_eq!(failure(pods.evict("p", &EvictParams::default()).await).0, 429);
    budgets.patch_status("b", &PatchParams::default(), &allowed(1)).await.unwrap();
    pods.evict("p", &EvictParams::default()).await.unwrap();
    assert!(pods.get("p").await.unwrap().metadata.deletion_timestamp.is_some());
}
