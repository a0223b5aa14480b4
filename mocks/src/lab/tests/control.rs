//! The control port, and how labs and clusters end.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use reqwest::StatusCode;
use serde_json::Value;

use super::{ONE, Side, TWO, config, lab, until};
use crate::lab::{ClusterInfo, Inventory, Lab, LabConfig, LabError};
use crate::workloads::Images;

struct Control {
    http: reqwest::Client,
    url: String,
}

impl Control {
    fn of(lab: &Lab) -> Self {
        Self { http: reqwest::Client::new(), url: lab.control_url() }
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: String) -> (StatusCode, String) {
        let request = self.http.request(method, format!("{}/{path}", self.url)).body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("text"))
    }

    async fn create(&self, config: String) -> (StatusCode, String) {
        self.send(reqwest::Method::POST, "eksctl/create", config).await
    }

    async fn delete(&self, region: &str, name: &str) -> (StatusCode, String) {
        self.send(reqwest::Method::DELETE, &format!("eksctl/clusters/{region}/{name}"), String::new()).await
    }

    async fn get(&self, path: &str) -> String {
        let (status, body) = self.send(reqwest::Method::GET, path, String::new()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn inventory(&self) -> Inventory {
        serde_json::from_str(&self.get("inventory").await).expect("an inventory")
    }
}

fn error(body: &str) -> String {
    let value: Value = serde_json::from_str(body).expect("JSON");
    value["error"].as_str().expect("an error").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_come_and_go_over_http() {
    let lab = lab().await;
    let control = Control::of(&lab);
    let (status, body) = control.create("apiVersion: v1\nkind: Pod\n".to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error(&body).starts_with("invalid ClusterConfig: "), "{body}");

    let (status, body) = control.create(config(ONE)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let info: ClusterInfo = serde_json::from_str(&body).expect("a cluster");
    assert_eq!(info.context, "acrossk8s@tidb-1.us-west-2.eksctl.io");
    let (status, body) = control.create(config(ONE)).await;
    assert_eq!((status, error(&body).contains("AlreadyExistsException")), (StatusCode::CONFLICT, true), "{body}");
    let (status, _) = control.create(config(TWO)).await;
    assert_eq!(status, StatusCode::OK);

    let clusters: Vec<ClusterInfo> = serde_json::from_str(&control.get("eksctl/clusters").await).expect("clusters");
    assert_eq!(clusters.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["tidb-2", "tidb-1"]);
    let kubeconfig = Kubeconfig::from_yaml(&control.get("kubeconfig").await).expect("a kubeconfig");
    assert_eq!(kubeconfig.contexts.len(), 2);
    assert_eq!(kubeconfig.current_context.as_deref(), Some("acrossk8s@tidb-2.us-east-2.eksctl.io"));
    let endpoint = lab.aws().read("us-west-2", |state, _| {
        state.eks.clusters.values().find(|it| it.endpoint == info.endpoint).map(|it| it.endpoint.clone())
    });
    assert_eq!(endpoint, Some(info.endpoint), "EKS names the endpoint");

    let (status, body) = control.delete("us-west-2", "tidb-2").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(error(&body), "ResourceNotFoundException: No cluster found for name: tidb-2.");
    let inventory = control.inventory().await;
    assert!(inventory.hosts.iter().any(|host| host.name.contains("coredns")));
    assert!(inventory.resources.iter().any(|it| it.kind == "vpc" && it.region == "us-east-2"));
    for (name, region, _) in [ONE, TWO] {
        assert_eq!(control.delete(region, name).await, (StatusCode::OK, "{}".to_owned()));
    }
    assert_eq!(control.inventory().await, Inventory::default());

    let (status, _) = control.send(reqwest::Method::POST, "shutdown", String::new()).await;
    assert_eq!(status, StatusCode::OK);
    lab.ended().await;
    assert!(control.http.get(&control.url).send().await.is_err(), "nobody answers any more");
    assert!(matches!(lab.create_cluster(&config(ONE)).await, Err(LabError::Ended)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_its_load_balancers_with_it() {
    let lab = lab().await;
    lab.create_cluster(&config(ONE)).await.expect("a cluster");
    let side = Side::new(&lab, ONE, "ns1").await;
    let hostname = side.dns_load_balancer().await;
    let inventory = lab.inventory();
    assert!(inventory.resources.iter().any(|it| it.kind == "load-balancer"));
    until("its interfaces are on the network", || async {
        let name = hostname.split('-').next()?;
        lab.inventory().hosts.iter().any(|host| host.name.starts_with(name)).then_some(())
    })
    .await;
    let events: Api<Event> = Api::namespaced(side.client.clone(), "kube-system");
    until("events", || async {
        let events = events.list(&ListParams::default()).await.ok()?;
        let reasons: Vec<_> = events.items.into_iter().filter_map(|event| event.reason).collect();
        let both = ["EnsuringLoadBalancer", "EnsuredLoadBalancer"];
        both.iter().all(|reason| reasons.iter().any(|it| it == reason)).then_some(())
    })
    .await;
    lab.delete_cluster(ONE.1, ONE.0).await.expect("it is deleted");
    assert_eq!(lab.inventory(), Inventory::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_come_up_is_taken_back() {
    let patience = Duration::from_millis(300);
    let lab =
        Lab::start(LabConfig { images: Images::default(), patience, ..LabConfig::default() }).await.expect("a lab");
    let error = lab.create_cluster(&config(ONE)).await.expect_err("there is no image of CoreDNS");
    assert_eq!(error.status(), 504);
    let message = error.to_string();
    assert!(message.contains("coredns of tidb-1 to become available"), "{message}");
    assert!(message.contains("last seen: 2 nodes; pods: "), "{message}");
    assert_eq!(lab.inventory(), Inventory::default());
    assert_eq!(lab.clusters(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_nodes_is_made_and_runs_nothing() {
    let lab = lab().await;
    let bare = config(ONE)
        .lines()
        .filter(|line| !line.contains("nodeGroups"))
        .map(|line| line.to_owned() + "\n")
        .collect::<String>();
    let info = lab.create_cluster(&bare).await.expect("eksctl does it, too");
    let cluster = lab.cluster(&info.region, &info.name).expect("it is there");
    let reason = cluster.informers().pods.until(|pods| {
        let conditions = pods.first()?.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|it| it.type_ == "PodScheduled")?.message.clone()
    });
    assert_eq!(reason.await, "no nodes available to schedule pods");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_dropped_ends() {
    let lab = lab().await;
    let info = lab.create_cluster(&config(ONE)).await.expect("a cluster");
    let urls = [lab.aws_url(), lab.control_url(), info.endpoint];
    drop(lab);
    for url in urls {
        until("nobody answers", || async { reqwest::get(&url).await.is_err().then_some(()) }).await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address");
    for config in [
        LabConfig { aws_listen: address, ..LabConfig::default() },
        LabConfig { control_listen: address, ..LabConfig::default() },
    ] {
        let error = Lab::start(config).await.map(drop).expect_err("it is taken");
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}
