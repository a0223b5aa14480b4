//! Causes in DNS and Kubernetes, and what is not known.

use rstest::rstest;

use super::{can_be_mended, conclusion, fail};
use crate::diagnosis::{Conclusion, diagnose};
use crate::invariants::fixture::documented;
use crate::observation::{DnsService, Kubernetes, Observation, Pod, ProbeRequest, ProbeResult, Unread};

type Deviate = fn(&mut Observation);

fn kubernetes(observation: &mut Observation, index: usize) -> &mut Kubernetes {
    observation.clusters[index].kubernetes.as_mut().unwrap()
}

fn service(observation: &mut Observation) -> &mut DnsService {
    kubernetes(observation, 1).dns_service.as_mut().unwrap()
}

fn nginx(observation: &mut Observation) -> &mut Pod {
    kubernetes(observation, 1).nginx.as_mut().unwrap()
}

fn edit(observation: &mut Observation, index: usize, from: &str, to: &str) {
    let corefile = kubernetes(observation, index).corefile.as_mut().unwrap();
    assert!(corefile.contains(from), "{from}");
    *corefile = corefile.replace(from, to);
}

/// The CoreDNS pods of cluster 1 run another Corefile than the one that is there.
fn run_another(observation: &mut Observation) {
    let kubernetes = kubernetes(observation, 0);
    let pods = kubernetes.coredns_pods.iter().map(|pod| (pod.name.clone(), "0".repeat(128)));
    kubernetes.coredns_running = pods.collect();
}

/// A pod with the name server of its node asks no CoreDNS.
#[test]
fn a_pod_with_the_dns_of_its_node() {
    let (topology, mut observation) = documented(2);
    kubernetes(&mut observation, 0).resolv_conf = Some("nameserver 10.1.0.2\n".to_owned());
    fail(&mut observation, 0, 1);
    for it in diagnose(&topology, &observation) {
        let asks = conclusion(&it).starts_with("POD_ASKS_ANOTHER_RESOLVER pod tidb-ns-1/sample-nginx of tidb-1");
        let by_nginx = matches!(&it.probe.request, ProbeRequest::Http { pod, .. } if pod == "sample-nginx");
        assert_eq!(asks, by_nginx, "{it:#?}");
    }
    kubernetes(&mut observation, 0).resolv_conf = Some("nameserver 169.254.20.10\n".to_owned());
    assert!(diagnose(&topology, &observation).iter().all(|it| conclusion(it).starts_with("not known")));
}

/// Every probe by name from cluster 1 to cluster 2 has this conclusion.
#[rstest]
#[case::no_corefile("COREFILE_MISSING configmap kube-system/coredns of tidb-1", |o: &mut Observation| kubernetes(o, 0).corefile = None)]
#[case::refused("COREFILE_REFUSED configmap kube-system/coredns of tidb-1", |o: &mut Observation| edit(o, 0, "cache 30", "cash 30"))]
#[case::unreadable("COREFILE_REFUSED configmap kube-system/coredns of tidb-1", |o: &mut Observation| edit(o, 0, "\n}\n", "\n"))]
#[case::no_zone("COREFILE_ZONE_MISSING configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "tidb-ns-2.svc", "tidb-ns-9.svc"))]
#[case::another_port("COREFILE_ZONE_MISSING configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "tidb-ns-2.svc.cluster.local:53", "tidb-ns-2.svc.cluster.local:5353"))]
#[case::forwards_nothing("COREFILE_NAME_NOT_SERVED configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "forward . 10.2.", "forward example.org 10.2."))]
#[case::upstreams_of_another("COREFILE_UPSTREAMS_MISMATCH configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "forward . 10.2.96.200 10.2.128.200", "forward . 10.3.96.200 10.3.128.200"))]
#[case::upstream_port("COREFILE_UPSTREAMS_MISMATCH configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "10.2.96.200", "10.2.96.200:5353"))]
#[case::upstream_is_the_resolver("COREFILE_UPSTREAMS_MISMATCH configmap kube-system/coredns of tidb-1",
    |o: &mut Observation| edit(o, 0, "10.2.96.200", "10.2.0.2"))]
#[case::own_zone_at_peer("COREFILE_OWN_ZONE_FORWARDED configmap kube-system/coredns of tidb-2",
    |o: &mut Observation| edit(o, 1, "tidb-ns-1.svc", "tidb-ns-2.svc"))]
