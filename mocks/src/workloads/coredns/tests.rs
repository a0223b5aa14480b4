//! The process from outside: its log, its answers on the wire, its HTTP endpoints.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::*;
use crate::network::Host;
use crate::workloads::dns::{exchange_tcp, exchange_udp};
use crate::workloads::testing::{Net, Rig};
use crate::workloads::{curl, nginx, vpc_resolver};

const CONF: &str = "/etc/coredns/Corefile";
const DNS: [u8; 4] = [10, 1, 0, 53];
const WAIT: Duration = Duration::from_secs(5);

/// A CoreDNS with a Corefile.
fn rig(net: &Net, address: [u8; 4], corefile: &str) -> Rig {
    let mut rig = Rig::new(net.host(address), &[(CONF, corefile)]);
    rig.container.args = vec!["-conf".to_owned(), CONF.to_owned()];
    rig.container.resolv_conf.nameservers = vec![Ipv4Addr::new(10, 1, 0, 2)];
    rig
}

async fn started(net: &Net, address: [u8; 4], corefile: &str) -> Rig {
    let rig = rig(net, address, corefile);
    rig.run(CoreDns);
    rig.logged("CoreDNS-").await;
    rig
}

/// A server that knows addresses of some names.
async fn names(
    net: &Net,
    address: [u8; 4],
    known: &'static [(&'static str, [u8; 4])],
) -> crate::workloads::dns::Server {
    let names: vpc_resolver::Names = Arc::new(move |name| {
        let found: Vec<Ipv4Addr> = known.iter().filter(|(it, _)| *it == name).map(|(_, to)| (*to).into()).collect();
        (!found.is_empty()).then_some(found)
    });
    vpc_resolver::start(net.host(address).as_ref(), names).await.unwrap()
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

async fn ask(client: &Arc<dyn Host>, server: [u8; 4], name: &str) -> (ResponseCode, Vec<Ipv4Addr>, Message) {
    let server = SocketAddrV4::new(server.into(), 53);
    let answer = exchange_udp(client.as_ref(), server, &query(name, RecordType::A), WAIT).await.unwrap();
    let addresses = answer.answers.iter().filter_map(|record| match record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    (answer.metadata.response_code, addresses.collect(), answer)
}

#[tokio::test]
async fn the_logged_hash_is_the_one_that_real_clusters_log() {
    // kubeadm's Corefile, and the hash that clusters made by it log.
    let corefile = ".:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
";
    let parsed = acrossk8s_corefile::Corefile::parse(corefile).unwrap();
    assert_eq!(
        parsed.sha512(),
        "591cf328cccc12bc490481273e738df59329c62c0b729d94e8b61db9961c2fa5f046dd37f1cf888b953814040d180f5259497269\
         1cd6ff41be96639138a43908"
    );
}

#[tokio::test]
async fn a_start_is_logged_and_a_stop_ends_it() {
    let net = Net::default();
    let rig = rig(&net, DNS, ".:53 {\n    ready\n    whoami\n    reload\n}\nb.org {\n    whoami\n}\n");
    let run = rig.run(CoreDns);
    rig.ready.clone().wait_for(|ready| *ready).await.unwrap();
    insta::with_settings!({ filters => [("SHA512 = [0-9a-f]{128}", "SHA512 = [hash]")] }, {
        insta::assert_snapshot!(rig.log().join("\n"), @r"
        .:53
        b.org.:53
        [INFO] plugin/reload: Running configuration SHA512 = [hash]
        CoreDNS-1.13.2
        linux/amd64, go1.25.5, 6d1fec6
        ");
    });
    rig.container.stop.cancel();
    assert_eq!(run.await.unwrap(), 0);
    assert!(!*rig.ready.borrow());
    assert_eq!(rig.log().last().unwrap(), "[INFO] SIGTERM: Shutting down servers then terminating");
}

#[rstest::rstest]
#[case::nested(
    ".:53 {\n    errors\n    ns-2.svc.cluster.local:53 {\n        errors\n    }\n}\n",
    "/etc/coredns/Corefile:3 - Error during parsing: Unknown directive 'ns-2.svc.cluster.local:53'"
)]
#[case::no_api(
    ". {\n    kubernetes cluster.local\n}\n",
    "plugin/kubernetes: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
)]
#[case::no_file(
    ". {\n    forward . /etc/nothing.conf\n}\n",
    "plugin/forward: not an IP address or file \"/etc/nothing.conf\": open /etc/nothing.conf: no such file or directory"
)]
#[tokio::test]
async fn a_corefile_that_coredns_refuses_ends_the_start(#[case] corefile: &str, #[case] expected: &str) {
    let rig = rig(&Net::default(), DNS, corefile);
    assert_eq!(rig.run(CoreDns).await.unwrap(), 1);
    assert_eq!(rig.log(), [expected]);
}

