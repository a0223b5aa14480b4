//! Names of a cluster, from objects that are put into the store.

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lookup::{find, names_of};
use super::*;

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn store() -> Store {
    let store = Store::default();
    let meta = |namespace: &str, name: &str| json!({ "namespace": namespace, "name": name });
    store.replace::<Namespace>(&[
        object(json!({ "metadata": { "name": "ns-1" } })),
        object(json!({ "metadata": { "name": "kube-system" } })),
    ]);
    store.replace::<Service>(&[
        object(json!({ "metadata": meta("kube-system", "kube-dns"), "spec": { "clusterIP": "172.20.0.10",
            "clusterIPs": ["172.20.0.10"], "ports": [{ "name": "dns", "protocol": "UDP", "port": 53 },
            { "name": "dns-tcp", "protocol": "TCP", "port": 53 }] } })),
        object(json!({ "metadata": meta("ns-1", "peer"), "spec": { "clusterIP": "None", "clusterIPs": ["None"],
            "ports": [{ "name": "http", "port": 80 }] } })),
        object(json!({ "metadata": meta("ns-1", "nobody"), "spec": { "clusterIP": "None" } })),
        object(json!({ "metadata": meta("ns-1", "away"), "spec": { "type": "ExternalName",
            "externalName": "example.org" } })),
        object(json!({ "metadata": meta("gone", "ghost"), "spec": { "clusterIP": "172.20.0.11" } })),
    ]);
    store.replace::<EndpointSlice>(&[object(json!({
        "metadata": { "namespace": "ns-1", "name": "peer-x", "labels": { "kubernetes.io/service-name": "peer" } },
        "addressType": "IPv4",
        "endpoints": [
            { "addresses": ["10.1.0.5"], "hostname": "sample-nginx", "conditions": { "ready": true } },
            { "addresses": ["10.1.0.6"], "conditions": {}, "targetRef": { "name": "other" } },
            { "addresses": ["10.1.0.7"], "hostname": "starting", "conditions": { "ready": false } },
        ],
        "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }],
    }))]);
    store.replace::<Pod>(&[object(json!({ "metadata": meta("ns-1", "p"), "status": { "podIP": "10.1.0.5" } }))]);
    store
}

fn options(pods: Pods) -> Options {
    Options {
        zones: vec!["cluster.local".to_owned(), "in-addr.arpa".to_owned()],
        pods,
        endpoint_pod_names: false,
        namespaces: BTreeSet::new(),
        ignore_empty_service: false,
        ttl: TTL,
        fall: None,
    }
}

/// Addresses of a name; none for a name without any; "missing" for one that is not there.
fn addresses(options: &Options, name: &str) -> String {
    let store = store();
    match find(&store.read(), options, &format!("{name}cluster.local"), "cluster.local") {
        Err(Missing) => "missing".to_owned(),
        Ok(found) => {
            let each = found.iter().map(|it| match it {
                Found::Alias(name) => name.clone(),
                Found::Address { address, port, .. } => format!("{address}:{port}"),
            });
            each.collect::<Vec<_>>().join(" ")
        }
    }
}

#[rstest]
#[case::service("kube-dns.kube-system.svc.", "172.20.0.10:53 172.20.0.10:53")]
#[case::headless("peer.ns-1.svc.", "10.1.0.5:80 10.1.0.6:80")]
#[case::hostname("sample-nginx.peer.ns-1.svc.", "10.1.0.5:80")]
#[case::address_as_hostname("10-1-0-6.peer.ns-1.svc.", "10.1.0.6:80")]
#[case::not_ready("starting.peer.ns-1.svc.", "missing")]
#[case::port("_http._tcp.peer.ns-1.svc.", "10.1.0.5:80 10.1.0.6:80")]
#[case::port_of_service("_dns-tcp._tcp.kube-dns.kube-system.svc.", "172.20.0.10:53")]
#[case::wrong_protocol("_dns._tcp.kube-dns.kube-system.svc.", "missing")]
#[case::external("away.ns-1.svc.", "example.org")]
#[case::external_port("_http._tcp.away.ns-1.svc.", "missing")]
#[case::headless_without_endpoints("nobody.ns-1.svc.", "missing")]
#[case::no_service("none.ns-1.svc.", "missing")]
#[case::no_namespace("peer.ns-2.svc.", "missing")]
#[case::deleted_namespace("ghost.gone.svc.", "missing")]
#[case::namespace("ns-1.svc.", "")]
#[case::apex("", "")]
#[case::svc("svc.", "")]
#[case::other_kind("peer.ns-1.node.", "missing")]
#[case::too_long("a.b.c.peer.ns-1.svc.", "missing")]
#[case::pod("10-9-9-9.ns-1.pod.", "10.9.9.9:0")]
#[case::no_address("web.ns-1.pod.", "missing")]
fn names_stand_for_services_endpoints_and_pods(#[case] name: &str, #[case] expected: &str) {
    assert_eq!(addresses(&options(Pods::Insecure), name), expected);
}

