//! The tables of invariants, and for each invariant a deviation that it catches.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{documented, observe};
use super::{Outcome, UNCHECKED, find, invariants, judge, unchecked_clauses};
use crate::document::{CLAUSES, Level, NOT_COVERED, clause};
use crate::observation::{
    ClusterObservation, DnsService, Eks, Kubernetes, LoadBalancer, Observation, Peering, ProbeRequest, ProbeResult,
    Ready, Route, SecurityGroup, Unread,
};
use crate::topology::Topology;

type Deviation = fn(&mut Topology, &mut Observation);

fn one(observation: &mut Observation) -> &mut ClusterObservation {
    &mut observation.clusters[0]
}

fn eks(observation: &mut Observation) -> &mut Eks {
    one(observation).eks.as_mut().unwrap()
}

fn kubernetes(observation: &mut Observation) -> &mut Kubernetes {
    one(observation).kubernetes.as_mut().unwrap()
}

fn service(observation: &mut Observation) -> &mut DnsService {
    kubernetes(observation).dns_service.as_mut().unwrap()
}

fn load_balancer(observation: &mut Observation) -> &mut LoadBalancer {
    &mut one(observation).load_balancers[0]
}

fn edit(observation: &mut Observation, from: &str, to: &str) {
    let corefile = kubernetes(observation).corefile.as_mut().unwrap();
    assert!(corefile.contains(from), "{from}");
    *corefile = corefile.replacen(from, to, 1);
}

fn append(observation: &mut Observation, text: &str) {
    kubernetes(observation).corefile.as_mut().unwrap().push_str(text);
}

/// Replaces the results of the requests from cluster 1 to cluster `to` that are asked for.
fn answer(observation: &mut Observation, to: usize, asked: fn(&ProbeRequest) -> bool, result: ProbeResult) {
    let mut count = 0;
    for probe in observation.probes.iter_mut().filter(|it| it.from == 0 && it.to == to && asked(&it.request)) {
        probe.result = result.clone();
        count += 1;
    }
    assert_ne!(count, 0);
}

fn is_http(request: &ProbeRequest) -> bool {
    matches!(request, ProbeRequest::Http { pod, .. } if pod == "sample-nginx")
}

fn is_from_second_node(request: &ProbeRequest) -> bool {
    matches!(request, ProbeRequest::Http { pod, .. } if pod == "acrossk8s-prober-00001")
}

fn is_dns(request: &ProbeRequest) -> bool {
    matches!(request, ProbeRequest::Dns { .. })
}

fn is_port(request: &ProbeRequest, wanted: u16) -> bool {
    matches!(request, ProbeRequest::Tcp { port, .. } if *port == wanted)
}