#[tokio::test]
async fn the_longest_zone_answers_and_no_other() {
    let net = Net::default();
    let _up =
        names(&net, [10, 2, 0, 53], &[("a.ns-2.svc.cluster.local", [10, 2, 0, 9]), ("www.example.org", [1, 2, 3, 4])])
            .await;
    let _vpc =
        names(&net, [10, 1, 0, 2], &[("www.example.org", [5, 6, 7, 8]), ("b.ns-2.svc.cluster.local", [9, 9, 9, 9])])
            .await;
    started(
        &net,
        DNS,
        ". {\n forward . /etc/resolv.conf\n}\nns-2.svc.cluster.local {\n forward . 10.2.0.53 {\n  force_tcp\n }\n}\n",
    )
    .await;
    let client = net.host([10, 1, 0, 9]);
    assert_eq!(ask(&client, DNS, "A.NS-2.svc.cluster.local.").await.1, [Ipv4Addr::new(10, 2, 0, 9)]);
    assert_eq!(net.connections(), 1, "force_tcp");
    assert_eq!(ask(&client, DNS, "www.example.org.").await.1, [Ipv4Addr::new(5, 6, 7, 8)]);
    assert_eq!(net.connections(), 1, "the client's own protocol, without force_tcp");
    // The block of the root knows the name, and is not asked.
    assert_eq!(ask(&client, DNS, "b.ns-2.svc.cluster.local.").await.0, ResponseCode::NXDomain);
    // Over TCP as well.
    let server = SocketAddrV4::new(DNS.into(), 53);
    let answer = exchange_tcp(client.as_ref(), server, &query("www.example.org.", RecordType::A), WAIT).await.unwrap();
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn without_a_block_or_a_plugin_queries_are_refused() {
    let net = Net::default();
    started(&net, DNS, "a.org {\n}\nb.org {\n errors\n}\n").await;
    let client = net.host([10, 1, 0, 9]);
    assert_eq!(ask(&client, DNS, "x.a.org.").await.0, ResponseCode::Refused);
    assert_eq!(ask(&client, DNS, "x.c.org.").await.0, ResponseCode::Refused);
    assert_eq!(ask(&client, DNS, "x.b.org.").await.0, ResponseCode::ServFail);
}

#[tokio::test]
async fn the_next_upstream_is_tried_and_all_failing_is_a_failure_that_is_logged() {
    let net = Net::default();
    let _up = names(&net, [10, 2, 0, 54], &[("a.org", [10, 2, 0, 9])]).await;
    net.cut([10, 2, 0, 55], true);
    let rig = started(
        &net,
        DNS,
        ". {\n errors\n forward . 10.2.0.53 10.2.0.55 10.2.0.54 {\n  policy sequential\n  force_tcp\n }\n}\nb.org {\n errors\n forward . 10.2.0.55 {\n  force_tcp\n }\n}\n",
    )
    .await;
    let client = net.host([10, 1, 0, 9]);
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 2, 0, 9)]);
    assert_eq!(ask(&client, DNS, "x.b.org.").await.0, ResponseCode::ServFail);
    let line = rig.logged("plugin/errors").await;
    assert_eq!(line, "[ERROR] plugin/errors: 2 x.b.org. A: dial tcp 10.2.0.55:53: i/o timeout");
}

