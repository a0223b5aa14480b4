//! Discovery over the network.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;

use super::server::{PORT, run};
use crate::cluster::{ClusterRef, sample};
use crate::http::{HttpError, send};
use crate::testing::{Net, api_with};

const HOST: &str = "tc2-pd-0.tc2-pd-peer.ns2.svc.cluster.local";

#[tokio::test]
async fn a_joiner_waits_until_the_initial_cluster_answers() {
    let mut tc = sample("tc2", "ns2", 1);
    tc.spec.cluster =
        Some(ClusterRef { name: "tc1".into(), namespace: "ns1".into(), cluster_domain: "cluster.local".into() });
    let (_server, client) = api_with(&tc).await;
    let net = Net::new().await;
    let mut discovery = net.container([10, 0, 0, 5], Some(client));
    discovery.env.insert("MY_POD_NAMESPACE".to_owned(), "ns2".to_owned());
    let (stop, mut ready) = (discovery.stop.clone(), discovery.ready.subscribe());
    let running = tokio::spawn(run(discovery));
    ready.wait_for(|ready| *ready).await.expect("discovery runs");

    let pod = net.container([10, 0, 0, 9], None);
    let url = format!("/new/{}", STANDARD.encode(format!("{HOST}:2380\n")));
    let authority = format!("10.0.0.5:{PORT}");
    let ask = || send(&pod, Method::GET, &authority, &url);
    assert!(matches!(ask().await, Err(HttpError::Status(_, status, _)) if status.as_u16() == 500));

    let (answers, _) = net.serve("tc1-pd-peer.ns1.svc.cluster.local", [10, 1, 0, 1], 2379).await;
    let members = r#"{"members":[{"name":"a","member_id":1,"peer_urls":["http://a:2380"],"client_urls":[]}]}"#;
    answers.lock().insert("GET /pd/api/v1/members".to_owned(), members.to_owned());
    assert_eq!(ask().await.expect("arguments"), "--join=http://a:2379");

    let endpoint = format!("/verify/{}", STANDARD.encode("tc2-pd:2379\n"));
    assert_eq!(send(&pod, Method::GET, &authority, &endpoint).await.expect("endpoints"), "tc2-pd:2379");
    stop.cancel();
    assert_eq!(running.await.expect("an exit code"), 0);
}

#[tokio::test]
async fn an_initial_cluster_initialises() {
    let (_server, client) = api_with(&sample("tc2", "ns2", 1)).await;
    let net = Net::new().await;
    let mut discovery = net.container([10, 0, 0, 5], Some(client));
    discovery.env.insert("MY_POD_NAMESPACE".to_owned(), "ns2".to_owned());
    let mut ready = discovery.ready.subscribe();
    tokio::spawn(run(discovery));
    ready.wait_for(|ready| *ready).await.expect("discovery runs");
    let url = format!("/new/{}", STANDARD.encode(format!("{HOST}:2380\n")));
    let args = send(&net.container([10, 0, 0, 9], None), Method::GET, &format!("10.0.0.5:{PORT}"), &url).await;
    assert_eq!(args.expect("arguments"), format!("--initial-cluster={HOST}=http://{HOST}:2380"));
}