/// Deviations of cluster 1 from the documented two, each with the invariants that fail: those, and no other.
const DEVIATIONS: &[(&str, &[&str], Deviation)] = &[
    ("nothing of AWS could be read", &["observation-complete"], |_, o| {
        *one(o) = ClusterObservation { kubernetes: one(o).kubernetes.take(), ..one(o).clone() };
        one(o).route_tables.clear();
        let (what, why) = ("route tables in us-west-1".to_owned(), "UnauthorizedOperation".to_owned());
        o.unread.push(Unread { cluster: None, what, why });
    }),
    ("a version that is not known", &["observation-complete"], |_, o| o.version = 7),
    ("an unread part of no cluster there is", &["observation-complete"], |_, o| {
        o.unread.push(Unread { cluster: Some(9), what: "EKS".to_owned(), why: "no".to_owned() });
    }),
    ("overlapping blocks", &["cidr-blocks-disjoint"], |t, o| {
        t.clusters[0].cidr_block = "10.0.0.0/14".parse().unwrap();
        *o = observe(t);
    }),
    ("a VPC in a service block", &["service-cidr-disjoint"], |_, o| {
        eks(o).service_cidr = Some("10.2.128.0/20".parse().unwrap());
    }),
    ("a configuration of another region", &["cluster-config"], |_, o| {
        one(o).cluster_config = Some(one(o).cluster_config.take().unwrap().replace("us-west-1", "us-west-9"));
    }),
    ("a configuration without nodes", &["cluster-config"], |_, o| {
        let config = one(o).cluster_config.take().unwrap();
        one(o).cluster_config = Some(config.split("nodeGroups").next().unwrap().to_owned());
    }),
    ("a configuration that is no YAML", &["cluster-config"], |_, o| one(o).cluster_config = Some("{".to_owned())),
    ("a configuration that nobody kept", &["cluster-config"], |_, o| one(o).cluster_config = None),
    ("the same name and region twice", &["cluster-names-distinct"], |t, o| {
        t.clusters[1].name = t.clusters[0].name.clone();
        t.clusters[1].region = t.clusters[0].region.clone();
        *o = observe(t);
    }),
    ("a cluster that is being created", &["cluster-active"], |_, o| eks(o).status = "CREATING".to_owned()),
    ("a degraded node group", &["cluster-active"], |_, o| {
        eks(o).nodegroups.insert("admin".to_owned(), "DEGRADED".to_owned());
    }),
    ("no such cluster", &["cluster-active"], |_, o| {
        let cluster = one(o);
        *cluster = ClusterObservation {
            cluster_config: cluster.cluster_config.clone(),
            coredns_backup: cluster.coredns_backup.clone(),
            ..ClusterObservation::default()
        };
        o.peerings.clear();
        o.probes.retain(|it| it.from != 0 && it.to != 0);
    }),
    ("Auto Mode", &["auto-mode-off"], |_, o| {
        eks(o).auto_mode = true;
        kubernetes(o).coredns_pods.clear();
        service(o).ready_endpoints.clear();
    }),
    ("another VPC", &["vpc-known"], |_, o| eks(o).vpc = "vpc-0".to_owned()),
    ("a second block", &["vpc-cidr-block"], |_, o| {
        one(o).vpc.as_mut().unwrap().cidr_blocks.push("100.64.0.0/16".parse().unwrap());
    }),
    ("a subnet of the second block", &["subnets-within-vpc"], |_, o| {
        one(o).subnets[0].cidr_block = "100.64.0.0/19".parse().unwrap();
    }),
    ("no context", &["context-works"], |_, o| kubernetes(o).context.clear()),
    ("an API that does not answer", &["observation-complete"], |_, o| {
        one(o).kubernetes = None;
        o.unread.push(Unread { cluster: Some(0), what: "Kubernetes".to_owned(), why: "timed out".to_owned() });
    }),
    ("the same context twice", &["contexts-distinct"], |_, o| {
        let (context, endpoint, uid) = {
            let other = o.clusters[1].kubernetes.as_ref().unwrap();
            (other.context.clone(), other.endpoint.clone(), other.uid.clone())
        };
        let mine = kubernetes(o);
        (mine.context, mine.endpoint, mine.uid) = (context, endpoint, uid);
    }),
    ("a node that is not ready", &["nodes-ready"], |_, o| kubernetes(o).nodes[1].ready = false),
    ("another cluster domain", &["cluster-domain"], |_, o| {
        let conf = kubernetes(o).resolv_conf.take().unwrap();
        kubernetes(o).resolv_conf = Some(conf.replace("cluster.local", "k8s.test"));
    }),
    ("another name server", &["cluster-domain"], |_, o| {
        kubernetes(o).resolv_conf.as_mut().unwrap().push_str("nameserver 8.8.8.8\n");
    }),
    ("the node's name server, and the peer's name without an answer", &["cluster-domain"], |_, o| {
        kubernetes(o).resolv_conf = Some("nameserver 10.1.0.2\n".to_owned());
        answer(o, 1, is_http, ProbeResult::Unresolved);
    }),
    ("another VPC taken for the cluster's", &["vpc-known"], |_, o| one(o).vpc_taken = Some("vpc-9".to_owned())),
    ("the cluster's own VPC taken", &[], |_, o| one(o).vpc_taken = one(o).vpc.as_ref().map(|vpc| vpc.id.clone())),
    ("no peering", &["peering-exists"], |_, o| o.peerings.clear()),
    ("a deleted peering", &["peering-exists"], |_, o| o.peerings[0].state = acrossk8s_vpc::PeeringState::Deleted),
    ("two peerings", &["peering-exists"], |_, o| {
        let twice = Peering { id: "pcx-0".to_owned(), ..o.peerings[0].clone() };
        o.peerings.push(twice);
    }),
    ("a peering that was rejected before", &[], |_, o| {
        let state = acrossk8s_vpc::PeeringState::Rejected;
        let before = Peering { id: "pcx-0".to_owned(), state, ..o.peerings[0].clone() };
        o.peerings.push(before);
    }),
    ("a peering the other way round", &["peering-roles"], |_, o| {
        let it = &mut o.peerings[0];
        std::mem::swap(&mut it.requester_vpc, &mut it.accepter_vpc);
        std::mem::swap(&mut it.requester_cidr, &mut it.accepter_cidr);
    }),
    ("a peering being provisioned", &["peering-active"], |_, o| {
        o.peerings[0].state = acrossk8s_vpc::PeeringState::Provisioning;
    }),
    ("a peering of another block", &["peering-cidr-blocks"], |_, o| {
        o.peerings[0].accepter_cidr = Some("10.9.0.0/16".parse().unwrap());
    }),
    ("a route missing in one of four tables", &["route-to-peer"], |_, o| {
        one(o).route_tables[4].routes.retain(|route| !route.target.starts_with("pcx-"));
    }),
    ("a propagated route", &["route-to-peer"], |_, o| {
        let routes = &mut one(o).route_tables[2].routes;
        let route = routes.iter_mut().find(|route| route.target.starts_with("pcx-")).unwrap();
        route.origin = "EnableVgwRoutePropagation".to_owned();
    }),
    ("a subnet with the main table, which has no route", &["route-to-peer"], |_, o| {
        one(o).route_tables[2].subnets.clear();
    }),
    ("a more specific route to a transit gateway", &["route-not-shadowed"], |_, o| {
        let (destination, target) = ("10.2.3.0/24".parse().unwrap(), "tgw-0".to_owned());
        let (state, origin) = ("active".to_owned(), "CreateRoute".to_owned());
        one(o).route_tables[1].routes.push(Route { destination, target, state, origin });
    }),
    ("an ACL that denies the peer", &["network-acl-allows"], |_, o| {
        let mut entry = one(o).network_acls[0].entries[0].clone();
        (entry.number, entry.allow, entry.cidr_block) = (50, false, "10.2.0.0/16".parse().unwrap());
        one(o).network_acls[0].entries.push(entry);
    }),
    ("a more specific route in the table of one node, which is cut off", &["route-not-shadowed"], |_, o| {
        let (destination, target) = ("10.2.96.0/20".parse().unwrap(), "nat-0".to_owned());
        let (state, origin) = ("active".to_owned(), "CreateRoute".to_owned());
        one(o).route_tables[1].routes.push(Route { destination, target, state, origin });
        answer(o, 1, is_from_second_node, ProbeResult::TimedOut);
    }),
    ("an ACL that stops TiDB's ports", &["network-acl-allows"], |_, o| {
        let mut entry = one(o).network_acls[0].entries[0].clone();
        (entry.number, entry.allow, entry.egress) = (50, false, true);
        one(o).network_acls[0].entries.push(entry);
        answer(o, 1, |request| is_port(request, 2379), ProbeResult::TimedOut);
    }),
    ("an interface that bears the load balancer's name and lets nobody in", &["load-balancer-addresses"], |_, o| {
        let name = load_balancer(o).name.clone();
        let mut strange = one(o).interfaces[0].clone();
        (strange.id, strange.description) = ("eni-9".to_owned(), format!("ELB net/{name}/strange"));
        strange.addresses = vec!["10.1.96.77".parse().unwrap()];
        (strange.instance, strange.security_groups) = (None, vec!["sg-9".to_owned()]);
        let closed = SecurityGroup { id: "sg-9".to_owned(), ingress: Vec::new(), ..one(o).security_groups[0].clone() };
        load_balancer(o).addresses.push("10.1.96.77".parse().unwrap());
        one(o).security_groups.push(closed);
        one(o).interfaces.push(strange);
    }),
    ("no rule for the peer", &["security-group-rules"], |_, o| {
        one(o).security_groups[0].ingress.retain(|rule| rule.description.is_none());
    }),
    ("no group of the documented name", &["security-group-rules"], |_, o| one(o).security_groups[0].name = None),
    ("a rule for TCP only", &["security-group-rules"], |_, o| {
        let rules = &mut one(o).security_groups[0].ingress;
        let rule = rules.iter_mut().find(|rule| rule.description.is_some()).unwrap();
        (rule.protocol, rule.from_port, rule.to_port) = ("tcp".to_owned(), 0, 65535);
    }),
    ("one interface without the group", &["interface-security-groups"], |_, o| {
        one(o).interfaces[1].security_groups.remove(0);
    }),
    ("no egress", &["security-group-egress"], |_, o| {
        for group in &mut one(o).security_groups {
            group.egress.clear();
        }
    }),
    ("no Service", &["dns-service"], |_, o| kubernetes(o).dns_service = None),
    ("a Service without the annotation for an internal one", &["dns-service"], |_, o| {
        service(o).annotations.remove("service.beta.kubernetes.io/aws-load-balancer-internal");
        load_balancer(o).scheme = "internet-facing".to_owned();
    }),
    ("a Service on UDP", &["dns-service"], |_, o| service(o).ports[0].2 = "UDP".to_owned()),
    ("a Service of more pods than CoreDNS's", &["dns-service-endpoints"], |_, o| {
        service(o).ready_endpoints.insert("10.1.96.99".parse().unwrap());
    }),
    ("no CoreDNS pod", &["dns-service-endpoints"], |_, o| {
        kubernetes(o).coredns_pods.clear();
        service(o).ready_endpoints.clear();
        o.probes.retain(|it| it.from != 0 || !is_dns(&it.request));
    }),
    ("a Service on UDP without a healthy target", &["dns-service"], |_, o| {
        service(o).ports[0].2 = "UDP".to_owned();
        load_balancer(o).listeners[0].targets.clear();
    }),
    ("a Service without a host name", &["dns-service-hostname"], |_, o| service(o).hostname = None),
    ("a warning", &["dns-service-warnings"], |_, o| {
        service(o).warnings.push("SyncLoadBalancerFailed: no subnets".to_owned());
    }),
    ("a name of the AWS Load Balancer Controller", &["load-balancer-name"], |_, o| {
        let host = "k8s-kubesyst-acrosscl-0123456789-0123456789abcdef.elb.us-west-1.amazonaws.com";
        service(o).hostname = Some(host.to_owned());
        load_balancer(o).dns_name = host.to_owned();
    }),
    ("no load balancer of that host name", &["load-balancer-exists"], |_, o| one(o).load_balancers.clear()),
    ("a load balancer being provisioned", &["load-balancer-active"], |_, o| {
        load_balancer(o).state = "provisioning".to_owned();
    }),
    ("a load balancer without cross-zone balancing", &["load-balancer-form"], |_, o| {
        load_balancer(o).cross_zone = false;
    }),
    ("no healthy target", &["load-balancer-targets"], |_, o| {
        for target in &mut load_balancer(o).listeners[0].targets {
            target.health = "unhealthy".to_owned();
        }
    }),
    ("a zone without an address", &["load-balancer-addresses"], |_, o| {
        load_balancer(o).addresses.pop();
    }),
    ("no rule for the node port", &["load-balancer-open"], |_, o| {
        // All traffic of the peer comes in on one node only.
        let interfaces = &mut one(o).interfaces;
        interfaces[0].security_groups = vec!["sg-0".to_owned()];
        let mut open = one(o).security_groups[0].clone();
        open.id = "sg-0".to_owned();
        open.name = None;
        open.ingress.retain(|rule| rule.protocol == "-1");
        one(o).security_groups.push(open);
        one(o).security_groups[1].ingress.clear();
        let mut front = one(o).security_groups[1].clone();
        front.id = "sg-1".to_owned();
        one(o).security_groups.push(front);
        let is_front = |it: &&mut crate::observation::Interface| it.description.starts_with("ELB net/");
        one(o).interfaces.iter_mut().find(is_front).unwrap().security_groups.push("sg-1".to_owned());
    }),
    ("the same namespace", &["namespaces-distinct"], |t, o| {
        t.clusters[1].namespace = t.clusters[0].namespace.clone();
        *o = observe(t);
    }),
    ("no namespace", &["namespace-exists"], |_, o| {
        kubernetes(o).namespaces.remove("tidb-ns-1");
    }),
    ("no back-up", &["corefile-backup"], |_, o| one(o).coredns_backup = None),
    ("a back-up that is not a ConfigMap", &["corefile-backup"], |_, o| {
        one(o).coredns_backup = Some("a: 1\n".to_owned())
    }),
    ("a back-up from after the edit", &["corefile-backup-before-edit"], |_, o| {
        let corefile = kubernetes(o).corefile.clone().unwrap();
        let corefile: String = corefile.lines().map(|line| format!("    {line}\n")).collect();
        one(o).coredns_backup = Some(format!("data:\n  Corefile: |\n{corefile}"));
    }),
    ("a zone within the default block", &["corefile-zones-top-level"], |_, o| {
        edit(
            o,
            "    errors\n",
            "    errors\n    tidb-ns-2.svc.cluster.local:53 {\n        forward . 10.2.96.200\n    }\n",
        );
    }),
    ("a plugin that there is not", &["corefile-accepted"], |_, o| append(o, "example.com {\n    nonsense\n}\n")),
    ("a Corefile cut off", &["corefile-accepted"], |_, o| append(o, "example.com {\n")),
    ("no Corefile", &["corefile-accepted"], |_, o| kubernetes(o).corefile = None),
    ("too many upstreams", &["corefile-accepted"], |_, o| {
        let many: Vec<String> = (1..=16).map(|host| format!("10.9.0.{host}")).collect();
        append(o, &format!("example.com {{\n    forward . {}\n}}\n", many.join(" ")));
    }),
    ("a longer cache in the default block", &["corefile-default-block"], |_, o| edit(o, "cache 30", "cache 60")),
    ("the own namespace forwarded", &["corefile-own-zone"], |_, o| {
        append(o, "tidb-ns-1.svc.cluster.local:53 {\n    forward . 10.1.96.200\n}\n");
    }),
    ("the own namespace forwarded, and no answer to the peer", &["corefile-own-zone"], |_, o| {
        append(o, "tidb-ns-1.svc.cluster.local:53 {\n    forward . 10.1.96.200\n}\n");
        for probe in o.probes.iter_mut().filter(|it| it.from == 1 && it.to == 0 && is_dns(&it.request)) {
            probe.result = ProbeResult::TimedOut;
        }
    }),
    ("a namespace of no cluster", &["corefile-stray-zones"], |_, o| {
        append(o, "tidb-ns-9.svc.cluster.local:53 {\n    forward . 10.9.96.200\n}\n");
    }),
    ("another organisation's zone", &[], |_, o| append(o, "example.com:53 {\n    forward . 192.0.2.53\n}\n")),
    ("no reload", &["corefile-reload"], |_, o| {
        edit(o, "    reload\n", "");
        one(o).coredns_backup = Some(one(o).coredns_backup.take().unwrap().replace("        reload\n", ""));
    }),
    ("no zone of the peer", &["corefile-zone"], |_, o| {
        let corefile = kubernetes(o).corefile.take().unwrap();
        kubernetes(o).corefile = Some(corefile.split("tidb-ns-2").next().unwrap().to_owned());
    }),
    ("a zone on another port", &["corefile-zone"], |_, o| edit(o, "local:53", "local:1053")),
    ("a zone without cache", &["corefile-zone-form"], |_, o| {
        edit(o, "    cache 30\n    forward . 10", "    forward . 10")
    }),
    ("an upstream too few", &["corefile-upstreams"], |_, o| edit(o, "10.2.96.200 ", "")),
    ("an upstream too many", &["corefile-upstreams"], |_, o| edit(o, "10.2.96.200 ", "10.2.96.200 10.2.96.201 ")),
    ("an upstream on another port", &["corefile-upstreams"], |_, o| edit(o, "10.2.96.200 ", "10.2.96.200:54 ")),
    ("an upstream twice", &["corefile-upstreams"], |_, o| edit(o, "10.2.96.200 ", "10.2.96.200 10.2.96.200 ")),
    ("no force_tcp", &["corefile-force-tcp"], |_, o| edit(o, "force_tcp", "prefer_udp")),
    ("another image", &["nginx-pod"], |_, o| kubernetes(o).nginx.as_mut().unwrap().image = "nginx".to_owned()),
    ("no subdomain", &["nginx-pod"], |_, o| kubernetes(o).nginx.as_mut().unwrap().subdomain = None),
    ("a Service that is not headless", &["nginx-service"], |_, o| {
        kubernetes(o).nginx_service.as_mut().unwrap().headless = false;
    }),
    ("no nginx Service", &["nginx-service"], |_, o| kubernetes(o).nginx_service = None),
    ("an nginx pod that is not ready", &["nginx-ready"], |_, o| {
        kubernetes(o).nginx.as_mut().unwrap().ready = false;
    }),
    ("no nginx pod", &["nginx-pod"], |_, o| kubernetes(o).nginx = None),
    ("another page", &["http-to-peer"], |_, o| {
        let (remote, seen_source) = ("10.2.96.12".parse().ok(), "10.1.96.10".parse().ok());
        answer(o, 1, is_http, ProbeResult::Http { status: 200, welcome: false, remote, seen_source });
    }),
    ("an answer of another pod", &["http-to-peer"], |_, o| {
        let (remote, seen_source) = ("10.1.96.12".parse().ok(), "10.1.96.10".parse().ok());
        answer(o, 1, is_http, ProbeResult::Http { status: 200, welcome: true, remote, seen_source });
    }),
    ("a request that was not made", &["http-to-peer"], |_, o| {
        o.probes.retain(|it| it.from != 0 || !is_http(&it.request))
    }),
    ("nginx left over", &["nginx-removed"], |_, o| {
        one(o).left_after_check = Some(vec!["Pod sample-nginx".to_owned()]);
    }),
    ("the own name without an answer", &["own-name-resolves"], |_, o| {
        answer(o, 0, is_dns, ProbeResult::Dns { code: "NXDOMAIN".to_owned(), addresses: Vec::new() });
    }),
    ("one CoreDNS pod that did not reload", &["dns-answers-peer"], |_, o| {
        let probe = o.probes.iter_mut().find(|it| it.from == 0 && it.to == 1 && is_dns(&it.request)).unwrap();
        probe.result = ProbeResult::Dns { code: "NXDOMAIN".to_owned(), addresses: Vec::new() };
    }),
    ("one CoreDNS pod that was not asked", &["dns-answers-peer"], |_, o| {
        let first = o.probes.iter().position(|it| it.from == 0 && it.to == 1 && is_dns(&it.request)).unwrap();
        o.probes.remove(first);
    }),
    ("an answer with one address more", &["dns-answers-peer"], |_, o| {
        let addresses = vec!["10.2.96.12".parse().unwrap(), "10.2.96.13".parse().unwrap()];
        answer(o, 1, is_dns, ProbeResult::Dns { code: "NOERROR".to_owned(), addresses });
    }),
    ("one node that is cut off", &["http-from-every-node"], |_, o| {
        answer(o, 1, is_from_second_node, ProbeResult::TimedOut);
    }),
    ("one node without a prober", &["http-from-every-node"], |_, o| drop(kubernetes(o).probers.pop())),
    ("one node from which nothing was asked", &["http-from-every-node"], |_, o| {
        o.probes.retain(|it| it.from != 0 || !is_from_second_node(&it.request));
    }),
    ("no EBS CSI driver", &["ebs-csi-driver"], |_, o| kubernetes(o).ebs_csi_nodes = None),
    ("an EBS CSI driver that is not ready on one node", &["ebs-csi-driver"], |_, o| {
        kubernetes(o).ebs_csi_nodes = Some(Ready { wanted: 2, ready: 1 });
    }),
    ("an EBS CSI driver that is wanted nowhere", &["ebs-csi-driver"], |_, o| {
        kubernetes(o).ebs_csi_nodes = Some(Ready { wanted: 0, ready: 0 });
    }),
    ("no default StorageClass", &["default-storage-class"], |_, o| drop(kubernetes(o).storage_classes.pop())),
    ("a default StorageClass of another driver", &["default-storage-class"], |_, o| {
        kubernetes(o).storage_classes[1].provisioner = "efs.csi.aws.com".to_owned();
    }),
    ("no connection", &["tcp-to-peer"], |_, o| answer(o, 1, |it| is_port(it, 80), ProbeResult::TimedOut)),
    ("PD's port closed on the way", &["tidb-ports"], |_, o| {
        answer(o, 1, |it| is_port(it, 2379), ProbeResult::TimedOut);
    }),
    ("TiKV open already", &[], |_, o| answer(o, 1, |it| is_port(it, 20160), ProbeResult::Connected)),
    ("a source address of a NAT gateway", &["source-address"], |_, o| {
        let (remote, seen_source) = ("10.2.96.12".parse().ok(), "10.1.0.77".parse().ok());
        answer(o, 1, is_http, ProbeResult::Http { status: 200, welcome: true, remote, seen_source });
    }),
    ("the node's address though the peers are excluded", &["source-address"], |_, o| {
        let (name, value) = ("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS".to_owned(), "10.2.0.0/16".to_owned());
        kubernetes(o).aws_node_env.insert(name, value);
    }),
];

