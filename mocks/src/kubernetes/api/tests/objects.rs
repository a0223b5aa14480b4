//! Creating, changing and refusing objects.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Secret, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use rstest::rstest;

use super::*;

fn deployment(name: &str, replicas: i32) -> Deployment {
    typed(json!({ "metadata": { "name": name }, "spec": {
        "replicas": replicas,
        "selector": { "matchLabels": { "app": name } },
        "template": {
            "metadata": { "labels": { "app": name } },
            "spec": { "containers": [{ "name": "web", "image": "nginx", "ports": [{ "containerPort": 80 }] }] },
        },
    } }))
}

#[tokio::test]
async fn a_cluster_starts_with_its_namespaces() {
    let server = server().await;
    let namespaces: Api<Namespace> = Api::all(server.client());
    let list = namespaces.list(&ListParams::default()).await.unwrap().items;
    let names: Vec<_> = list.iter().map(|ns| ns.metadata.name.clone().unwrap()).collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let mut uids: Vec<_> = list.iter().map(|ns| ns.metadata.uid.clone().unwrap()).collect();
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), 4);
    assert_eq!(list[0].metadata.labels.as_ref().unwrap()["kubernetes.io/metadata.name"], "default");
    let services: Api<Service> = Api::default_namespaced(server.client());
    assert_eq!(services.get("kubernetes").await.unwrap().spec.unwrap().cluster_ip.unwrap(), "10.100.0.1");
}

#[tokio::test]
async fn optimistic_concurrency() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let old = create(&api, &config_map("c", json!({ "a": "1" }))).await;
    let mut new = old.clone();
    new.data = typed(json!({ "a": "2" }));
    let new = api.replace("c", &PostParams::default(), &new).await.unwrap();
    assert_ne!(old.metadata.resource_version, new.metadata.resource_version);
    let (code, reason, message) = failure(api.replace("c", &PostParams::default(), &old).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    insta::assert_snapshot!(message, @r#"Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again"#);
    // The same again is no new revision.
    let same = api.replace("c", &PostParams::default(), &new).await.unwrap();
    assert_eq!(same.metadata.resource_version, new.metadata.resource_version);
}

#[tokio::test]
async fn refusals_have_the_words_of_the_real_server() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    create(&maps, &config_map("c", json!({}))).await;
    let deployments: Api<Deployment> = Api::default_namespaced(server.client());
    let elsewhere: Api<ConfigMap> = Api::namespaced(server.client(), "nowhere");
    let params = PostParams::default();
    let mut wrong = deployment("d", 1);
    wrong.spec.as_mut().unwrap().selector.match_labels = typed(json!({ "app": "other" }));
    let failures = [
        failure(maps.get("x").await),
        failure(deployments.get("x").await),
        failure(maps.create(&params, &config_map("c", json!({}))).await),
        failure(elsewhere.create(&params, &config_map("c", json!({}))).await),
        failure(maps.create(&params, &config_map("A_b", json!({}))).await),
        failure(maps.create(&params, &config_map("", json!({}))).await),
        failure(deployments.create(&params, &wrong).await),
        failure(maps.delete("x", &DeleteParams::default()).await),
        failure(Api::<Namespace>::all(server.client()).delete("default", &DeleteParams::default()).await),
    ];
    let lines: Vec<String> =
        failures.iter().map(|(code, reason, message)| format!("{code} {reason}: {message}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    404 NotFound: configmaps "x" not found
    404 NotFound: deployments.apps "x" not found
    409 AlreadyExists: configmaps "c" already exists
    404 NotFound: namespaces "nowhere" not found
    422 Invalid: ConfigMap "A_b" is invalid: metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
    422 Invalid: ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required
    422 Invalid: Deployment.apps "d" is invalid: spec.template.metadata.labels: Invalid value: {"app":"d"}: `selector` does not match template `labels`
    404 NotFound: configmaps "x" not found
    403 Forbidden: namespaces "default" is forbidden: this namespace may not be deleted
    "#);
}

#[tokio::test]
async fn generated_names_and_dry_runs() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let made = create(&api, &typed(json!({ "metadata": { "generateName": "c-" } }))).await;
    let name = made.metadata.name.unwrap();
    assert!(name.starts_with("c-") && name.len() == 7, "{name}");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry, &config_map("dry", json!({}))).await.unwrap();
    assert!(api.get_opt("dry").await.unwrap().is_none());
    let patch = Patch::Merge(json!({ "data": { "a": "b" } }));
    let patched = api.patch(&name, &PatchParams { dry_run: true, ..PatchParams::default() }, &patch).await.unwrap();
    assert!(patched.data.is_some());
    assert!(api.get(&name).await.unwrap().data.is_none());
    let delete = DeleteParams { dry_run: true, ..DeleteParams::default() };
    api.delete(&name, &delete).await.unwrap();
    api.get(&name).await.unwrap();
}

