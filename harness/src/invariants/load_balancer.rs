//! The Network Load Balancer in front of CoreDNS (C2.9 to C2.11).

use super::cause::Cause;
use super::check::{Finding, each_cluster, fail, none_wrong};
use super::view::View;
use super::{Invariant, clusters, dns_service};
use crate::document::{ClauseId, Level};
use crate::observation::{LoadBalancer, Observation};
use crate::topology::{ClusterIndex, Topology};

pub(super) const NAME: &str = "load-balancer-name";
pub(super) const EXISTS: &str = "load-balancer-exists";
pub(super) const ACTIVE: &str = "load-balancer-active";
pub(super) const FORM: &str = "load-balancer-form";
pub(super) const ADDRESSES: &str = "load-balancer-addresses";

pub(super) const INVARIANTS: &[Invariant] = &[
    Invariant {
        id: NAME,
        title: "the load balancer's name is the part of its host name before the first dash",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 9)],
        causes: &[Cause::around(clusters::AUTO_MODE_OFF), Cause::around(dns_service::HOSTNAME)],
        check: name,
    },
    Invariant {
        id: EXISTS,
        title: "exactly one load balancer of the VPC has the Service's host name",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 10)],
        causes: &[Cause::around(clusters::VPC_KNOWN), Cause::around(dns_service::HOSTNAME)],
        check: exists,
    },
    Invariant {
        id: ACTIVE,
        title: "the load balancer is active",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 10)],
        causes: &[Cause::around(EXISTS)],
        check: active,
    },
    Invariant {
        id: FORM,
        title: "it is an internal Network Load Balancer on TCP 53 that balances across zones",
        level: Level::Should,
        clauses: &[ClauseId::beyond(2, 10)],
        causes: &[Cause::around(dns_service::SERVICE), Cause::around(clusters::AUTO_MODE_OFF), Cause::around(EXISTS)],
        check: form,
    },
    Invariant {
        id: ADDRESSES,
        title: "it has one address in each of its subnets, all within the VPC",
        level: Level::Must,
        clauses: &[ClauseId::new(2, 11), ClauseId::beyond(2, 11)],
        causes: &[Cause::around(clusters::VPC_KNOWN), Cause::around(EXISTS), Cause::around(ACTIVE)],
        check: addresses,
    },
];

/// The host name of a load balancer that AWS's in-tree controller makes: `a` and 31 hexadecimal digits, a dash, an id.
///
/// Source: cloud-provider-aws, `DefaultLoadBalancerName` (the Service's UID without dashes, cut to 32 characters).
fn name_differs(hostname: &str, region: &str) -> Option<String> {
    let (label, domain) = hostname.split_once('.').unwrap_or((hostname, ""));
    let (name, id) = label.split_once('-').unwrap_or((label, ""));
    if name == "k8s" {
        return Some(format!(
            "{hostname} begins with k8s-: the AWS Load Balancer Controller or Auto Mode took the Service over"
        ));
    }
    if name == "internal" {
        return Some(format!("{hostname} begins with internal-: it is not the host name of a Network Load Balancer"));
    }
    let is_hex = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
    // China's regions have a domain of their own.
    let is_domain = [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| domain == format!("elb.{region}{end}"));
    let is_name = name.len() == 32 && name.starts_with('a') && is_hex(name);
    (!is_name || !is_hex(id) || !is_domain)
        .then(|| format!("{hostname} does not have the form a<31 hex>-<hex>.elb.{region}.amazonaws.com"))
}

fn name(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let hostname = view.dns_hostname(index)?;
        let region = view.region(index);
        let mut wrong: Vec<String> = name_differs(hostname, region).into_iter().collect();
        if let (true, Ok(load_balancer)) = (wrong.is_empty(), view.load_balancer(index)) {
            let cut = hostname.split('-').next().unwrap_or_default();
            if load_balancer.name != cut {
                wrong.push(format!("the load balancer of {hostname} is named {} and not {cut}", load_balancer.name));
            }
        }
        none_wrong(
            wrong,
            "The document cuts the load balancer's name out of its host name, and finds its state and addresses by that \
             name: cut -d - -f 1 gives something else here.",
            format!(
                "Find the name by the host name: aws elbv2 describe-load-balancers --region {region} --query \
                 \"LoadBalancers[?DNSName=='{hostname}'].LoadBalancerName\" --output text; to let the in-tree controller \
                 make it, scale the controller's webhook down and create the Service again."
            ),
        )
    })
}

fn exists(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let hostname = view.dns_hostname(index)?;
        let all = &view.cluster(index)?.load_balancers;
        let found = all.iter().filter(|it| it.dns_name.eq_ignore_ascii_case(hostname)).count();
        if found == 1 {
            return Ok(());
        }
        let names = all.iter().map(|it| format!("{} is {}", it.name, it.dns_name));
        Err(fail(
            std::iter::once(format!("{found} load balancers in the VPC of {} have {hostname}", view.name(index)))
                .chain(names),
            "The Service's host name is to be that of one load balancer in the cluster's VPC.",
            format!(
                "kubectl --context {} -n kube-system describe service across-cluster-dns-tcp; aws elbv2 \
                 describe-load-balancers --region {}",
                view.context(index),
                view.region(index)
            ),
        ))
    })
}