#[test]
fn each_deviation_fails_its_invariants_and_no_other() {
    let mut surprises = Vec::new();
    for (name, expected, deviation) in DEVIATIONS {
        let (mut topology, mut observation) = documented(2);
        deviation(&mut topology, &mut observation);
        let verdicts = judge(&topology, &observation);
        let fails: Vec<_> = verdicts.iter().filter(|verdict| verdict.outcome.is_fail()).collect();
        let failing: BTreeSet<&str> = fails.iter().map(|verdict| verdict.invariant.as_ref()).collect();
        if failing != expected.iter().copied().collect() {
            surprises.push(format!("{name}: {failing:?} instead of {expected:?}"));
        }
        for verdict in fails {
            let Outcome::Fail { evidence, explanation, remedy } = &verdict.outcome else { unreachable!() };
            if evidence.is_empty() || explanation.is_empty() || remedy.is_empty() {
                surprises.push(format!("{name}: {} has an empty part", verdict.invariant));
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn every_invariant_has_a_deviation() {
    let caught: BTreeSet<&str> = DEVIATIONS.iter().flat_map(|(_, expected, _)| *expected).copied().collect();
    let all: BTreeSet<&str> = invariants().iter().map(|invariant| invariant.id).collect();
    assert_eq!(caught, all);
}

#[test]
fn ids_are_kebab_case_and_each_is_there_once() {
    let ids: BTreeSet<&str> = invariants().iter().map(|invariant| invariant.id).collect();
    assert_eq!(ids.len(), invariants().len());
    for id in ids {
        assert!(id.split('-').all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase())), "{id}");
    }
}

#[test]
fn levels_are_those_of_the_most_binding_clause_and_clauses_exist() {
    for invariant in invariants() {
        let levels: Vec<Level> = invariant.clauses.iter().map(|id| clause(*id).unwrap().level).collect();
        assert_eq!(Some(&invariant.level), levels.iter().min(), "{}", invariant.id);
    }
}

/// Walks down the causes; a cycle would make each explain the other.
#[test]
fn causes_exist_and_form_no_cycle() {
    fn depth(id: &'static str, known: &mut BTreeMap<&'static str, Option<usize>>) -> usize {
        match known.get(id) {
            Some(Some(depth)) => return *depth,
            Some(None) => panic!("{id} is its own cause"),
            None => {}
        }
        known.insert(id, None);
        let causes = find(id).unwrap_or_else(|| panic!("there is no invariant {id}")).causes;
        let found = causes.iter().map(|cause| depth(cause.invariant, known) + 1).max().unwrap_or(0);
        known.insert(id, Some(found));
        found
    }
    let mut known = BTreeMap::new();
    for invariant in invariants() {
        depth(invariant.id, &mut known);
    }
}

#[test]
fn every_clause_is_checked_or_has_a_reason() {
    let unchecked = unchecked_clauses();
    for (id, reason) in &unchecked {
        assert!(!reason.is_empty(), "{id} is neither checked nor has a reason");
    }
    // And none has both.
    assert_eq!(unchecked.len(), UNCHECKED.len() + NOT_COVERED.len());
    let checked = CLAUSES.len() - UNCHECKED.len();
    assert_eq!(CLAUSES.iter().filter(|it| unchecked.iter().all(|(id, _)| *id != it.id)).count(), checked);
}

#[test]
fn what_waits_for_the_clean_up_is_not_applicable() {
    let (topology, mut observation) = documented(2);
    for cluster in &mut observation.clusters {
        cluster.left_after_check = None;
    }
    observation.probes.retain(|it| !matches!(it.request, ProbeRequest::Tcp { port, .. } if port != 80));
    let verdicts = judge(&topology, &observation);
    let not_applicable: BTreeSet<&str> = verdicts
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::NotApplicable { .. }))
        .map(|it| it.invariant.as_ref())
        .collect();
    assert_eq!(not_applicable, BTreeSet::from(["nginx-removed", "tidb-ports"]));
    assert!(verdicts.iter().all(|it| it.outcome.is_pass() || not_applicable.contains(it.invariant.as_ref())));
}

