//! CoreDNS with EKS's Corefile against an API server that lists and watches.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::Uri;
use futures::StreamExt;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::CoreDns;
use crate::workloads::dns::exchange_udp;
use crate::workloads::testing::{Net, Rig};
use crate::workloads::vpc_resolver;

const CONF: &str = "/etc/coredns/Corefile";
const EKS: &str = include_str!("../../../../fixtures/corefiles/eks-default");

fn metadata(namespace: &str, name: &str) -> Value {
    json!({ "namespace": namespace, "name": name, "resourceVersion": "1", "uid": name })
}

/// An API server with the objects of some paths; what happened is told to every watch of its path, from the beginning.
async fn api(events: watch::Receiver<Vec<(&'static str, Value)>>) -> kube::Client {
    let objects: BTreeMap<&str, Vec<Value>> = BTreeMap::from([
        ("/api/v1/namespaces", vec![json!({ "metadata": { "name": "ns-1", "resourceVersion": "1" } })]),
        (
            "/api/v1/services",
            vec![json!({ "metadata": metadata("ns-1", "web"), "spec": { "clusterIP": "172.20.0.20",
                "clusterIPs": ["172.20.0.20"], "ports": [{ "port": 80, "name": "http" }] } })],
        ),
        ("/apis/discovery.k8s.io/v1/endpointslices", Vec::new()),
    ]);
    let handler = move |uri: Uri, Query(query): Query<BTreeMap<String, String>>| async move {
        if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
            let path = uri.path().to_owned();
            let lines = futures::stream::unfold((events, 0), |(mut events, told)| async move {
                let event = events.wait_for(|all| all.len() > told).await.ok()?[told].clone();
                Some((event, (events, told + 1)))
            });
            let lines = lines.filter_map(move |(at, event)| {
                let line = (at == path).then(|| Ok::<_, std::io::Error>(format!("{event}\n")));
                async { line }
            });
            return Body::from_stream(lines);
        }
        let items = objects.get(uri.path()).cloned().unwrap_or_default();
        Body::from(
            json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
                .to_string(),
        )
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()
}

struct Lab {
    net: Net,
    rig: Rig,
    events: watch::Sender<Vec<(&'static str, Value)>>,
    _vpc: crate::workloads::dns::Server,
}

async fn lab() -> Lab {
    let net = Net::default();
    let events = watch::Sender::new(Vec::new());
    let mut rig = Rig::new(net.host([10, 1, 0, 53]), &[(CONF, EKS)]);
    rig.container.args = vec!["-conf".to_owned(), CONF.to_owned()];
    rig.container.resolv_conf.nameservers = vec![Ipv4Addr::new(10, 1, 0, 2)];
    rig.container.api = Some(api(events.subscribe()).await);
    let names: vpc_resolver::Names =
        Arc::new(|name| (name == "example.org").then(|| vec![Ipv4Addr::new(192, 0, 2, 1)]));
    let vpc = vpc_resolver::start(net.host([10, 1, 0, 2]).as_ref(), names).await.unwrap();
    rig.run(CoreDns);
    tokio::time::timeout(Duration::from_secs(20), rig.ready.clone().wait_for(|ready| *ready)).await.unwrap().unwrap();
    Lab { net, rig, events, _vpc: vpc }
}

impl Lab {
    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        query.add_query(hickory_proto::op::Query::query(Name::from_ascii(name).unwrap(), kind));
        let client = self.net.host([10, 1, 0, 9]);
        let server = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 53), 53);
        exchange_udp(client.as_ref(), server, &query, Duration::from_secs(5)).await.unwrap()
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
        .collect()
}

#[tokio::test]
async fn eks_corefile_serves_the_cluster_and_what_lies_behind() {
    let lab = lab().await;
    let answer = lab.ask("web.ns-1.svc.cluster.local.", RecordType::A).await;
    insta::assert_snapshot!(texts(&answer.answers).join("\n"), @"web.ns-1.svc.cluster.local. 5 A 172.20.0.20");
    assert!(answer.metadata.authoritative);
    let srv = lab.ask("_http._tcp.web.ns-1.svc.cluster.local.", RecordType::SRV).await;
    insta::assert_snapshot!(texts(&srv.answers).join("\n"), @"_http._tcp.web.ns-1.svc.cluster.local. 5 SRV 0 100 80 web.ns-1.svc.cluster.local.");
    insta::assert_snapshot!(texts(&srv.additionals).join("\n"), @"web.ns-1.svc.cluster.local. 5 A 172.20.0.20");
    let denied = lab.ask("no.ns-1.svc.cluster.local.", RecordType::A).await;
    assert_eq!(denied.metadata.response_code, ResponseCode::NXDomain);
    insta::assert_snapshot!(texts(&denied.authorities).join("\n"), @"cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 3 7200 1800 86400 5");
    let empty = lab.ask("web.ns-1.svc.cluster.local.", RecordType::AAAA).await;
    assert_eq!(
        (empty.metadata.response_code, empty.answers.len(), empty.authorities.len()),
        (ResponseCode::NoError, 0, 1)
    );
    let reverse = lab.ask("20.0.20.172.in-addr.arpa.", RecordType::PTR).await;
    insta::assert_snapshot!(texts(&reverse.answers).join("\n"), @"20.0.20.172.in-addr.arpa. 5 PTR web.ns-1.svc.cluster.local.");
    let version = lab.ask("dns-version.cluster.local.", RecordType::TXT).await;
    insta::assert_snapshot!(texts(&version.answers).join("\n"), @"dns-version.cluster.local. 5 TXT 1.1.0");
    let outside = lab.ask("example.org.", RecordType::A).await;
    assert!(matches!(outside.answers[0].data, RData::A(address) if address.0 == Ipv4Addr::new(192, 0, 2, 1)));
    // Names without an address of the cluster fall through to the VPC's resolver, which does not know this one.
    assert_eq!(
        lab.ask("1.2.0.192.in-addr.arpa.", RecordType::PTR).await.metadata.response_code,
        ResponseCode::NXDomain
    );
    let log = lab.rig.log();
    assert!(log.iter().any(|line| line == "[INFO] plugin/reload: Running configuration SHA512 = 8a7d59126e7f114ab49c6d2613be93d8ef7d408af8ee61a710210843dc409f03133727e38f64469d9bb180f396c84ebf48a42bde3b3769730865ca9df5eb281c"), "{log:#?}");
}

#[tokio::test]
async fn what_the_api_tells_is_answered() {
    let lab = lab().await;
    let added = json!({ "type": "ADDED", "object": { "apiVersion": "v1", "kind": "Service",
        "metadata": metadata("ns-1", "away"), "spec": { "type": "ExternalName", "externalName": "example.org" } } });
    lab.events.send_modify(|all| all.push(("/api/v1/services", added)));
    let told = async {
        loop {
            let answer = lab.ask("away.ns-1.svc.cluster.local.", RecordType::A).await;
            if !answer.answers.is_empty() {
                return answer;
            }
            // Past what the cache holds of the answer before.
            lab.rig.container.clock.advance(Duration::from_secs(5));
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    insta::assert_snapshot!(texts(&answer.answers).join("\n"), @r"
    away.ns-1.svc.cluster.local. 5 CNAME example.org.
    example.org. 5 A 192.0.2.1
    ");
}
