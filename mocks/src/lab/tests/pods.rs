//! What becomes of pods on the nodes of a lab.

use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Endpoints, Event, Pod, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, LogParams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::workloads::{Container, ExecIo, Program};

/// Fails a number of times, then stays; says what it sees.
struct Shaky(AtomicI32);

#[async_trait]
impl Program for Shaky {
    async fn run(&self, container: Container) -> i32 {
        let left = self.0.fetch_sub(1, Ordering::Relaxed);
        container.log.line(format!("{left} to go, args {:?}", container.args));
        for (name, value) in container.env.iter().filter(|(name, _)| name.starts_with("MY_")) {
            container.log.line(format!("{name}={value}"));
        }
        if left > 0 {
            return 3;
        }
        container.ready.send_replace(true);
        let mut files = container.files.clone();
        loop {
            for (path, content) in files.borrow_and_update().iter() {
                container.log.line(format!("{path}: {}", String::from_utf8_lossy(content)));
            }
            tokio::select! {
                () = container.stop.cancelled() => return 0,
                _ = files.changed() => {}
            }
        }
    }

    async fn exec(&self, _: Container, _: Vec<String>, _: ExecIo) -> i32 {
        0
    }
}

async fn side(lab: &Lab) -> Side {
    lab.create_cluster(&config(ONE)).await.expect("a cluster");
    Side::new(lab, ONE, "ns1").await
}

async fn shaky(failures: i32) -> (Arc<Lab>, Side) {
    let mut images = default_images();
    images.insert("shaky", Arc::new(Shaky(AtomicI32::new(failures))));
    let lab = Lab::start(LabConfig { images, ..LabConfig::default() }).await.expect("a lab");
    let side = side(&lab).await;
    (lab, side)
}

fn pod(spec: Value) -> Value {
    json!({ "metadata": { "name": "p", "labels": { "app": "p" } }, "spec": spec })
}

fn container(pod: &Pod) -> Option<ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned()
}

impl Side {
    async fn waiting(&self, reason: &str) {
        let api = self.api::<Pod>();
        until(reason, || async {
            let state = container(&api.get("p").await.ok()?)?.state?;
            (state.waiting?.reason.as_deref() == Some(reason)).then_some(())
        })
        .await;
    }