#[test]
fn nothing_passes_of_an_empty_observation_but_what_the_topology_shows() {
    let (topology, _) = documented(2);
    let verdicts = judge(&topology, &Observation::default());
    let passing: BTreeSet<&str> =
        verdicts.iter().filter(|it| it.outcome.is_pass()).map(|it| it.invariant.as_ref()).collect();
    let of_topology =
        ["cidr-blocks-disjoint", "cluster-names-distinct", "namespaces-distinct", "service-cidr-disjoint"];
    assert_eq!(passing, BTreeSet::from(of_topology));
    let failing: BTreeSet<&str> =
        verdicts.iter().filter(|it| it.outcome.is_fail()).map(|it| it.invariant.as_ref()).collect();
    assert_eq!(failing, BTreeSet::from(["observation-complete"]));
}

#[test]
fn a_verdict_says_what_to_do() {
    let (topology, mut observation) = documented(2);
    observation.clusters[0].route_tables[4].routes.retain(|route| !route.target.starts_with("pcx-"));
    let verdicts = judge(&topology, &observation);
    let verdict = verdicts.iter().find(|verdict| verdict.outcome.is_fail()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(verdict).unwrap(), @r#"
    {
      "invariant": "route-to-peer",
      "title": "every route table of the cluster's subnets has an active route to the peer through their peering",
      "level": "must",
      "clauses": [
        "C2.3"
      ],
      "subject": {
        "kind": "direction",
        "from": 0,
        "to": 1
      },
      "outcome": "fail",
      "evidence": [
        "rtb-00000000000000104 (eksctl-tidb-1-cluster/PrivateRouteTableUSWEST1C) of subnet-00000000000000105 has no route to 10.2.0.0/16"
      ],
      "explanation": "A subnet sends by its own route table, so packets from tidb-1 to tidb-2, and its answers to what comes from there, are lost in the subnets named.",
      "remedy": "aws ec2 create-route --route-table-id rtb-00000000000000104 --destination-cidr-block 10.2.0.0/16 --vpc-peering-connection-id pcx-00000000000000102 --region us-west-1"
    }
    "#);
}

/// What each fault blocks, and by what: a change of the causes shows here.
#[test]
fn a_missing_route_blocks_what_needs_it() {
    let (topology, observation) = (super::fixture::BROKEN[0].make)();
    let verdicts = judge(&topology, &observation);
    let blocked: Vec<String> = verdicts
        .iter()
        .filter_map(|verdict| match &verdict.outcome {
            Outcome::Blocked { by, .. } => {
                let by: Vec<String> = by.iter().map(ToString::to_string).collect();
                Some(format!("{} ({}): {}", verdict.invariant, verdict.subject, by.join(", ")))
            }
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(blocked.join("\n"), @r#"
    http-to-peer (1 to 2): route-to-peer (1 to 2)
    http-to-peer (2 to 1): route-to-peer (1 to 2)
    http-from-every-node (1 to 2): route-to-peer (1 to 2)
    http-from-every-node (2 to 1): route-to-peer (1 to 2)
    tcp-to-peer (1 to 2): route-to-peer (1 to 2)
    tcp-to-peer (2 to 1): route-to-peer (1 to 2)
    dns-answers-peer (1 to 2): route-to-peer (1 to 2)
    dns-answers-peer (2 to 1): route-to-peer (1 to 2)
    tidb-ports (1 to 2): route-to-peer (1 to 2)
    tidb-ports (2 to 1): route-to-peer (1 to 2)
    source-address (1 to 2): route-to-peer (1 to 2)
    source-address (2 to 1): route-to-peer (1 to 2)
    "#);
}
