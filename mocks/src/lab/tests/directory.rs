//! Who is on the network.

use std::collections::BTreeSet;

use super::{ONE, config};
use crate::lab::{HostRole, Lab, LabConfig, LabHost};
use crate::network::NetworkKind;
use crate::network::tests::kernel_is_allowed;

async fn listed(lab: &Lab) -> Vec<LabHost> {
    let answer = reqwest::get(format!("{}/hosts", lab.control_url())).await.expect("an answer");
    let hosts = answer.json().await.expect("hosts");
    assert_eq!(hosts, lab.hosts());
    hosts
}

fn pod<'a>(hosts: &'a [LabHost], name: &str) -> &'a LabHost {
    let found = hosts.iter().find(|it| it.path().starts_with(&format!("tidb-1/kube-system/{name}")));
    found.unwrap_or_else(|| panic!("no {name} in {hosts:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_listed_with_what_the_kubelet_writes_into_them() {
    let lab = Lab::start(LabConfig::default()).await.expect("a lab");
    assert_eq!(listed(&lab).await, []);
    lab.create_cluster(&config(ONE)).await.expect("a cluster");
    let hosts = listed(&lab).await;
    assert!(hosts.iter().all(|host| host.network_namespace.is_none()), "the model has none");
    assert_eq!(hosts.iter().filter(|host| host.role == HostRole::DnsServer).count(), 1);

    let coredns = pod(&hosts, "coredns");
    let files = coredns.files.as_ref().expect("files");
    assert_eq!(files.hostname, coredns.name);
    assert_eq!(files.hosts, format!("127.0.0.1\tlocalhost\n{}\t{}\n", coredns.address, coredns.name));
    // Its `dnsPolicy` is `Default`: what DHCP gives the node.
    let of_node = "search us-west-2.compute.internal\nnameserver 10.1.0.2\noptions ndots:1\n";
    assert_eq!(files.resolv_conf, of_node);

    let proxy = pod(&hosts, "kube-proxy");
    let nodes: Vec<_> = hosts.iter().filter(|host| matches!(&host.role, HostRole::Node { .. })).collect();
    assert_eq!(nodes.len(), 2);
    let node = nodes.iter().find(|node| node.address == proxy.address).expect("the node of a pod on its network");
    assert_eq!(node.path(), format!("tidb-1/{}", node.name));
    assert_eq!(node.files.as_ref().expect("files").resolv_conf, of_node);
    assert_eq!(proxy.files.as_ref().expect("files").hostname, node.name);

    lab.delete_cluster(ONE.1, ONE.0).await.expect("it is deleted");
    assert_eq!(listed(&lab).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_of_a_host_is_where_the_list_says() {
    if !kernel_is_allowed().await {
        return;
    }
    let lab = Lab::start(LabConfig { network: NetworkKind::Kernel, ..LabConfig::default() }).await.expect("a lab");
    lab.create_cluster(&config(ONE)).await.expect("a cluster");
    let hosts = listed(&lab).await;
    let mut inodes = BTreeSet::new();
    for host in &hosts {
        let place = host.network_namespace.expect("a namespace");
        let link = std::fs::read_link(format!("/proc/self/fd/{}", place.descriptor)).expect("an open file");
        assert_eq!(link.to_str(), Some(format!("net:[{}]", place.inode).as_str()), "{}", host.path());
        inodes.insert(place.inode);
    }
    let on_their_nodes = |host: &&LabHost| matches!(host.role, HostRole::Pod { host_network: true, .. });
    let own = hosts.len() - hosts.iter().filter(on_their_nodes).count();
    assert_eq!(inodes.len(), own, "each host has one of its own, but for pods on their nodes' network");
    lab.shutdown().await;
}