    async fn event(&self, reason: &str) -> String {
        let api = self.api::<Event>();
        until(reason, || async {
            let events = api.list(&ListParams::default()).await.ok()?;
            events.items.into_iter().find(|event| event.reason.as_deref() == Some(reason))?.message
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_nobody_has_is_pulled_for_ever() {
    let lab = lab().await;
    let side = side(&lab).await;
    let spec = json!({ "containers": [{ "name": "c", "image": "no/such:1" }] });
    side.create::<Pod>(side.api(), pod(spec)).await;
    side.waiting("ImagePullBackOff").await;
    assert!(side.event("Failed").await.starts_with("Failed to pull image \"no/such:1\": "));
    let phase = side.api::<Pod>().get("p").await.expect("it exists").status.and_then(|status| status.phase);
    assert_eq!(phase.as_deref(), Some("Pending"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_fails_is_restarted_ever_later() {
    let (_lab, side) = shaky(3).await;
    let spec = json!({ "containers": [{ "name": "c", "image": "shaky", "command": ["run"], "args": ["$(MY_NAME)"],
        "env": [
            { "name": "MY_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "MY_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "MY_SECRET", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        ] }] });
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "k": "hush" } });
    side.create::<Pod>(side.api(), pod(spec)).await;
    side.waiting("CreateContainerConfigError").await;
    side.create::<Secret>(side.api(), secret).await;
    assert_eq!(side.event("BackOff").await, "Back-off restarting failed container c");
    let ready = side.ready("p").await;
    let status = container(&ready).expect("a container");
    assert_eq!(status.restart_count, 3);
    let last = status.last_state.and_then(|state| state.terminated).expect("it ended before");
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    let api = side.api::<Pod>();
    let log = api.logs("p", &LogParams::default()).await.expect("a log");
    let expected = format!("0 to go, args [\"run\", \"p\"]\nMY_IP={}\nMY_NAME=p\nMY_SECRET=hush\n", address(&ready));
    assert_eq!(log, expected);
    let previous = LogParams { previous: true, tail_lines: Some(4), ..LogParams::default() };
    assert!(api.logs("p", &previous).await.expect("the log before").starts_with("1 to go"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_may_not_be_restarted_has_failed() {
    let (lab, side) = shaky(1).await;
    let spec = json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": "shaky" }] });
    side.create::<Pod>(side.api(), pod(spec)).await;
    let api = side.api::<Pod>();
    until("it has failed", || async {
        (api.get("p").await.ok()?.status?.phase.as_deref() == Some("Failed")).then_some(())
    })
    .await;
    until("its host is gone", || async {
        (!lab.inventory().hosts.iter().any(|host| host.name == "tidb-1/ns1/p")).then_some(())
    })
    .await;
    api.delete("p", &DeleteParams::default()).await.expect("it is deleted");
    until("it is gone", || async { api.get_opt("p").await.ok()?.is_none().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_waited_for_and_followed() {
    let (_lab, side) = shaky(0).await;
    let spec = json!({
        "containers": [{ "name": "c", "image": "shaky", "volumeMounts": [{ "name": "v", "mountPath": "/etc/c" }] }],
        "volumes": [{ "name": "v", "configMap": { "name": "settings" } }],
    });
    side.create::<Pod>(side.api(), pod(spec)).await;
    let message = side.event("FailedMount").await;
    assert_eq!(message, "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found");
    side.waiting("ContainerCreating").await;
    let settings = json!({ "metadata": { "name": "settings" }, "data": { "a": "1" } });
    side.create::<ConfigMap>(side.api(), settings).await;
    side.ready("p").await;
    let patch = Patch::Merge(json!({ "data": { "a": "2" } }));
    side.api::<ConfigMap>().patch("settings", &PatchParams::default(), &patch).await.expect("it is edited");
    let api = side.api::<Pod>();
    let log = until("the change arrives", || async {
        let log = api.logs("p", &LogParams::default()).await.ok()?;
        log.contains("/etc/c/a: 2").then_some(log)
    })
    .await;
    assert!(log.contains("/etc/c/a: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_stays_pending_until_a_node_suits() {
    let lab = lab().await;
    let side = side(&lab).await;
    let spec = json!({ "nodeSelector": { "disk": "ssd" }, "containers": [{ "name": "c", "image": "nginx" }] });
    side.create::<Pod>(side.api(), pod(spec)).await;
    let expected = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
    assert_eq!(side.event("FailedScheduling").await, expected);
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(side.client.clone());
    let name = nodes.list(&ListParams::default()).await.expect("nodes").items.remove(1).name_any();
    let label = Patch::Merge(json!({ "metadata": { "labels": { "disk": "ssd" } } }));
    nodes.patch(&name, &PatchParams::default(), &label).await.expect("it is labelled");
    let ready = side.ready("p").await;
    assert_eq!(ready.spec.and_then(|spec| spec.node_name), Some(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_scales_and_goes() {
    let lab = lab().await;
    let side = side(&lab).await;
    let deployment = json!({ "metadata": { "name": "web" }, "spec": {
        "replicas": 3,
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "nginx", "image": "nginx:1.21.5" }] },
        },
    } });
    side.create::<Deployment>(side.api(), deployment).await;
    let api = side.api::<Deployment>();
    let settled = |replicas: i32, generation: i64| {
        let api = api.clone();
        async move {
            let deployment = api.get("web").await.ok()?;
            let status = deployment.status?;
            let counts = (status.replicas, status.updated_replicas, status.available_replicas);
            let wanted = Some(replicas).filter(|it| *it > 0);
            (counts == (wanted, wanted, wanted) && status.observed_generation >= Some(generation)).then_some(())
        }
    };
    let pods = || async {
        let list = side.api::<Pod>().list(&ListParams::default().labels("app=web")).await.expect("pods");
        list.items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .map(|pod| pod.name_any())
            .collect::<Vec<_>>()
    };
    until("three replicas", || settled(3, 1)).await;
    let before = pods().await;
    let restart = json!({ "spec": { "template": { "metadata": { "annotations": { "restarted": "now" } } } } });
    api.patch("web", &PatchParams::default(), &Patch::Strategic(restart)).await.expect("it is restarted");
    until("three new replicas", || settled(3, 2)).await;
    let after = pods().await;
    assert!(after.len() == 3 && !after.iter().any(|name| before.contains(name)), "{before:?} {after:?}");
    let one = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    api.patch("web", &PatchParams::default(), &one).await.expect("it is scaled");
    until("one replica", || settled(1, 3)).await;
    assert!(after.contains(&pods().await[0]));
    api.delete("web", &DeleteParams::default()).await.expect("it is deleted");
    until("its pods go with it", || async {
        side.api::<Pod>().list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_published_and_its_address_given_back() {
    let lab = lab().await;
    let side = side(&lab).await;
    let pod = side.nginx().await;
    let slices = side.api::<EndpointSlice>();
    let endpoint = |ready: bool| {
        let slices = slices.clone();
        async move {
            let slices = slices.list(&ListParams::default()).await.ok()?.items;
            let endpoint = slices.into_iter().flat_map(|slice| slice.endpoints).next()?;
            (endpoint.conditions.as_ref()?.ready == Some(ready)).then_some(endpoint)
        }
    };
    let published = until("an endpoint", || endpoint(true)).await;
    assert_eq!(published.addresses, [address(&pod).to_string()]);
    assert_eq!(published.hostname.as_deref(), Some("sample-nginx"));
    assert!(published.zone.is_some_and(|zone| zone.starts_with("us-west-2")));
    let endpoints = side.api::<Endpoints>();
    until("endpoints", || async { endpoints.get("sample-nginx-peer").await.ok()?.subsets?.first()?.addresses.clone() })
        .await;
    let (code, _) = side.exec(&["no-such-command"]).await;
    assert!(code == 126 || code == 127, "{code}");

    let api = side.api::<Pod>();
    let mut forward = api.portforward("sample-nginx", &[80]).await.expect("ports are forwarded");
    let mut stream = forward.take_stream(80).expect("a stream");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    let held = || {
        lab.aws().read("us-west-2", |state, _| {
            state.ec2.interfaces.values().any(|interface| interface.addresses.contains(&address(&pod)))
        })
    };
    assert!(held());
    api.delete("sample-nginx", &DeleteParams::default()).await.expect("it is deleted");
    until("it is gone", || async { api.get_opt("sample-nginx").await.ok()?.is_none().then_some(()) }).await;
    assert!(!held(), "a pod that is gone holds no address");
    until("nothing is published", || async {
        slices
            .list(&ListParams::default())
            .await
            .ok()?
            .items
            .iter()
            .all(|slice| slice.endpoints.is_empty())
            .then_some(())
    })
    .await;
    until("no endpoints", || async { endpoints.get("sample-nginx-peer").await.ok()?.subsets.is_none().then_some(()) })
        .await;
}
