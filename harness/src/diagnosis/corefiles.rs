//! What Corefiles do with a name: the client's has to forward it to the peer's load balancer, the peer's to answer it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use acrossk8s_corefile::{
    Corefile, Forward, ServerBlock, Upstream, ZoneKey, check, duration, forward_of, nested_zones,
};
use acrossk8s_vpc::Protocol;

use super::COREDNS;
use super::code::Own;
use super::model::{Hop, Mend, Resource, Stopped, Walked};
use super::walk::{Seek, Walk};
use crate::observation::{LoadBalancer, Pod};
use crate::topology::ClusterIndex;

/// CoreDNS reloads every 30 s; what takes longer than this is nobody's patience.
const LONG: Duration = Duration::from_secs(120);

/// What a server block does with a name.
enum Served {
    /// The `kubernetes` plugin answers.
    Kubernetes,
    /// The `forward` plugin asks somebody else.
    Forward(Forward),
    /// The `kubernetes` plugin denies it, since it serves these namespaces only.
    OtherNamespaces(Vec<String>),
    /// Nothing that we know of.
    Not,
}

impl Walk<'_, '_> {
    fn config_map(&self, index: ClusterIndex) -> Resource {
        self.sight.resource("configmap", COREDNS, index)
    }

    /// The Corefile of a cluster, and what CoreDNS refuses of it.
    fn corefile(&self, index: ClusterIndex) -> Walked<(Option<Corefile>, Option<Stopped>)> {
        let (view, name) = (self.sight.view, self.sight.view.name(index));
        let Some(text) = &view.kubernetes(index)?.corefile else {
            self.sight.was_read(index, "the Corefile")?;
            let mend = Mend::by([self.sight.kubectl(index, &format!("apply -f {name}-coredns.yaml.bk"))]);
            let explanation = format!("{name} has no Corefile in the ConfigMap {COREDNS}");
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
    pub(super) fn forward_of_peer(&mut self, server: &Pod, name: &str) -> Walked<Forward> {
        let (cluster, peer) = (self.sight.view.name(self.from), self.sight.view.name(self.to));
        self.begin(format!("the Corefile of {cluster}"));
        let (corefile, refused) = self.corefile(self.from)?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        if let Some(corefile) = &corefile {
            self.is_loaded(self.from, server, corefile)?;
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
            (Served::Not | Served::OtherNamespaces(_), Some(block)) if !is_root(block) => {
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
                self.load_balancer(&[])?;
                let explanation = format!(
                    "the Corefile of {cluster} has no server block that forwards {zone}: names of {peer} are \
                             looked for in {cluster} itself"
                );
                let mend = self.edit_block("at the end");
                Err(self.stop(Own::CorefileZoneMissing, self.config_map(self.from), explanation, mend))
            }
        }
    }

    /// Whether a CoreDNS pod runs the Corefile that is there, by the fingerprint in its log. Without the plugin `reload`
    /// it logs none.
    fn is_loaded(&self, at: ClusterIndex, server: &Pod, corefile: &Corefile) -> Walked {
        let (view, wanted) = (self.sight.view, corefile.sha512());
        let running = view.kubernetes(at)?.coredns_running.get(&server.name);
        if self.seek == Seek::Clear || !reloads(corefile) || running.is_none_or(|running| *running == wanted) {
            return Ok(());
        }
        let (name, pod) = (view.name(at), format!("{}/{}", super::NAMESPACE, server.name));
        let restart = self.sight.kubectl(at, "-n kube-system rollout restart deployment coredns");
        let often = corefile.blocks.iter().find_map(|block| block.directive("reload")?.args.first().cloned());
        let every = often.as_deref().and_then(duration);
        if let Some((often, _)) = often.zip(every.filter(|every| *every > LONG)) {
            let explanation = format!(
                "CoreDNS pod {pod} of {name} runs another Corefile than the one that is there, and `reload {often}` makes it \
                 look again only after {often}"
            );
            let mend =
                Mend::by([restart]).and("give `reload` its default of 30 s back in the default server block before");
            return Err(self.stop(Own::CorefileReloadSlow, self.config_map(at), explanation, mend));
        }
        let explanation = format!(
            "CoreDNS pod {pod} of {name} runs another Corefile than the one that is there: it did not reload yet"
        );
        let at = self.sight.resource("pod", pod, at);
        Err(self.stop(Own::CorednsPodOutdated, at, explanation, Mend::by([restart])))
    }

    /// That CoreDNS of the client's cluster never reads its Corefile again, if so.
    pub(super) fn never_reloads(&self) -> Walked<Option<Stopped>> {
        let view = self.sight.view;
        let text = view.kubernetes(self.from)?.corefile.as_deref().unwrap_or_default();
        if Corefile::parse(text).is_ok_and(|it| reloads(&it)) {
            return Ok(None);
        }
        let name = view.name(self.from);
        let restart = self.sight.kubectl(self.from, "-n kube-system rollout restart deployment coredns");
        let explanation =
            format!("the Corefile of {name} is right, and without the reload plugin CoreDNS never reads it again");
        let mend = Mend::by([restart]).and("bring `reload` back into the default server block before");
        Ok(Some(self.stop(Own::CorefileReloadMissing, self.config_map(self.from), explanation, mend)))
    }

    /// An edit of the client's Corefile: the documented server block for the peer's zone, put at a place.
    fn edit_block(&self, at: &str) -> Mend {
        let block = self.sight.server_block(self.to);
        let block = block.map_or_else(|| "the documented server block".to_owned(), |block| block.trim_end().to_owned());
        self.sight.edit_corefile(self.from, format!("{at} put:\n{block}"))
    }

    /// An upstream's address, which has to be one of the load balancer's on a port where that listens.
    pub(super) fn upstream(&self, upstream: &Upstream, balancer: &LoadBalancer) -> Walked<SocketAddrV4> {
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
    pub(super) fn over_tcp(&self, protocol: Protocol, upstream: SocketAddrV4, balancer: &LoadBalancer) -> Walked {
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

    /// What CoreDNS of the cluster that has the name does with it: the `kubernetes` plugin has to answer.
    pub(super) fn serve(&mut self, at: ClusterIndex, server: Option<&Pod>, name: &str) -> Walked {
        let cluster = self.sight.view.name(at);
        self.begin(format!("the Corefile of {cluster}"));
        let (corefile, refused) = self.corefile(at)?;
        // A refused Corefile leaves the old one in place, which was EKS's and knows the cluster's own names.
        let Some(corefile) = corefile.filter(|_| refused.is_none()) else { return Ok(()) };
        if let Some(server) = server {
            self.is_loaded(at, server, &corefile)?;
        }
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
            Some((block, Served::OtherNamespaces(namespaces))) => {
                let explanation = format!(
                    "the kubernetes plugin of {place} of the Corefile of {cluster} serves the namespaces {} only, and not \
                     that of {name}",
                    namespaces.join(" ")
                );
                let advice = format!("take `namespaces` out of the server block at line {}", block.line);
                let mend = self.sight.edit_corefile(at, advice);
                Err(self.stop(Own::CorefileNameNotServed, self.config_map(at), explanation, mend))
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
}

/// What a server block does with a name. CoreDNS asks `kubernetes` before `forward`, whatever their order in the file.
fn served(block: &ServerBlock, name: &str) -> Served {
    let within = |zone: &str| ZoneKey::new(zone).matches(name).is_some();
    if let Some(kubernetes) = block.directive("kubernetes") {
        // Without zones of its own it has those of the block.
        if kubernetes.args.is_empty() || kubernetes.args.iter().any(|zone| within(zone)) {
            let namespaces: Vec<String> = kubernetes
                .block
                .iter()
                .filter(|option| option.name == "namespaces")
                .flat_map(|option| option.args.iter().cloned())
                .collect();
            let namespace = name.split('.').nth(2).unwrap_or_default();
            return match namespaces.is_empty() || namespaces.iter().any(|it| it == namespace) {
                true => Served::Kubernetes,
                false => Served::OtherNamespaces(namespaces),
            };
        }
    }
    match forward_of(block) {
        Some(forward) if within(&forward.from) && !forward.except.iter().any(|zone| within(zone)) => {
            Served::Forward(forward)
        }
        _ => Served::Not,
    }
}

fn reloads(corefile: &Corefile) -> bool {
    corefile.blocks.iter().any(|block| block.directive("reload").is_some())
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