#[tokio::test]
async fn zones_that_forward_to_each_other_fail_and_do_not_grow_without_end() {
    let net = Net::default();
    let forward = |to: &str| format!("ns.svc.cluster.local {{\n errors\n forward . {to} {{\n  force_tcp\n }}\n}}\n");
    started(&net, DNS, &forward("10.2.0.53")).await;
    started(&net, [10, 2, 0, 53], &forward("10.1.0.53")).await;
    let client = net.host([10, 1, 0, 9]);
    assert_eq!(ask(&client, DNS, "a.ns.svc.cluster.local.").await.0, ResponseCode::ServFail);
    assert!(net.connections() < 2000, "{} connections", net.connections());
}

#[tokio::test]
async fn a_loop_of_the_root_zone_ends_the_process() {
    let net = Net::default();
    let rig = rig(&net, DNS, ". {\n loop\n forward . 10.1.0.53\n}\n");
    assert_eq!(rig.run(CoreDns).await.unwrap(), 1);
    assert!(rig.logged("[FATAL] plugin/loop: Loop (").await.contains("detected for zone \".\""));
}

#[tokio::test]
async fn answers_and_denials_are_cached_on_the_labs_clock() {
    let net = Net::default();
    let up = names(&net, [10, 2, 0, 53], &[("a.org", [10, 2, 0, 9])]).await;
    let rig = started(&net, DNS, ". {\n cache 30\n forward . 10.2.0.53\n}\n").await;
    let client = net.host([10, 1, 0, 9]);
    let (_, addresses, first) = ask(&client, DNS, "a.org.").await;
    assert_eq!((addresses.len(), first.answers[0].ttl), (1, 30), "capped");
    let (code, _, denied) = ask(&client, DNS, "b.org.").await;
    assert_eq!((code, denied.authorities[0].ttl), (ResponseCode::NXDomain, 30));
    drop(up);
    tokio::task::yield_now().await;
    // Another server that knows the name denied before.
    let _up = loop {
        // The port is free once the old server has seen that it was dropped.
        let host = net.host([10, 2, 0, 53]);
        let names: vpc_resolver::Names = Arc::new(|_| Some(vec![Ipv4Addr::new(10, 2, 0, 8)]));
        match vpc_resolver::start(host.as_ref(), names).await {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    rig.container.clock.advance(Duration::from_secs(29));
    let (_, addresses, kept) = ask(&client, DNS, "A.org.").await;
    assert_eq!((addresses, kept.answers[0].ttl), (vec![Ipv4Addr::new(10, 2, 0, 9)], 1));
    assert_eq!(ask(&client, DNS, "b.org.").await.0, ResponseCode::NXDomain);
    rig.container.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 2, 0, 8)]);
    assert_eq!(ask(&client, DNS, "b.org.").await.1, [Ipv4Addr::new(10, 2, 0, 8)]);
}

#[tokio::test]
async fn long_answers_are_cut_over_udp_unless_the_client_takes_more() {
    let net = Net::default();
    let host = net.host([10, 2, 0, 53]);
    let many: vpc_resolver::Names = Arc::new(|_| Some((0..60).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect()));
    let _up = vpc_resolver::start(host.as_ref(), many).await.unwrap();
    started(&net, DNS, ". {\n loadbalance\n forward . 10.2.0.53 {\n  force_tcp\n }\n}\n").await;
    let client = net.host([10, 1, 0, 9]);
    let (_, some, cut) = ask(&client, DNS, "a.org.").await;
    assert!(cut.metadata.truncation && !some.is_empty() && some.len() < 60);
    let mut large = query("a.org.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    large.set_edns(edns);
    let server = SocketAddrV4::new(DNS.into(), 53);
    let answer = exchange_udp(client.as_ref(), server, &large, WAIT).await.unwrap();
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 60);
    // And the stub resolver asks again over TCP.
    let conf = crate::workloads::ResolvConf { nameservers: vec![DNS.into()], search: Vec::new(), ndots: 1 };
    assert_eq!(crate::workloads::resolver::resolve(client.as_ref(), &conf, "a.org").await.unwrap().len(), 60);
}

