//! The way of a name: the Service in front of the peer's CoreDNS, and the pod that has the name.

use std::net::Ipv4Addr;

use acrossk8s_corefile::Upstream;
use acrossk8s_vpc::Protocol;

use super::code::Own;
use super::model::{Hop, Mend, Stopped, Walked};
use super::walk::Walk;
use crate::observation::{LoadBalancer, Pod};
use crate::topology::ClusterIndex;

impl<'a> Walk<'_, 'a> {
    /// Looks a name up as a pod does: at any CoreDNS pod of its cluster, over UDP.
    pub(super) fn look_up(&mut self, pod: &Pod, name: &str) -> Walked {
        self.asks_coredns(pod)?;
        self.sight.was_read(self.from, "the CoreDNS pods")?;
        let view = self.sight.view;
        let servers = &view.kubernetes(self.from)?.coredns_pods;
        let ready: Vec<&Pod> = servers.iter().filter(|server| server.ready).collect();
        if ready.is_empty() {
            return Err(self.no_coredns(self.from));
        }
        self.each(ready, |walk, server| {
            walk.ask(pod, server)?;
            walk.resolve(server, name, Protocol::Udp)
        })
    }

    /// None of a cluster's CoreDNS pods is ready.
    fn no_coredns(&self, index: ClusterIndex) -> Stopped {
        let (view, name) = (self.sight.view, self.sight.view.name(index));
        let count = view.kubernetes(index).map_or(0, |it| it.coredns_pods.len());
        // Pods that there are not are not made by starting them again.
        let mend = match count {
            0 => "-n kube-system scale deployment coredns --replicas 2",
            _ => "-n kube-system rollout restart deployment coredns",
        };
        let at = self.sight.resource("deployment", super::COREDNS, index);
        let explanation = format!("none of {count} CoreDNS pods of {name} is ready: no name resolves in it");
        self.stop(Own::CorednsPodsMissing, at, explanation, Mend::by([self.sight.kubectl(index, mend)]))
    }

    /// A pod with another resolver than its cluster's CoreDNS. It is seen of sample-nginx only.
    ///
    /// Source: Kubernetes, "DNS for Services and Pods": `ClusterFirst` makes the Service kube-dns the only name server,
    /// NodeLocal DNSCache a link-local address.
    fn asks_coredns(&self, pod: &Pod) -> Walked {
        let kubernetes = self.sight.view.kubernetes(self.from)?;
        let is_nginx = kubernetes.nginx.as_ref().is_some_and(|nginx| nginx.name == pod.name);
        let Some((text, kube_dns)) = kubernetes.resolv_conf.as_deref().filter(|_| is_nginx).zip(kubernetes.kube_dns)
        else {
            return Ok(());
        };
        let servers: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("nameserver")).map(str::trim).collect();
        let is_coredns =
            |server: &&str| server.parse::<Ipv4Addr>().is_ok_and(|server| server == kube_dns || server.is_link_local());
        if servers.iter().any(is_coredns) {
            return Ok(());
        }
        let (name, namespace) = (self.sight.view.name(self.from), &self.sight.view.wanted(self.from).namespace);
        let at = self.sight.resource("pod", format!("{namespace}/{}", pod.name), self.from);
        let explanation = format!(
            "pod {namespace}/{} of {name} asks {}, and CoreDNS is {kube_dns}: its dnsPolicy is not ClusterFirst",
            pod.name,
            servers.join(" ")
        );
        Err(self.stop(Own::PodAsksAnotherResolver, at, explanation, self.nginx_anew(self.from)))
    }

    /// The nginx pod deleted, and applied as the document has it: most of a pod cannot be changed.
    fn nginx_anew(&self, index: ClusterIndex) -> Mend {
        let namespace = &self.sight.view.wanted(index).namespace;
        let mut mend = self.sight.apply_nginx(index);
        mend.commands.insert(0, self.sight.kubectl(index, &format!("-n {namespace} delete pod sample-nginx")));
        mend
    }

    /// Whether a cluster has the namespace that its names are below.
    pub(super) fn namespace_exists(&self, index: ClusterIndex) -> Walked {
        let namespace = &self.sight.view.wanted(index).namespace;
        let there = &self.sight.view.kubernetes(index)?.namespaces;
        // There is always one; where there is none, none was read.
        if there.is_empty() || there.contains(namespace) {
            return Ok(());
        }
        let explanation = format!("{} has no namespace {namespace}, and so nothing in it", self.sight.view.name(index));
        let create = self.sight.kubectl(index, &format!("create namespace {namespace}"));
        let mut mend = self.sight.apply_nginx(index);
        mend.commands.insert(0, create);
        Err(self.stop(Own::NamespaceMissing, self.sight.resource("namespace", namespace, index), explanation, mend))
    }

    /// What a CoreDNS pod of the client's cluster does with a query.
    pub(super) fn resolve(&mut self, server: &Pod, name: &str, asked: Protocol) -> Walked {
        if self.from == self.to {
            self.serve(self.to, Some(server), name)?;
            return self.record(name);
        }
        let forward = self.forward_of_peer(server, name)?;
        let balancer = self.load_balancer(&forward.to)?;
        let protocol = if forward.force_tcp { Protocol::Tcp } else { asked };
        self.each(&forward.to, |walk, upstream| {
            let upstream = walk.upstream(upstream, balancer)?;
            walk.over_tcp(protocol, upstream, balancer)?;
            walk.forward(server, upstream, protocol, |walk| {
                walk.serve(walk.to, None, name)?;
                walk.record(name)
            })
        })
    }

    /// The load balancer in front of the peer's CoreDNS: that of the Service's host name; where none has it, the one that has
    /// an address among the upstreams, since packets go to addresses whatever the Service says by now.
    pub(super) fn load_balancer(&self, upstreams: &[Upstream]) -> Walked<&'a LoadBalancer> {
        let (view, to) = (self.sight.view, self.to);
        let name = view.name(to);
        let at = || self.sight.resource("service", super::DNS_SERVICE, to);
        let Some(service) = &view.kubernetes(to)?.dns_service else {
            self.sight.was_read(to, "the Service across-cluster-dns-tcp")?;
            let explanation = format!("{name} has no Service {}: nothing exposes its CoreDNS", super::DNS_SERVICE);
            return Err(self.stop(Own::DnsServiceMissing, at(), explanation, self.sight.apply_dns_service(to)));
        };
        let describe = || {
            Mend::by([self.sight.kubectl(to, "-n kube-system describe service across-cluster-dns-tcp")])
                .and("mend what its events name; then apply dns-lb.yaml again")
        };
        let none = |why: String, mend: Mend| {
            let warnings: String = service.warnings.iter().map(|it| format!("; {it}")).collect();
            let explanation = format!("Service {} of {name} {why}{warnings}", super::DNS_SERVICE);
            self.stop(Own::DnsLoadBalancerMissing, at(), explanation, mend)
        };
        // Only a new Service gets a new load balancer.
        let anew = || {
            let mut mend = self.sight.apply_dns_service(to);
            let delete = self.sight.kubectl(to, "-n kube-system delete service across-cluster-dns-tcp");
            mend.commands.insert(0, delete);
            mend.and("then forward the zone to the addresses of the new load balancer in the Corefiles of the others")
        };
        let Some(hostname) = service.hostname.as_deref().filter(|hostname| !hostname.is_empty()) else {
            return Err(none("has no host name: no load balancer was made for it".to_owned(), describe()));
        };
        self.sight.region_was_read(to, "load balancers")?;
        let at_upstream = |it: &&LoadBalancer| {
            let is_its =
                |upstream: &Upstream| matches!(upstream, Upstream::Address(at) if it.addresses.contains(at.ip()));
            upstreams.iter().any(is_its)
        };
        let found = view
            .load_balancer(to)
            .or_else(|unseen| view.cluster(to)?.load_balancers.iter().find(at_upstream).ok_or(unseen));
        let Ok(balancer) = found else {
            return Err(none(
                format!("has the host name {hostname}, and no load balancer of its VPC has that"),
                anew(),
            ));
        };
        if balancer.kind != "network" {
            return Err(none(format!("got a load balancer of type {} ({})", balancer.kind, balancer.arn), anew()));
        }
        if balancer.addresses.is_empty() {
            return Err(Stopped::unknown(format!(
                "the addresses of load balancer {} are not in the observation",
                balancer.name
            )));
        }
        Ok(balancer)
    }

    /// The CoreDNS pods to which the Service's node port leads.
    pub(super) fn endpoints(&self, port: u16) -> Walked<Vec<Ipv4Addr>> {
        let (view, to) = (self.sight.view, self.to);
        let (service, kubernetes, name) = (view.dns_service(to)?, view.kubernetes(to)?, view.name(to));
        let at = || self.sight.resource("service", super::DNS_SERVICE, to);
        let selector: Vec<String> = service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let selector = selector.join(",");
        let coredns = |address: &Ipv4Addr| kubernetes.coredns_pods.iter().any(|pod| pod.address == Some(*address));
        self.sight.was_read(to, "the CoreDNS pods")?;
        if !service.ready_endpoints.iter().any(coredns) {
            if !kubernetes.coredns_pods.iter().any(|pod| pod.ready) {
                return Err(self.no_coredns(to));
            }
            let explanation = format!(
                "no ready CoreDNS pod of {name} stands behind Service {}, which selects {selector}: its node port refuses",
                super::DNS_SERVICE
            );
            let mend = match selector.as_str() {
                "k8s-app=kube-dns" => {
                    Mend::by([self.sight.kubectl(to, "-n kube-system rollout restart deployment coredns")])
                }
                _ => self.sight.apply_dns_service(to),
            };
            return Err(self.stop(Own::DnsServiceWithoutEndpoints, at(), explanation, mend));
        }
        let Some((_, _, _, target)) = service.ports.iter().find(|(_, it, over, _)| *it == port && over == "TCP") else {
            let ports: Vec<String> =
                service.ports.iter().map(|(_, port, over, _)| format!("{port} over {over}")).collect();
            let explanation = format!(
                "Service {} of {name} has {} instead of port {port} over TCP: no node port stands for it",
                super::DNS_SERVICE,
                ports.join(", ")
            );
            return Err(self.stop(Own::DnsServicePortMismatch, at(), explanation, self.sight.apply_dns_service(to)));
        };
        // Port names are those of the CoreDNS container, which listens on 53.
        if target.parse::<u16>().is_ok_and(|target| target != 53) {
            let explanation = format!(
                "Service {} of {name} hands port {port} to port {target}, and CoreDNS listens on 53",
                super::DNS_SERVICE
            );
            return Err(self.stop(Own::DnsServicePortMismatch, at(), explanation, self.sight.apply_dns_service(to)));
        }
        Ok(service.ready_endpoints.iter().copied().filter(|it| coredns(it)).collect())
    }

    /// Whether the name has an address: a Service, and a Ready pod with its hostname and subdomain. That the Service is
    /// headless is documented and makes no difference to the name of a pod.
    ///
    /// Source: CoreDNS, plugin kubernetes: a name with an endpoint's label is answered from the EndpointSlices.
    fn record(&mut self, name: &str) -> Walked {
        let (view, to) = (self.sight.view, self.to);
        let (kubernetes, cluster) = (view.kubernetes(to)?, view.name(to));
        let namespace = &view.wanted(to).namespace;
        let nginx = || self.sight.apply_nginx(to);
        let at = |kind, object: &str| self.sight.resource(kind, format!("{namespace}/{object}"), to);
        self.namespace_exists(to)?;
        let wrong = match &kubernetes.nginx_service {
            None => {
                self.sight.was_read(to, "the nginx Service")?;
                Some("does not exist".to_owned())
            }
            Some(service) if service.selector.iter().ne([(&"app".to_owned(), &"sample-nginx".to_owned())]) => {
                Some(format!("selects {:?} instead of app=sample-nginx", service.selector))
            }
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            let explanation =
                format!("Service {namespace}/sample-nginx-peer of {cluster} {wrong}: {name} has no address");
            return Err(self.stop(Own::NameWithoutService, at("service", "sample-nginx-peer"), explanation, nginx()));
        }
        let pod = self.target_pod()?;
        let has = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        if !has(&pod.hostname, "sample-nginx") || !has(&pod.subdomain, "sample-nginx-peer") {
            let explanation = format!(
                "pod {namespace}/sample-nginx of {cluster} has hostname {} and subdomain {}: {name} has no address",
                pod.hostname.as_deref().unwrap_or("none"),
                pod.subdomain.as_deref().unwrap_or("none")
            );
            let mend = self.nginx_anew(to);
            return Err(self.stop(Own::NameWithoutPod, at("pod", "sample-nginx"), explanation, mend));
        }
        let address = self.ready(to, pod)?;
        self.pass(Hop::Record { name: name.to_owned(), address });
        self.end();
        Ok(())
    }

    /// The pod that is asked.
    pub(super) fn target_pod(&self) -> Walked<&'a Pod> {
        let (view, to) = (self.sight.view, self.to);
        let namespace = &view.wanted(to).namespace;
        if let Some(pod) = &view.kubernetes(to)?.nginx {
            return Ok(pod);
        }
        self.sight.was_read(to, "the nginx pod")?;
        self.namespace_exists(to)?;
        let explanation = format!("{} has no pod {namespace}/sample-nginx", view.name(to));
        let at = self.sight.resource("pod", format!("{namespace}/sample-nginx"), to);
        Err(self.stop(Own::NameWithoutPod, at, explanation, self.sight.apply_nginx(to)))
    }

    /// The address of a pod that is Ready.
    pub(super) fn ready(&self, at: ClusterIndex, pod: &Pod) -> Walked<Ipv4Addr> {
        match pod.address {
            Some(address) if pod.ready => Ok(address),
            _ => {
                let (cluster, namespace) = (self.sight.view.name(at), &self.sight.view.wanted(at).namespace);
                let resource = self.sight.resource("pod", format!("{namespace}/{}", pod.name), at);
                let explanation = format!("pod {namespace}/{} of {cluster} on {} is not Ready", pod.name, pod.node);
                let describe = self.sight.kubectl(at, &format!("-n {namespace} describe pod {}", pod.name));
                let mend = Mend::by([describe]).and("mend what its events name");
                Err(self.stop(Own::PodNotReady, resource, explanation, mend))
            }
        }
    }
}
