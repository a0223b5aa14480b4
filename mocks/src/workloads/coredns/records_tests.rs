#![expect(clippy::unwrap_used, reason = "tests")]

use rstest::rstest;

use super::super::kubernetes::Port;
use super::*;

fn view() -> View {
    let endpoint = |last, hostname: Option<&str>| Endpoint {
        address: Ipv4Addr::new(10, 1, 0, last),
        hostname: hostname.map(str::to_owned),
    };
    let port = Port { name: "http".to_owned(), protocol: "TCP".to_owned(), port: 80 };
    let services = [
        (
            ("ns", "web"),
            Service {
                cluster_ip: Some(Ipv4Addr::new(172, 20, 0, 7)),
                ports: vec![port.clone()],
                endpoints: vec![endpoint(4, None)],
            },
        ),
        (
            ("ns", "peer"),
            Service {
                cluster_ip: None,
                ports: vec![port],
                endpoints: vec![endpoint(5, Some("nginx")), endpoint(6, None)],
            },
        ),
        (("ns", "empty"), Service { cluster_ip: None, ports: Vec::new(), endpoints: Vec::new() }),
    ];
    View {
        namespaces: ["ns".to_owned()].into(),
        services: services.into_iter().map(|((ns, name), it)| ((ns.to_owned(), name.to_owned()), it)).collect(),
    }
}

fn config() -> KubernetesConfig {
    KubernetesConfig {
        zones: ["cluster.local", "in-addr.arpa", "ip6.arpa"].map(str::to_owned).into(),
        ttl: 5,
        pods_insecure: true,
        fallthrough: Some(["in-addr.arpa", "ip6.arpa"].map(str::to_owned).into()),
    }
}

fn ask(name: &str, kind: RecordType) -> String {
    let query = dns::query(&Name::from_ascii(format!("{name}.")).unwrap(), kind);
    match look_up(&config(), &view(), &query, name) {
        Found::NotMine => "next plugin".to_owned(),
        Found::Answer(answer) => {
            let mut records: Vec<_> = answer.answers.iter().map(|it| it.data.to_string()).collect();
            records.sort();
            let soa = if answer.authorities.is_empty() { "" } else { " SOA" };
            format!("{:?} {}{soa}", answer.metadata.response_code, records.join(" ")).trim_end().to_owned()
        }
    }
}

#[rstest]
#[case::cluster_ip("web.ns.svc.cluster.local", RecordType::A, "NoError 172.20.0.7")]
#[case::headless("peer.ns.svc.cluster.local", RecordType::A, "NoError 10.1.0.5 10.1.0.6")]
#[case::hostname("nginx.peer.ns.svc.cluster.local", RecordType::A, "NoError 10.1.0.5")]
#[case::dashed("10-1-0-6.peer.ns.svc.cluster.local", RecordType::A, "NoError 10.1.0.6")]
#[case::no_such_host("other.peer.ns.svc.cluster.local", RecordType::A, "NXDomain  SOA")]
#[case::no_ready_endpoint("empty.ns.svc.cluster.local", RecordType::A, "NXDomain  SOA")]
#[case::no_such_service("x.ns.svc.cluster.local", RecordType::A, "NXDomain  SOA")]
#[case::no_such_namespace("web.other.svc.cluster.local", RecordType::A, "NXDomain  SOA")]
#[case::other_type("nginx.peer.ns.svc.cluster.local", RecordType::AAAA, "NoError  SOA")]
#[case::namespace("ns.svc.cluster.local", RecordType::A, "NoError  SOA")]
#[case::pod("10-1-0-9.ns.pod.cluster.local", RecordType::A, "NoError 10.1.0.9")]
#[case::srv("_http._tcp.web.ns.svc.cluster.local", RecordType::SRV, "NoError 0 100 80 web.ns.svc.cluster.local.")]
#[case::reverse("5.0.1.10.in-addr.arpa", RecordType::PTR, "NoError nginx.peer.ns.svc.cluster.local.")]
#[case::reverse_unknown("1.0.0.10.in-addr.arpa", RecordType::PTR, "next plugin")]
#[case::elsewhere("example.org", RecordType::A, "next plugin")]
fn names_resolve_as_the_specification_says(#[case] name: &str, #[case] kind: RecordType, #[case] expected: &str) {
    assert_eq!(ask(name, kind), expected);
}