#[tokio::test]
async fn a_changed_corefile_is_reloaded_and_a_bad_one_is_not() {
    let net = Net::default();
    let old = ". {\n reload 2s 0s\n prometheus :9153\n hosts {\n  10.0.0.1 a.org\n }\n}\n";
    let rig = started(&net, DNS, old).await;
    let client = net.host([10, 1, 0, 9]);
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 0, 0, 1)]);
    // Comments do not count.
    rig.mount(&[(CONF, &format!("{old}# the end\n"))]);
    rig.container.clock.advance(Duration::from_secs(2));
    // Nested: CoreDNS's parser reads it, and its start refuses it.
    rig.mount(&[(CONF, ". {\n reload 2s 0s\n b.org:53 {\n  whoami\n }\n}\n")]);
    tokio::task::yield_now().await;
    rig.container.clock.advance(Duration::from_secs(2));
    let failed = rig.logged("reload failed").await;
    assert_eq!(
        failed,
        "[ERROR] plugin/reload: Corefile changed but reload failed: starting with listener file descriptors: \
         /etc/coredns/Corefile:3 - Error during parsing: Unknown directive 'b.org:53'"
    );
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 0, 0, 1)]);
    // Not even a parser reads this.
    rig.mount(&[(CONF, ". {\n")]);
    rig.container.clock.advance(Duration::from_secs(2));
    rig.logged("[WARNING] plugin/reload: Corefile parse failed: /etc/coredns/Corefile:1").await;
    assert!(!rig.log().iter().any(|line| line.contains("Reloading complete")));
    rig.mount(&[(CONF, &old.replace("10.0.0.1", "10.0.0.2"))]);
    rig.container.clock.advance(Duration::from_secs(2));
    rig.logged("[INFO] Reloading complete").await;
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 0, 0, 2)]);
    let other = Rig::new(client, &[]);
    let (_, metrics, _) = other.exec(nginx::Nginx, &["curl", "-s", "http://10.1.0.53:9153/metrics"]).await;
    assert!(metrics.contains("\ncoredns_reload_failed_total 1\n"), "{metrics}");
    let running = rig.log().into_iter().rfind(|line| line.contains("SHA512")).unwrap();
    let hash = running.rsplit(' ').next().unwrap();
    let exported = format!("coredns_reload_version_info{{hash=\"sha512\",value=\"{hash}\"}} 1");
    assert!(metrics.contains(&exported), "{metrics}");
    assert!(metrics.contains("coredns_dns_requests_total{server=\"dns://:53\""), "{metrics}");
}

#[tokio::test]
async fn without_reload_nothing_is_reloaded() {
    let net = Net::default();
    let rig = started(&net, DNS, ". {\n hosts {\n  10.0.0.1 a.org\n }\n}\n").await;
    rig.mount(&[(CONF, ". {\n reload\n}\n")]);
    rig.container.clock.advance(Duration::from_secs(3600));
    let client = net.host([10, 1, 0, 9]);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&client, DNS, "a.org.").await.1, [Ipv4Addr::new(10, 0, 0, 1)]);
    assert!(!rig.log().iter().any(|line| line.contains("Reloading")));
}

#[tokio::test]
async fn health_and_ready_answer_over_http() {
    let net = Net::default();
    started(&net, DNS, ". {\n health\n ready\n whoami\n}\n").await;
    let client = Rig::new(net.host([10, 1, 0, 9]), &[]);
    for (url, expected) in [
        ("http://10.1.0.53:8080/health", "OK 200"),
        ("http://10.1.0.53:8181/ready", "OK 200"),
        ("http://10.1.0.53:8181/health", "404 page not found\n 404"),
    ] {
        let (code, output, _) = client.exec(nginx::Nginx, &["curl", "-s", "-w", " %{http_code}", url]).await;
        assert_eq!((code, output.as_str()), (0, expected));
    }
    let (code, _, _) = client.exec(nginx::Nginx, &["curl", "-s", "http://10.1.0.53:9153/metrics"]).await;
    assert_eq!(code, curl::code::COULDNT_CONNECT);
}

#[tokio::test]
async fn the_image_has_nothing_but_coredns() {
    let rig = Rig::new(Net::default().host(DNS), &[]);
    let (code, output, _) = rig.exec(CoreDns, &["/coredns", "-version"]).await;
    assert_eq!((code, output.lines().next().unwrap()), (0, "CoreDNS-1.13.2"));
    let (code, _, error) = rig.exec(CoreDns, &["sh"]).await;
    assert_eq!(code, 127);
    assert!(error.contains("exec: \"sh\": executable file not found in $PATH"));
}