#[tokio::test]
async fn the_generation_counts_changes_of_the_spec() {
    let server = server().await;
    let api: Api<Deployment> = Api::default_namespaced(server.client());
    let made = create(&api, &deployment("d", 1)).await;
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.spec.as_ref().unwrap().progress_deadline_seconds, Some(600));
    let params = PatchParams::default();
    let labelled = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } }, "status": { "replicas": 9 } }));
    let labelled = api.patch("d", &params, &labelled).await.unwrap();
    assert_eq!((labelled.metadata.generation, labelled.status.and_then(|status| status.replicas)), (Some(1), None));
    let scaled = api.patch("d", &params, &Patch::Merge(json!({ "spec": { "replicas": 2 } }))).await.unwrap();
    assert_eq!(scaled.metadata.generation, Some(2));
    let status = Patch::Merge(json!({ "spec": { "replicas": 7 }, "status": { "replicas": 2 } }));
    let status = api.patch_status("d", &params, &status).await.unwrap();
    assert_eq!(status.metadata.generation, Some(2));
    assert_eq!((status.spec.unwrap().replicas, status.status.unwrap().replicas), (Some(2), Some(2)));
    let scale = api.get_scale("d").await.unwrap();
    assert_eq!((scale.spec.unwrap().replicas, scale.status.unwrap().selector.unwrap()), (Some(2), "app=d".to_owned()));
    api.patch_scale("d", &params, &Patch::Merge(json!({ "spec": { "replicas": 4 } }))).await.unwrap();
    assert_eq!(api.get("d").await.unwrap().spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn every_kind_of_patch() {
    let server = server().await;
    let api: Api<Deployment> = Api::default_namespaced(server.client());
    create(&api, &deployment("d", 1)).await;
    let params = PatchParams::apply("test");
    let containers = |d: &Deployment| {
        let containers = &d.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers;
        containers.iter().map(|c| format!("{}={}", c.name, c.image.as_deref().unwrap())).collect::<Vec<_>>().join(" ")
    };
    let strategic = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "side", "image": "s" }] } } } });
    let patched = api.patch("d", &params, &Patch::Strategic(strategic)).await.unwrap();
    assert_eq!(containers(&patched), "web=nginx side=s");
    let operations =
        typed(json!([{ "op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "t" }]));
    let patched = api.patch("d", &params, &Patch::Json::<()>(operations)).await.unwrap();
    assert_eq!(containers(&patched), "web=nginx side=t");
    let merge = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "one", "image": "o" }] } } } });
    let patched = api.patch("d", &params, &Patch::Merge(merge)).await.unwrap();
    assert_eq!(containers(&patched), "one=o");
    let config = |replicas: Option<i32>| {
        let mut config =
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" }, "spec": {} });
        if let Some(replicas) = replicas {
            config["spec"]["replicas"] = json!(replicas);
        }
        Patch::Apply(config)
    };
    let (code, _, message) = failure(api.patch("d", &params, &config(Some(5))).await);
    assert_eq!(code, 409, "{message}");
    let forced = api.patch("d", &params.clone().force(), &config(Some(5))).await.unwrap();
    assert_eq!((forced.spec.as_ref().unwrap().replicas, containers(&forced).as_str()), (Some(5), "one=o"));
    assert!(forced.metadata.creation_timestamp.is_some());
    // Left out, and nobody else's: back to the default.
    let dropped = api.patch("d", &params, &config(None)).await.unwrap();
    assert_eq!(dropped.spec.unwrap().replicas, Some(1));
}