fn active(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let load_balancer = view.load_balancer(index)?;
        let not =
            (load_balancer.state != "active").then(|| format!("{} is {}", load_balancer.name, load_balancer.state));
        none_wrong(
            not.into_iter().collect(),
            "A load balancer that is being provisioned answers nothing; one that failed has to be made anew.",
            format!(
                "aws elbv2 wait load-balancer-available --load-balancer-arns {} --region {}",
                load_balancer.arn,
                view.region(index)
            ),
        )
    })
}

fn form(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let load_balancer = view.load_balancer(index)?;
        none_wrong(
            form_differs(load_balancer),
            "An internet-facing one has public addresses, which no peering carries; another listener does not take the \
             queries; without cross-zone balancing an address whose zone has no healthy target does not answer.",
            format!(
                "kubectl --context {} apply -f dns-lb.yaml; what cannot be changed (type, scheme) needs the Service to be \
                 deleted first.",
                view.context(index)
            ),
        )
    })
}

fn form_differs(load_balancer: &LoadBalancer) -> Vec<String> {
    let LoadBalancer { name, kind, scheme, cross_zone, listeners, .. } = load_balancer;
    let mut wrong = Vec::new();
    if kind != "network" {
        wrong.push(format!("{name} has the type {kind} instead of network"));
    }
    if scheme != "internal" {
        wrong.push(format!("{name} has the scheme {scheme} instead of internal"));
    }
    if !listeners.iter().any(|it| it.protocol == "TCP" && it.port == 53) {
        let has: Vec<_> = listeners.iter().map(|it| format!("{} {}", it.protocol, it.port)).collect();
        wrong.push(format!("{name} listens on [{}] and not on TCP 53", has.join(", ")));
    }
    if !cross_zone {
        wrong.push(format!("load_balancing.cross_zone.enabled of {name} is not true"));
    }
    wrong
}

fn addresses(topology: &Topology, observation: &Observation) -> Vec<Finding> {
    let view = View::new(topology, observation);
    each_cluster(topology, |index| {
        let load_balancer = view.load_balancer(index)?;
        none_wrong(
            addresses_differ(view, index, load_balancer)?,
            "The Corefiles of the other clusters hold these addresses as they are.",
            format!(
                "aws ec2 describe-network-interfaces --region {} --filters Name=description,Values=\"ELB net/{}*\" --query \
                 'NetworkInterfaces[*].PrivateIpAddress' --output text",
                view.region(index),
                load_balancer.name
            ),
        )
    })
}

fn addresses_differ(
    view: View<'_>,
    index: ClusterIndex,
    load_balancer: &LoadBalancer,
) -> super::view::Seen<Vec<String>> {
    let LoadBalancer { name, subnets, addresses, .. } = load_balancer;
    let cluster = view.cluster(index)?;
    let mut wrong = Vec::new();
    if addresses.is_empty() || addresses.len() != subnets.len() {
        wrong.push(format!("{name} has {} addresses and {} subnets", addresses.len(), subnets.len()));
    }
    let blocks = view.cidr_blocks(index);
    for address in addresses.iter().filter(|address| !blocks.iter().any(|block| block.contains(*address))) {
        wrong.push(format!("{address} of {name} is not within the VPC"));
    }
    for id in subnets {
        let Some(subnet) = cluster.subnets.iter().find(|subnet| subnet.id == *id) else {
            wrong.push(format!("{id} of {name} is no subnet of the VPC"));
            continue;
        };
        let within = addresses.iter().filter(|address| subnet.cidr_block.contains(*address)).count();
        if within != 1 {
            wrong.push(format!("{within} addresses of {name} are within {id} ({})", subnet.cidr_block));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::name_differs;

    #[rstest]
    #[case("a0123456789abcdef0123456789abcde-0123456789abcdef.elb.us-west-1.amazonaws.com", true)]
    #[case("a0123456789abcdef0123456789abcde-0123456789abcdef.elb.us-west-2.amazonaws.com", false)]
    #[case("k8s-kubesyst-acrosscl-0123456789-0123456789abcdef.elb.us-west-1.amazonaws.com", false)]
    #[case("internal-a0123456789abcdef0123456789abcde-1.us-west-1.elb.amazonaws.com", false)]
    #[case("a0123-0123456789abcdef.elb.us-west-1.amazonaws.com", false)]
    #[case("", false)]
    fn forms(#[case] hostname: &str, #[case] good: bool) {
        assert_eq!(name_differs(hostname, "us-west-1").is_none(), good);
    }
}