#[test]
fn pods_are_verified_or_disabled_as_the_corefile_says() {
    assert_eq!(addresses(&options(Pods::Verified), "10-1-0-5.ns-1.pod."), "10.1.0.5:0");
    assert_eq!(addresses(&options(Pods::Verified), "10-9-9-9.ns-1.pod."), "missing");
    assert_eq!(addresses(&options(Pods::Verified), "10-1-0-5.kube-system.pod."), "missing");
    assert_eq!(addresses(&options(Pods::Disabled), "10-1-0-5.ns-1.pod."), "missing");
}

#[test]
fn only_namespaces_that_are_listed_are_exposed() {
    let only = Options { namespaces: BTreeSet::from(["kube-system".to_owned()]), ..options(Pods::Insecure) };
    assert_eq!(addresses(&only, "peer.ns-1.svc."), "missing");
    assert_eq!(addresses(&only, "_dns._udp.kube-dns.kube-system.svc."), "172.20.0.10:53");
}

#[test]
fn endpoints_are_named_after_their_pods_where_the_corefile_says_so() {
    let named = Options { endpoint_pod_names: true, ..options(Pods::Insecure) };
    assert_eq!(addresses(&named, "other.peer.ns-1.svc."), "10.1.0.6:80");
    assert_eq!(addresses(&named, "10-1-0-6.peer.ns-1.svc."), "missing");
}

#[rstest]
#[case([172, 20, 0, 10], &["kube-dns.kube-system.svc.cluster.local"])]
#[case([10, 1, 0, 5], &["sample-nginx.peer.ns-1.svc.cluster.local"])]
#[case([10, 1, 0, 6], &["10-1-0-6.peer.ns-1.svc.cluster.local"])]
#[case([10, 9, 9, 9], &[])]
fn addresses_have_names(#[case] address: [u8; 4], #[case] expected: &[&str]) {
    let store = store();
    assert_eq!(names_of(&store.read(), &options(Pods::Insecure), IpAddr::from(address), "cluster.local"), expected);
}

#[test]
fn objects_change_and_go() {
    let store = store();
    let slice: EndpointSlice = object(json!({
        "metadata": { "namespace": "ns-1", "name": "peer-x", "labels": { "kubernetes.io/service-name": "peer" } },
        "addressType": "IPv4", "endpoints": [{ "addresses": ["10.1.0.9"] }],
    }));
    let ask = || find(&store.read(), &options(Pods::Insecure), "peer.ns-1.svc.cluster.local", "cluster.local");
    store.put(&slice);
    assert!(matches!(ask().as_deref(), Ok([Found::Address { address, .. }]) if address.to_string() == "10.1.0.9"));
    let serial = store.read().serial;
    store.remove(&slice);
    assert_eq!(ask(), Err(Missing));
    assert!(store.read().serial > serial);
}

#[test]
fn the_store_is_complete_when_each_kind_was_listed() {
    let store = Store::default();
    assert!(!store.has_synced(false));
    store.replace::<Service>(&[]);
    store.replace::<EndpointSlice>(&[]);
    assert!(!store.has_synced(false));
    store.replace::<Namespace>(&[]);
    assert!(store.has_synced(false) && !store.has_synced(true));
}