#[case::peer_without_kubernetes("COREFILE_NAME_NOT_SERVED configmap kube-system/coredns of tidb-2",
    |o: &mut Observation| edit(o, 1, "kubernetes cluster.local", "kubernetes example.org"))]
#[case::no_reload("COREFILE_RELOAD_MISSING configmap kube-system/coredns of tidb-1", |o: &mut Observation| edit(o, 0, "    reload\n", ""))]
#[case::no_service("DNS_SERVICE_MISSING service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| kubernetes(o, 1).dns_service = None)]
#[case::no_service_and_no_zone("DNS_SERVICE_MISSING service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| { kubernetes(o, 1).dns_service = None; edit(o, 0, "tidb-ns-2.svc", "tidb-ns-9.svc") })]
#[case::no_host_name("DNS_LOAD_BALANCER_MISSING service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| service(o).hostname = None)]
#[case::no_balancer("DNS_LOAD_BALANCER_MISSING service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| o.clusters[1].load_balancers.clear())]
#[case::another_host_name("DNS_LOAD_BALANCER_MISSING service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| service(o).hostname = Some("k8s-kubesyst-0123456789.elb.us-west-2.amazonaws.com".to_owned()))]
#[case::another_host_name_and_no_endpoints("DNS_SERVICE_WITHOUT_ENDPOINTS service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| {
        service(o).hostname = Some("k8s-kubesyst-0123456789.elb.us-west-2.amazonaws.com".to_owned());
        service(o).ready_endpoints.clear();
    })]
#[case::no_endpoints("DNS_SERVICE_WITHOUT_ENDPOINTS service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| service(o).ready_endpoints.clear())]
#[case::target_port("DNS_SERVICE_PORT_MISMATCH service kube-system/across-cluster-dns-tcp of tidb-2",
    |o: &mut Observation| service(o).ports[0].3 = "5353".to_owned())]
#[case::unhealthy("ELBV2_TARGETS_UNHEALTHY load-balancer arn:aws:elasticloadbalancing",
    |o: &mut Observation| for target in &mut o.clusters[1].load_balancers[0].listeners[0].targets { target.health = "unhealthy".into() })]
#[case::no_nginx_service("NAME_WITHOUT_SERVICE service tidb-ns-2/sample-nginx-peer of tidb-2",
    |o: &mut Observation| kubernetes(o, 1).nginx_service = None)]
#[case::not_headless("not known: nothing that was observed stops it",
    |o: &mut Observation| kubernetes(o, 1).nginx_service.as_mut().unwrap().headless = false)]
#[case::no_namespace("NAMESPACE_MISSING namespace tidb-ns-2 of tidb-2", |o: &mut Observation| {
    kubernetes(o, 1).namespaces.remove("tidb-ns-2");
    (kubernetes(o, 1).nginx, kubernetes(o, 1).nginx_service) = (None, None);
})]
#[case::namespaces_of_the_plugin("COREFILE_NAME_NOT_SERVED configmap kube-system/coredns of tidb-2",
    |o: &mut Observation| edit(o, 1, "pods insecure", "pods insecure\n        namespaces kube-system"))]
#[case::outdated("COREDNS_POD_OUTDATED pod kube-system/", |o: &mut Observation| run_another(o))]
#[case::reload_once_a_day("COREFILE_RELOAD_SLOW configmap kube-system/coredns of tidb-1", |o: &mut Observation| {
    edit(o, 0, "    reload\n", "    reload 24h\n");
    run_another(o);
})]
#[case::no_coredns_at_the_peer("COREDNS_PODS_MISSING deployment kube-system/coredns of tidb-2", |o: &mut Observation| {
    kubernetes(o, 1).coredns_pods.clear();
    service(o).ready_endpoints.clear();
})]
#[case::service_over_udp("DNS_SERVICE_PORT_MISMATCH service kube-system/across-cluster-dns-tcp of tidb-2", |o: &mut Observation| {
    service(o).ports[0].2 = "UDP".to_owned();
    o.clusters[1].load_balancers[0].listeners.clear();
})]
#[case::no_pod("NAME_WITHOUT_POD pod tidb-ns-2/sample-nginx of tidb-2", |o: &mut Observation| kubernetes(o, 1).nginx = None)]
#[case::no_hostname("NAME_WITHOUT_POD pod tidb-ns-2/sample-nginx of tidb-2", |o: &mut Observation| nginx(o).hostname = None)]
#[case::not_ready("POD_NOT_READY pod tidb-ns-2/sample-nginx of tidb-2", |o: &mut Observation| nginx(o).ready = false)]
#[case::service_cidr("SERVICE_CIDR_OVERLAP eks-cluster tidb-1 of tidb-1",
    |o: &mut Observation| o.clusters[0].eks.as_mut().unwrap().service_cidr = Some("10.2.0.0/16".parse().unwrap()))]
