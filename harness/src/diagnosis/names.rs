//! The way of a name: Corefiles, the Service in front of the peer's CoreDNS, and the pod that has the name.

use std::net::{Ipv4Addr, SocketAddrV4};

use acrossk8s_corefile::{Corefile, Forward, ServerBlock, Upstream, ZoneKey, check, forward_of, nested_zones};
use acrossk8s_vpc::Protocol;

use super::code::Own;
use super::model::{Hop, Mend, Resource, Stopped, Walked};
use super::walk::Walk;
use crate::observation::{LoadBalancer, Pod};
use crate::topology::ClusterIndex;

/// The ConfigMap that holds the Corefile.
const CONFIG_MAP: &str = "kube-system/coredns";

/// What a server block does with a name.
enum Served {
    /// The `kubernetes` plugin answers.
    Kubernetes,
    /// The `forward` plugin asks somebody else.
    Forward(Forward),
    /// Nothing that we know of.
    Not,
}

impl<'a> Walk<'_, 'a> {
    /// Looks a name up as a pod does: at any CoreDNS pod of its cluster, over UDP.
    pub(super) fn look_up(&mut self, pod: &Pod, name: &str) -> Walked {
        self.sight.was_read(self.from, "the CoreDNS pods")?;
        let view = self.sight.view;
        let servers = &view.kubernetes(self.from)?.coredns_pods;
        let ready: Vec<&Pod> = servers.iter().filter(|server| server.ready).collect();
        if ready.is_empty() {
            let (cluster, count) = (view.name(self.from), servers.len());
            let mend = Mend::by([self.sight.kubectl(self.from, "-n kube-system rollout restart deployment coredns")]);
            let at = self.sight.resource("deployment", CONFIG_MAP, self.from);
            let explanation = format!("none of {count} CoreDNS pods of {cluster} is ready: no name resolves in it");
            return Err(self.stop(Own::CorednsPodsMissing, at, explanation, mend));
        }
        self.each(ready, |walk, server| {
            walk.ask(pod, server)?;
            walk.resolve(server, name, Protocol::Udp)
        })
    }

    /// What a CoreDNS pod of the client's cluster does with a query.
    pub(super) fn resolve(&mut self, server: &Pod, name: &str, asked: Protocol) -> Walked {
        if self.from == self.to {
            self.serve(self.to, name)?;
            return self.record(name);
        }
        let forward = self.forward_of_peer(name)?;
        let balancer = self.load_balancer()?;
        let protocol = if forward.force_tcp { Protocol::Tcp } else { asked };
        self.each(&forward.to, |walk, upstream| {
            let upstream = walk.upstream(upstream, balancer)?;
            walk.over_tcp(protocol, upstream, balancer)?;
            walk.forward(server, upstream, protocol, |walk| {
                walk.serve(walk.to, name)?;
                walk.record(name)
            })
        })
    }

    fn config_map(&self, index: ClusterIndex) -> Resource {
        self.sight.resource("configmap", CONFIG_MAP, index)
    }

    /// The Corefile of a cluster, and what CoreDNS refuses of it.
    fn corefile(&self, index: ClusterIndex) -> Walked<(Option<Corefile>, Option<Stopped>)> {
        let (view, name) = (self.sight.view, self.sight.view.name(index));
        let Some(text) = &view.kubernetes(index)?.corefile else {
            self.sight.was_read(index, "the Corefile")?;
            let mend = Mend::by([self.sight.kubectl(index, &format!("apply -f {name}-coredns.yaml.bk"))]);
            let explanation = format!("{name} has no Corefile in the ConfigMap {CONFIG_MAP}");
            return Err(self.stop(Own::CorefileMissing, self.config_map(index), explanation, mend));
        };
        let goes_on = "CoreDNS refuses it and goes on with the old one";
        let refused = |line: usize, message: &str| {
            let mend = self.sight.edit_corefile(
                index,
                format!(
                    "mend line {line}, or restore the back-up: {}",
                    self.sight.kubectl(index, &format!("apply -f {name}-coredns.yaml.bk"))
                ),
            );
            let explanation = format!("line {line} of the Corefile of {name}: {message}: {goes_on}");
            self.stop(Own::CorefileRefused, self.config_map(index), explanation, mend)
        };
        let corefile = match Corefile::parse(text) {
            Ok(corefile) => corefile,
            Err(error) => return Ok((None, Some(refused(error.line, &error.message)))),
        };
        if let Some((zone, line)) = nested_zones(&corefile).into_iter().next() {
            let explanation =
                format!("line {line} of the Corefile of {name}: {zone} stands inside another server block: {goes_on}");
            let advice = format!("move {zone} with its braces behind the closing brace of the block it stands in");
            let mend = self.sight.edit_corefile(index, advice);
            let nested = self.stop(Own::CorefileZoneNested, self.config_map(index), explanation, mend);
            return Ok((Some(corefile), Some(nested)));
        }
        let error = check(&corefile).err().map(|error| refused(error.line, &error.message));
        Ok((Some(corefile), error))
    }

    /// The forwarding of the peer's zone in the Corefile of the client's cluster.
    fn forward_of_peer(&mut self, name: &str) -> Walked<Forward> {
        let (cluster, peer) = (self.sight.view.name(self.from), self.sight.view.name(self.to));
        self.begin(format!("the Corefile of {cluster}"));
        let (corefile, refused) = self.corefile(self.from)?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        let block = corefile.as_ref().and_then(|corefile| corefile.block_for(name));
        let served = block.map_or(Served::Not, |block| served(block, name));
        let zone = self.sight.view.zone(self.to);
        match (served, block) {
            (Served::Forward(forward), Some(block)) if !is_root(block) => {
                let over = if forward.force_tcp { "over TCP" } else { "as it was asked" };
                let to: Vec<String> = forward.to.iter().map(upstream_text).collect();
                self.pass(Hop::ServerBlock {
                    cluster: cluster.to_owned(),
                    keys: keys(block),
                    line: block.line,
                    does: format!("forwards it {over} to {}", to.join(" ")),
                });
                Ok(forward)
            }
            (Served::Not, Some(block)) if !is_root(block) => {
                let explanation = format!(
                    "server block {} (line {} of the Corefile of {cluster}) serves {name} and does not forward it",
                    keys(block),
                    block.line
                );
                let mend = self.edit_block(&format!("in place of the server block at line {}", block.line));
                Err(self.stop(Own::CorefileNameNotServed, self.config_map(self.from), explanation, mend))
            }
            _ => {
                // There is nothing to forward to while the peer has no load balancer.
                self.load_balancer()?;
                let explanation = format!(
                    "the Corefile of {cluster} has no server block that forwards {zone}: names of {peer} are \
                             looked for in {cluster} itself"
                );
                let mend = self.edit_block("at the end");
                Err(self.stop(Own::CorefileZoneMissing, self.config_map(self.from), explanation, mend))
            }
        }
    }

    /// An edit of the client's Corefile: the documented server block for the peer's zone, put at a place.
    fn edit_block(&self, at: &str) -> Mend {
        let block = self.sight.server_block(self.to);
        let block = block.map_or_else(|| "the documented server block".to_owned(), |block| block.trim_end().to_owned());
        self.sight.edit_corefile(self.from, format!("{at} put:\n{block}"))
    }

    /// An upstream's address, which has to be one of the load balancer's on a port where that listens.
    fn upstream(&self, upstream: &Upstream, balancer: &LoadBalancer) -> Walked<SocketAddrV4> {
        let wrong = |what: String| {
            let (cluster, peer) = (self.sight.view.name(self.from), self.sight.view.name(self.to));
            let has: Vec<String> = balancer.addresses.iter().map(Ipv4Addr::to_string).collect();
            let explanation = format!(
                "the Corefile of {cluster} forwards {} to {what}; load balancer {} of {peer} has {}",
                self.sight.view.zone(self.to),
                balancer.name,
                has.join(" ")
            );
            let mend = self.edit_block("in place of the server block of that zone");
            self.stop(Own::CorefileUpstreamsMismatch, self.config_map(self.from), explanation, mend)
        };
        match upstream {
            Upstream::Address(address) if !balancer.addresses.contains(address.ip()) => Err(wrong(address.to_string())),
            // The document has no port but DNS's own. Where even that has no listener, the load balancer is at fault.
            Upstream::Address(address)
                if address.port() != 53 && !balancer.listeners.iter().any(|it| it.port == address.port()) =>
            {
                Err(wrong(address.to_string()))
            }
            Upstream::Address(address) => Ok(*address),
            Upstream::File(other) | Upstream::Other(other) => Err(wrong(other.clone())),
        }
    }

    /// A query over UDP finds no listener when the load balancer listens on TCP only.
    fn over_tcp(&self, protocol: Protocol, upstream: SocketAddrV4, balancer: &LoadBalancer) -> Walked {
        let mut listeners = balancer.listeners.iter().filter(|listener| listener.port == upstream.port()).peekable();
        let listens = listeners.peek().is_some();
        if protocol != Protocol::Udp || !listens || listeners.any(|listener| listener.protocol.contains("UDP")) {
            return Ok(());
        }
        let (cluster, zone) = (self.sight.view.name(self.from), self.sight.view.zone(self.to));
        let explanation = format!(
            "the Corefile of {cluster} forwards {zone} without force_tcp: what a pod asks over UDP goes out over UDP, and \
             load balancer {} listens on port {} over TCP only",
            balancer.name,
            upstream.port()
        );
        let mend = self.edit_block("in place of the server block of that zone");
        Err(self.stop(Own::CorefileForceTcpMissing, self.config_map(self.from), explanation, mend))
    }

    /// The load balancer in front of the peer's CoreDNS.
    fn load_balancer(&self) -> Walked<&'a LoadBalancer> {
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
        let none = |why: String| {
            let warnings: String = service.warnings.iter().map(|it| format!("; {it}")).collect();
            let explanation = format!("Service {} of {name} {why}{warnings}", super::DNS_SERVICE);
            self.stop(Own::DnsLoadBalancerMissing, at(), explanation, describe())
        };
        let Some(hostname) = service.hostname.as_deref().filter(|hostname| !hostname.is_empty()) else {
            return Err(none("has no host name: no load balancer was made for it".to_owned()));
        };
        self.sight.region_was_read(to, "load balancers")?;
        let Ok(balancer) = view.load_balancer(to) else {
            return Err(none(format!("has the host name {hostname}, and no load balancer of its VPC has that")));
        };
        if balancer.kind != "network" {
            return Err(none(format!("got a load balancer of type {} ({})", balancer.kind, balancer.arn)));
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
        // Port names are those of the CoreDNS container, which listens on 53.
        let wrong = service
            .ports
            .iter()
            .find(|(_, it, _, target)| *it == port && target.parse::<u16>().is_ok_and(|target| target != 53));
        if let Some((_, _, _, target)) = wrong {
            let explanation = format!(
                "Service {} of {name} hands port {port} to port {target}, and CoreDNS listens on 53",
                super::DNS_SERVICE
            );
            return Err(self.stop(Own::DnsServicePortMismatch, at(), explanation, self.sight.apply_dns_service(to)));
        }
        Ok(service.ready_endpoints.iter().copied().filter(|it| coredns(it)).collect())
    }

    /// What CoreDNS of the cluster that has the name does with it: the `kubernetes` plugin has to answer.
    fn serve(&mut self, at: ClusterIndex, name: &str) -> Walked {
        let cluster = self.sight.view.name(at);
        self.begin(format!("the Corefile of {cluster}"));
        let (corefile, refused) = self.corefile(at)?;
        // A refused Corefile leaves the old one in place, which was EKS's and knows the cluster's own names.
        let Some(corefile) = corefile.filter(|_| refused.is_none()) else { return Ok(()) };
        let block = corefile.block_for(name);
        let place = block.map_or_else(
            || "no server block".to_owned(),
            |block| format!("server block {} (line {})", keys(block), block.line),
        );
        match block.map(|block| (block, served(block, name))) {
            Some((block, Served::Kubernetes)) => {
                self.pass(Hop::ServerBlock {
                    cluster: cluster.to_owned(),
                    keys: keys(block),
                    line: block.line,
                    does: "answers from Kubernetes".to_owned(),
                });
                Ok(())
            }
            Some((block, Served::Forward(_))) if !is_root(block) => {
                let explanation =
                    format!("{place} of the Corefile of {cluster} forwards {name}, a name of {cluster} itself");
                let mend = self.sight.edit_corefile(at, format!("take the block at line {} out", block.line));
                Err(self.stop(Own::CorefileOwnZoneForwarded, self.config_map(at), explanation, mend))
            }
            _ => {
                let explanation =
                    format!("{place} of the Corefile of {cluster} gets {name}, and no kubernetes plugin answers there");
                let restore = self.sight.kubectl(at, &format!("apply -f {cluster}-coredns.yaml.bk"));
                let mend =
                    self.sight.edit_corefile(at, format!("bring the default block of the back-up in ({restore})"));
                Err(self.stop(Own::CorefileNameNotServed, self.config_map(at), explanation, mend))
            }
        }
    }

    /// Whether the name has an address: a headless Service, and a Ready pod with its hostname and subdomain.
    fn record(&mut self, name: &str) -> Walked {
        let (view, to) = (self.sight.view, self.to);
        let (kubernetes, cluster) = (view.kubernetes(to)?, view.name(to));
        let namespace = &view.wanted(to).namespace;
        let nginx = || self.sight.apply_nginx(to);
        let at = |kind, object: &str| self.sight.resource(kind, format!("{namespace}/{object}"), to);
        let wrong = match &kubernetes.nginx_service {
            None => {
                self.sight.was_read(to, "the nginx Service")?;
                Some("does not exist".to_owned())
            }
            Some(service) if !service.headless => Some("is not headless".to_owned()),
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
            let delete = self.sight.kubectl(to, &format!("-n {namespace} delete pod sample-nginx"));
            let mut mend = nginx();
            mend.commands.insert(0, delete);
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

/// What a server block does with a name. CoreDNS asks `kubernetes` before `forward`, whatever their order in the file.
fn served(block: &ServerBlock, name: &str) -> Served {
    let within = |zone: &str| ZoneKey::new(zone).matches(name).is_some();
    if let Some(kubernetes) = block.directive("kubernetes") {
        // Without zones of its own it has those of the block.
        if kubernetes.args.is_empty() || kubernetes.args.iter().any(|zone| within(zone)) {
            return Served::Kubernetes;
        }
    }
    match forward_of(block) {
        Some(forward) if within(&forward.from) && !forward.except.iter().any(|zone| within(zone)) => {
            Served::Forward(forward)
        }
        _ => Served::Not,
    }
}

fn is_root(block: &ServerBlock) -> bool {
    block.keys.iter().any(|key| key.zone == ".")
}

fn keys(block: &ServerBlock) -> String {
    block.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn upstream_text(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Address(address) if address.port() == 53 => address.ip().to_string(),
        Upstream::Address(address) => address.to_string(),
        Upstream::File(other) | Upstream::Other(other) => other.clone(),
    }
}
