//! `/etc/resolv.conf` of pods.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::PodSpec;

use super::Site;
use crate::workloads::ResolvConf;

/// `ndots` that the kubelet sets for pods that use the cluster's DNS.
const CLUSTER_NDOTS: usize = 5;

/// The domain of private DNS names in a region (VPC User Guide, "DNS attributes for your VPC").
pub fn private_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// The file of a node: what DHCP gives it in a VPC.
pub(super) fn of_node(site: &Site) -> ResolvConf {
    node(site.vpc_resolver, &site.region)
}

fn node(vpc_resolver: Ipv4Addr, region: &str) -> ResolvConf {
    ResolvConf { nameservers: vec![vpc_resolver], search: vec![private_domain(region)], ndots: 1 }
}

/// The file for a pod, by its `dnsPolicy` and `dnsConfig`. A `ClusterFirst` pod on the host's network gets the node's.
pub fn resolv_conf(site: &Site, namespace: &str, spec: &PodSpec) -> ResolvConf {
    build(site.cluster_dns, site.vpc_resolver, &site.region, namespace, spec)
}

fn build(cluster_dns: Ipv4Addr, vpc_resolver: Ipv4Addr, region: &str, namespace: &str, spec: &PodSpec) -> ResolvConf {
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let host_network = spec.host_network == Some(true);
    let node = node(vpc_resolver, region);
    let mut conf = match policy {
        "None" => ResolvConf { ndots: 1, ..ResolvConf::default() },
        "Default" => node,
        "ClusterFirst" if host_network => node,
        _ => ResolvConf {
            nameservers: vec![cluster_dns],
            search: vec![
                format!("{namespace}.svc.cluster.local"),
                "svc.cluster.local".to_owned(),
                "cluster.local".to_owned(),
                private_domain(region),
            ],
            ndots: CLUSTER_NDOTS,
        },
    };
    if let Some(config) = &spec.dns_config {
        let nameservers = config.nameservers.iter().flatten().filter_map(|address| address.parse().ok());
        append(&mut conf.nameservers, nameservers);
        append(&mut conf.search, config.searches.iter().flatten().cloned());
        let ndots = config.options.iter().flatten().find(|option| option.name.as_deref() == Some("ndots"));
        conf.ndots = ndots.and_then(|option| option.value.as_deref()?.parse().ok()).unwrap_or(conf.ndots);
    }
    conf
}

fn append<T: PartialEq>(list: &mut Vec<T>, more: impl Iterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const CLUSTER: &str = "search ns1.svc.cluster.local svc.cluster.local cluster.local us-west-2.compute.internal\nnameserver 172.20.0.10\noptions ndots:5\n";
    const NODE: &str = "search us-west-2.compute.internal\nnameserver 10.1.0.2\noptions ndots:1\n";

    #[rstest]
    #[case::usual(json!({}), CLUSTER)]
    #[case::default(json!({ "dnsPolicy": "Default" }), NODE)]
    #[case::host_network(json!({ "hostNetwork": true }), NODE)]
    #[case::host_network_with_cluster_dns(
        json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" }), CLUSTER
    )]
    #[case::own(
        json!({ "dnsPolicy": "None", "dnsConfig": {
            "nameservers": ["10.9.9.9"], "searches": ["a.b"], "options": [{ "name": "ndots", "value": "2" }],
        }}),
        "search a.b\nnameserver 10.9.9.9\noptions ndots:2\n"
    )]
    fn the_policy_decides(#[case] spec: Value, #[case] expected: &str) {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod's spec");
        let conf = build(Ipv4Addr::new(172, 20, 0, 10), Ipv4Addr::new(10, 1, 0, 2), "us-west-2", "ns1", &spec);
        assert_eq!(conf.to_string(), expected);
    }

    #[test]
    fn the_first_region_has_a_domain_of_its_own() {
        assert_eq!(private_domain("us-east-1"), "ec2.internal");
    }
}