#[case::clear("not known: nothing that was observed stops it", |_: &mut Observation| {})]
#[case::no_acl("not known: the network ACL of subnet-",
    |o: &mut Observation| o.clusters[0].network_acls.clear())]
#[case::no_tables("not known: ", |o: &mut Observation| o.clusters[0].route_tables.clear())]
#[case::no_interfaces("not known: no network interface of vpc-00000000000000200 is in the observation",
    |o: &mut Observation| {
        let addresses = o.clusters[1].load_balancers[0].addresses.clone();
        o.clusters[1].interfaces.clear();
        o.clusters[1].load_balancers[0].addresses = addresses;
    })]
#[case::no_kubernetes("not known: the Kubernetes API of tidb-2 is not in the observation",
    |o: &mut Observation| o.clusters[1].kubernetes = None)]
#[case::no_vpc("not known: the VPC of tidb-1 is not in the observation", |o: &mut Observation| o.clusters[0].vpc = None)]
#[case::balancers_not_read("not known: load balancers in us-west-2 were not read: AccessDenied", |o: &mut Observation| {
    o.clusters[1].load_balancers.clear();
    let (what, why) = ("load balancers in us-west-2".to_owned(), "AccessDenied".to_owned());
    o.unread.push(Unread { cluster: None, what, why });
})]
fn by_name(#[case] expected: &str, #[case] deviate: Deviate) {
    let (topology, mut observation) = documented(2);
    deviate(&mut observation);
    fail(&mut observation, 0, 1);
    let all = diagnose(&topology, &observation);
    for it in &all {
        if let Conclusion::Stopped(cause) = &it.conclusion {
            can_be_mended(cause, &observation);
        }
    }
    let by_name = all
        .into_iter()
        .filter(|it| it.from.0 == 0 && it.to.0 == 1 && !matches!(it.probe.request, ProbeRequest::Tcp { .. }));
    let found: Vec<String> = by_name.map(|it| conclusion(&it)).collect();
    assert!(!found.is_empty() && found.iter().all(|it| it.starts_with(expected)), "{found:#?}");
}

/// What can be said of an answer that is not the right one.
#[rstest]
#[case::refused("NOTHING_LISTENS pod tidb-ns-2/sample-nginx of tidb-2", ProbeResult::Refused)]
#[case::another_page("UNEXPECTED_ANSWER pod tidb-ns-2/sample-nginx of tidb-2",
    ProbeResult::Http { status: 404, welcome: false, remote: None, seen_source: None })]
#[case::no_probe("not known: the probe itself failed: exec was refused",
    ProbeResult::Error { message: "exec was refused".to_owned() })]
fn wrong_answers(#[case] expected: &str, #[case] result: ProbeResult) {
    let (topology, mut observation) = documented(2);
    let is_curl = |request: &ProbeRequest| matches!(request, ProbeRequest::Http { .. });
    for probe in observation.probes.iter_mut().filter(|it| it.from == 0 && is_curl(&it.request)) {
        probe.result = result.clone();
    }
    let found: Vec<String> = diagnose(&topology, &observation).iter().map(conclusion).collect();
    assert!(!found.is_empty() && found.iter().all(|it| it == expected), "{found:#?}");
}

/// Of probes that were repeated the last counts.
#[test]
fn an_earlier_failure_is_passed_over() {
    let (topology, mut observation) = documented(2);
    let mut earlier = observation.probes.clone();
    earlier.iter_mut().for_each(|probe| probe.result = ProbeResult::TimedOut);
    earlier.append(&mut observation.probes);
    observation.probes = earlier;
    assert_eq!(diagnose(&topology, &observation), []);
}
