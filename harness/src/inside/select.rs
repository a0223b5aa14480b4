//! Which host a person means.

use std::net::Ipv4Addr;

use acrossk8s_mocks::lab::{HostRole, LabHost};

/// How a person names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Full name, the end of it (`namespace/pod`, `pod`), or an address.
    pub name: &'a str,
    /// Only of this cluster.
    pub cluster: Option<&'a str>,
    /// Only pods of this namespace.
    pub namespace: Option<&'a str>,
}

/// No host, or more than one, is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// None is.
    #[error("{wanted} is not on the network of this lab; there are:{}\n  to mend it: name one of them", lines(.there))]
    Nothing {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// Several are.
    #[error("{wanted} may be any of:{}\n  to mend it: name one in full, or add --cluster or --namespace", lines(.candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Those that it may be.
        candidates: Vec<String>,
    },
}

fn lines(all: &[String]) -> String {
    if all.is_empty() { " none".to_owned() } else { all.iter().map(|it| format!("\n  {it}")).collect() }
}

/// Finds the host that is meant. Names match by whole segments from their end. An address is the node's, not that of the
/// pods on its network.
///
/// # Errors
/// When it is none, or not one.
pub fn find<'h>(hosts: &'h [LabHost], wanted: Wanted<'_>) -> Result<&'h LabHost, SelectError> {
    let name = wanted.name.trim_matches('/');
    let named = |host: &LabHost| {
        let path = host.path();
        path == name || path.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
    };
    let addressed = |host: &LabHost| {
        let on_its_node = matches!(host.role, HostRole::Pod { host_network: true, .. });
        !on_its_node && name.parse() == Ok::<Ipv4Addr, _>(host.address)
    };
    let within = |host: &&LabHost| {
        let (cluster, namespace) = match &host.role {
            HostRole::Pod { cluster, namespace, .. } => (Some(cluster.as_str()), Some(namespace.as_str())),
            HostRole::Node { cluster } => (Some(cluster.as_str()), None),
            HostRole::LoadBalancer | HostRole::DnsServer => (None, None),
        };
        (wanted.cluster.is_none() || wanted.cluster == cluster)
            && (wanted.namespace.is_none() || wanted.namespace == namespace)
    };
    let shown = |hosts: &[&LabHost]| hosts.iter().map(|host| format!("{} ({})", host.path(), host.address)).collect();
    let found: Vec<_> = hosts.iter().filter(within).filter(|host| named(host) || addressed(host)).collect();
    match found[..] {
        [only] => Ok(only),
        [] => {
            let there: Vec<_> = hosts.iter().filter(within).collect();
            Err(SelectError::Nothing { wanted: wanted.name.to_owned(), there: shown(&there) })
        }
        _ => Err(SelectError::Ambiguous { wanted: wanted.name.to_owned(), candidates: shown(&found) }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn host(path: &str, address: [u8; 4]) -> LabHost {
        let (role, name) = match path.split('/').collect::<Vec<_>>()[..] {
            [cluster, namespace, name] => {
                let host_network = name == "kube-proxy";
                (HostRole::Pod { cluster: cluster.into(), namespace: namespace.into(), host_network }, name)
            }
            ["k8s-dns", _] => (HostRole::LoadBalancer, path),
            [cluster, name] => (HostRole::Node { cluster: cluster.into() }, name),
            _ => panic!("{path}"),
        };
        let (name, vpc) = (name.to_owned(), "vpc-1".to_owned());
        LabHost { role, name, vpc, address: address.into(), network_namespace: None, files: None }
    }

    fn hosts() -> Vec<LabHost> {
        vec![
            host("k8s-dns/us-west-2a", [10, 1, 0, 9]),
            host("one/kube-system/coredns", [10, 1, 0, 5]),
            host("one/kube-system/kube-proxy", [10, 1, 0, 4]),
            host("one/node", [10, 1, 0, 4]),
            host("one/shop/web", [10, 1, 0, 6]),
            host("two/kube-system/coredns", [10, 2, 0, 5]),
            host("two/shop/web", [10, 2, 0, 6]),
            host("two/test/web", [10, 2, 0, 7]),
        ]
    }

    #[rstest]
    #[case::in_full("one/kube-system/coredns", None, None, "one/kube-system/coredns")]
    #[case::without_the_cluster("test/web", None, None, "two/test/web")]
    #[case::by_name_alone("kube-proxy", None, None, "one/kube-system/kube-proxy")]
    #[case::of_a_cluster("coredns", Some("two"), None, "two/kube-system/coredns")]
    #[case::of_a_namespace("web", None, Some("test"), "two/test/web")]
    #[case::of_both("web", Some("one"), Some("shop"), "one/shop/web")]
    #[case::node("node", None, None, "one/node")]
    #[case::address_of_a_node("10.1.0.4", None, None, "one/node")]
    #[case::address_of_a_pod("10.2.0.7", None, None, "two/test/web")]
    #[case::load_balancer("k8s-dns/us-west-2a", None, None, "k8s-dns/us-west-2a")]
    fn one_is_found(
        #[case] name: &str,
        #[case] cluster: Option<&str>,
        #[case] namespace: Option<&str>,
        #[case] expected: &str,
    ) {
        let hosts = hosts();
        let found = find(&hosts, Wanted { name, cluster, namespace }).map(LabHost::path);
        assert_eq!(found, Ok(expected.to_owned()));
    }

    #[rstest]
    #[case::every_web("web", &["one/shop/web (10.1.0.6)", "two/shop/web (10.2.0.6)", "two/test/web (10.2.0.7)"])]
    #[case::both_of_a_namespace("shop/web", &["one/shop/web (10.1.0.6)", "two/shop/web (10.2.0.6)"])]
    fn what_may_be_several_is_listed(#[case] name: &str, #[case] expected: &[&str]) {
        let candidates = expected.iter().map(|&it| it.to_owned()).collect();
        let error = find(&hosts(), Wanted { name, cluster: None, namespace: None }).map(LabHost::path);
        assert_eq!(error, Err(SelectError::Ambiguous { wanted: name.to_owned(), candidates }));
    }

    #[rstest]
    #[case::a_part_of_a_name("eb", Some("two"), Some("test"), &["two/test/web (10.2.0.7)"])]
    #[case::another_cluster("node", Some("two"), Some("shop"), &["two/shop/web (10.2.0.6)"])]
    #[case::nothing_there("web", Some("three"), None, &[])]
    fn what_is_none_lists_those_there_are(
        #[case] name: &str,
        #[case] cluster: Option<&str>,
        #[case] namespace: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let there = expected.iter().map(|&it| it.to_owned()).collect();
        let error = find(&hosts(), Wanted { name, cluster, namespace }).map(LabHost::path);
        assert_eq!(error, Err(SelectError::Nothing { wanted: name.to_owned(), there }));
    }
}