#[tokio::test]
async fn applying_makes_what_is_not_there_once() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c", "creationTimestamp": null },
        "data": { "a": "1" } });
    let params = PatchParams::apply("test");
    let first = api.patch("c", &params, &Patch::Apply(&config)).await.unwrap();
    let second = api.patch("c", &params, &Patch::Apply(&config)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.metadata.managed_fields.unwrap()[0].manager.as_deref(), Some("test"));
}

#[tokio::test]
async fn services_get_addresses_and_keep_them() {
    let server = server().await;
    let api: Api<Service> = Api::default_namespaced(server.client());
    let service = |name: &str, spec: Value| typed::<Service>(json!({ "metadata": { "name": name }, "spec": spec }));
    let ports = json!([{ "port": 53, "name": "dns", "protocol": "UDP" }, { "port": 53, "name": "dns-tcp" }]);
    let dns = create(&api, &service("dns", json!({ "clusterIP": "10.100.0.10", "ports": ports }))).await;
    assert_eq!(dns.spec.as_ref().unwrap().cluster_ips.as_ref().unwrap(), &["10.100.0.10"]);
    let taken = service("other", json!({ "clusterIP": "10.100.0.10", "ports": [{ "port": 1 }] }));
    let (code, _, message) = failure(api.create(&PostParams::default(), &taken).await);
    assert_eq!(code, 422);
    insta::assert_snapshot!(message, @r#"Service "other" is invalid: spec.clusterIPs: Invalid value: []string{"10.100.0.10"}: failed to allocate IP 10.100.0.10: provided IP is already allocated"#);
    let headless = create(&api, &service("headless", json!({ "clusterIP": "None", "selector": { "a": "b" } }))).await;
    assert_eq!(headless.spec.unwrap().cluster_ip.unwrap(), "None");
    let balanced = create(&api, &service("lb", json!({ "type": "LoadBalancer", "ports": ports }))).await;
    let numbers = |service: &Service| {
        service.spec.as_ref().unwrap().ports.as_ref().unwrap().iter().map(|port| port.node_port).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&balanced), [Some(30086), Some(30087)]);
    // Replaced by what leaves the addresses out.
    let mut again = service("lb", json!({ "type": "LoadBalancer", "ports": ports, "externalTrafficPolicy": "Local" }));
    again.metadata.resource_version = balanced.metadata.resource_version.clone();
    let again = api.replace("lb", &PostParams::default(), &again).await.unwrap();
    assert_eq!(numbers(&again), numbers(&balanced));
    assert_eq!(again.spec.as_ref().unwrap().cluster_ip, balanced.spec.as_ref().unwrap().cluster_ip);
    let moved = Patch::Merge(json!({ "spec": { "clusterIP": "10.100.9.9", "clusterIPs": ["10.100.9.9"] } }));
    let (code, _, message) = failure(api.patch("lb", &PatchParams::default(), &moved).await);
    assert_eq!(code, 422);
    insta::assert_snapshot!(message, @r#"Service "lb" is invalid: spec.clusterIPs[0]: Invalid value: []string{"10.100.9.9"}: may not change once set"#);
}

#[tokio::test]
async fn what_may_not_change() {
    let server = server().await;
    let pods: Api<Pod> = Api::default_namespaced(server.client());
    create(&pods, &pod("p")).await;
    let params = PatchParams::default();
    let image = json!({ "spec": { "containers": [{ "name": "main", "image": "new" }] } });
    pods.patch("p", &params, &Patch::Strategic(image)).await.unwrap();
    let moved = pods.patch("p", &params, &Patch::Merge(json!({ "spec": { "nodeName": "n2" } }))).await;
    let (code, _, message) = failure(moved);
    assert_eq!(code, 422);
    assert!(message.contains("pod updates may not change fields other than"), "{message}");
    let deployments: Api<Deployment> = Api::default_namespaced(server.client());
    create(&deployments, &deployment("d", 1)).await;
    let labels = json!({ "app": "x" });
    let selector = json!({ "spec": { "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels } } } });
    let (code, _, message) = failure(deployments.patch("d", &params, &Patch::Merge(selector)).await);
    assert!(code == 422 && message.contains("field is immutable"), "{message}");
    let sets: Api<StatefulSet> = Api::default_namespaced(server.client());
    create(&sets, &typed(json!({ "metadata": { "name": "s" }, "spec": {
        "serviceName": "s", "selector": { "matchLabels": { "app": "s" } },
        "template": { "metadata": { "labels": { "app": "s" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
    } })))
    .await;
    sets.patch("s", &params, &Patch::Merge(json!({ "spec": { "replicas": 3 } }))).await.unwrap();
    let (code, ..) = failure(sets.patch("s", &params, &Patch::Merge(json!({ "spec": { "serviceName": "t" } }))).await);
    assert_eq!(code, 422);
}

#[tokio::test]
async fn defaults() {
    let server = server().await;
    let pods: Api<Pod> = Api::default_namespaced(server.client());
    let made = create(&pods, &pod("p")).await;
    let (spec, status) = (made.spec.unwrap(), made.status.unwrap());
    assert_eq!(spec.restart_policy.as_deref(), Some("Always"));
    assert_eq!(spec.dns_policy.as_deref(), Some("ClusterFirst"));
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("IfNotPresent"));
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    assert_eq!((status.phase.as_deref(), status.qos_class.as_deref()), (Some("Pending"), Some("BestEffort")));
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    let made =
        create(&secrets, &typed(json!({ "metadata": { "name": "s" }, "type": "", "stringData": { "a": "b" } }))).await;
    assert_eq!((made.data.unwrap()["a"].0.as_slice(), made.type_.as_deref()), (&b"b"[..], Some("Opaque")));
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(server.client());
    let made =
        create(&claims, &typed(json!({ "metadata": { "name": "v" }, "spec": { "accessModes": ["ReadWriteOnce"] } })))
            .await;
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
}

#[rstest]
#[case("app=a", "", &["a"])]
#[case("app in (a,b)", "", &["a", "b"])]
#[case("", "metadata.name=c", &["c"])]
#[case("", "spec.nodeName=n2", &["c"])]
#[case("app!=a", "spec.nodeName!=n2", &["b"])]
#[case("", "status.phase=Running", &[])]
#[tokio::test]
async fn lists_are_selected(#[case] labels: &str, #[case] fields: &str, #[case] expected: &[&str]) {
    let server = server().await;
    let api: Api<Pod> = Api::default_namespaced(server.client());
    for name in ["a", "b", "c"] {
        let mut pod = pod(name);
        if name == "c" {
            pod.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
        }
        create(&api, &pod).await;
    }
    let list = api.list(&ListParams::default().labels(labels).fields(fields)).await.unwrap();
    let names: Vec<_> = list.items.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn lists_come_in_chunks() {
    let server = server().await;
    let api: Api<Node> = Api::all(server.client());
    for index in 0..5 {
        create(&api, &typed(json!({ "metadata": { "name": format!("n{index}") } }))).await;
    }
    let mut params = ListParams::default().limit(2);
    let mut names = Vec::new();
    let mut revisions = Vec::new();
    loop {
        let list = api.list(&params).await.unwrap();
        names.extend(list.items.into_iter().filter_map(|node| node.metadata.name));
        revisions.push(list.metadata.resource_version);
        match list.metadata.continue_ {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);
    revisions.dedup();
    assert_eq!(revisions.len(), 1);
    assert_eq!(failure(api.list(&ListParams::default().continue_token("?")).await).0, 400);
}

/// A container may mount what a claim template names, and nothing that there is not.
#[tokio::test]
async fn the_claims_of_a_stateful_set_are_volumes_of_its_pods() {
    let server = server().await;
    let api: Api<StatefulSet> = Api::default_namespaced(server.client());
    let mounting = |name: &str, volume: &str| -> StatefulSet {
        typed(json!({ "metadata": { "name": name }, "spec": {
            "serviceName": "s",
            "selector": { "matchLabels": { "app": "s" } },
            "template": {
                "metadata": { "labels": { "app": "s" } },
                "spec": { "containers": [{
                    "name": "c", "image": "nginx", "volumeMounts": [{ "name": volume, "mountPath": "/data" }],
                }] },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
            } }],
        } }))
    };
    create(&api, &mounting("one", "data")).await;
    let refused = failure(api.create(&PostParams::default(), &mounting("other", "date")).await);
    assert_eq!(refused.0, 422, "{refused:?}");
}
