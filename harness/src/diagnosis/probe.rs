//! Each probe: whether it failed, the way it takes, and what is to be said when nothing on that way stops it.

use std::net::SocketAddrV4;

use acrossk8s_vpc::Protocol;

use super::code::Own;
use super::model::{Conclusion, Diagnosis, Mend, Stopped, Walked};
use super::sight::Sight;
use super::walk::{Seek, Walk};
use crate::observation::{Observation, Pod, Probe, ProbeRequest, ProbeResult};
use crate::topology::{ClusterIndex, Topology};

/// The port of the nginx pod.
const HTTP: u16 = 80;

/// Diagnoses every failed probe, in the order of the observation. Of probes that were repeated the last counts.
pub fn diagnose(topology: &Topology, observation: &Observation) -> Vec<Diagnosis> {
    let sight = Sight::new(topology, observation);
    last(topology, observation).filter(|probe| sight.failed(probe)).map(|probe| sight.diagnose(probe)).collect()
}

/// The path of every probe, whether it failed or not.
pub fn diagnose_all(topology: &Topology, observation: &Observation) -> Vec<Diagnosis> {
    let sight = Sight::new(topology, observation);
    last(topology, observation).map(|probe| sight.diagnose(probe)).collect()
}

/// The last probe of each request: an earlier one may be from before CoreDNS reloaded.
fn last<'a>(topology: &Topology, observation: &'a Observation) -> impl Iterator<Item = &'a Probe> {
    let count = topology.clusters.len();
    let mut latest = indexmap::IndexMap::new();
    for probe in observation.probes.iter().filter(|probe| probe.from < count && probe.to < count) {
        latest.insert((probe.from, probe.to, &probe.request), probe);
    }
    latest.into_values()
}

impl Sight<'_> {
    /// Whether a probe did not come to what is hoped for.
    pub fn failed(&self, probe: &Probe) -> bool {
        let wanted = self.view.nginx_address(ClusterIndex(probe.to)).ok();
        match (&probe.request, &probe.result) {
            (ProbeRequest::Http { .. }, ProbeResult::Http { status: 200, welcome: true, remote, .. }) => {
                remote.zip(wanted).is_some_and(|(remote, wanted)| remote != wanted)
            }
            (ProbeRequest::Dns { .. }, ProbeResult::Dns { code, addresses }) => {
                code != "NOERROR" || addresses.is_empty() || wanted.is_some_and(|wanted| *addresses != [wanted])
            }
            (ProbeRequest::Tcp { .. }, ProbeResult::Connected) => false,
            // Nothing listens on TiDB's ports yet; a refusal came back from the pod.
            (ProbeRequest::Tcp { port, .. }, ProbeResult::Refused) => *port == HTTP,
            _ => true,
        }
    }

    /// The path of a probe of the topology's clusters.
    pub fn diagnose(&self, probe: &Probe) -> Diagnosis {
        let failed = self.failed(probe);
        let seek = if failed { Seek::Stopped } else { Seek::Clear };
        let (from, to) = (ClusterIndex(probe.from), ClusterIndex(probe.to));
        let mut walk = Walk { sight: self, from, to, seek, legs: Vec::new() };
        let walked = walk.probe(probe);
        let walked = if failed && walked.is_ok() { walk.nothing_found(probe) } else { walked };
        let conclusion = match walked {
            Ok(()) => Conclusion::Clear,
            Err(Stopped::Cause(cause)) if failed => Conclusion::Stopped(cause),
            Err(Stopped::Cause(cause)) => Conclusion::Unknown {
                reason: format!(
                    "it got through, although {}: that was mended before or broken after it",
                    cause.explanation
                ),
            },
            Err(Stopped::Unknown(reason)) => Conclusion::Unknown { reason: self.with_unread(reason, from, to) },
        };
        Diagnosis { from, to, probe: probe.clone(), legs: walk.legs, conclusion }
    }

    /// A reason, with what could not be read of two clusters and their regions.
    fn with_unread(&self, reason: String, from: ClusterIndex, to: ClusterIndex) -> String {
        let regions = [from, to].map(|index| format!(" in {}", self.view.region(index)));
        let concerns = |cluster: Option<usize>, what: &str| match cluster {
            Some(index) => index == from.0 || index == to.0,
            None => regions.iter().any(|region| what.ends_with(region)),
        };
        let unread = self.view.observation.unread.iter().filter(|it| concerns(it.cluster, &it.what));
        let unread: Vec<String> = unread.map(|it| format!("{} ({})", it.what, it.why)).collect();
        // A reason that tells of it already needs no list.
        if unread.is_empty() || reason.contains("not read") {
            return reason;
        }
        format!("{reason}; not read: {}", unread.join(", "))
    }
}

impl<'a> Walk<'_, 'a> {
    fn probe(&mut self, probe: &Probe) -> Walked {
        if self.from != self.to {
            self.disjoint()?;
        }
        match &probe.request {
            ProbeRequest::Dns { server, name } => {
                self.unique_namespace()?;
                let pods = &self.sight.view.kubernetes(self.from)?.coredns_pods;
                let server = pods
                    .iter()
                    .find(|pod| pod.name == *server)
                    .ok_or_else(|| Stopped::unknown(format!("the CoreDNS pod {server} is not in the observation")))?;
                self.resolve(server, name, Protocol::Tcp)
            }
            ProbeRequest::Http { pod, url } => {
                self.unique_namespace()?;
                let pod = self.client(pod)?;
                // Whoever answered was found by name; the lookup is shown as it went well.
                let resolved = matches!(probe.result, ProbeResult::Refused | ProbeResult::Http { .. });
                let seek = self.seek;
                if resolved {
                    self.seek = Seek::Clear;
                }
                let looked_up = self.look_up(pod, host_of(url));
                self.seek = seek;
                looked_up?;
                let address = self.ready(self.to, self.target_pod()?)?;
                self.connect(pod, SocketAddrV4::new(address, HTTP))
            }
            ProbeRequest::Tcp { address, port } => {
                let pod = self.client("sample-nginx")?;
                self.connect(pod, SocketAddrV4::new(*address, *port))?;
                self.ready(self.to, self.target_pod()?).map(|_| ())
            }
        }
    }

    /// The pod that a probe was sent from.
    fn client(&self, name: &str) -> Walked<&'a Pod> {
        let (view, from) = (self.sight.view, self.from);
        let kubernetes = view.kubernetes(from)?;
        let pod = kubernetes.nginx.iter().chain(&kubernetes.probers).find(|pod| pod.name == name);
        let Some(pod) = pod else {
            self.sight.was_read(from, "the nginx pod")?;
            self.sight.was_read(from, "the probers")?;
            self.namespace_exists(from)?;
            let namespace = &view.wanted(from).namespace;
            let at = self.sight.resource("pod", format!("{namespace}/{name}"), from);
            let explanation = format!("{} has no pod {namespace}/{name} to send the request from", view.name(from));
            return Err(self.stop(Own::NameWithoutPod, at, explanation, self.sight.apply_nginx(from)));
        };
        self.ready(from, pod)?;
        Ok(pod)
    }

    /// VPCs whose blocks overlap cannot be peered.
    fn disjoint(&self) -> Walked {
        self.sight.overlap(self.from, self.to).map_or(Ok(()), |cause| Err(Stopped::Cause(Box::new(cause))))
    }

    /// A namespace of two clusters makes names below it ambiguous.
    fn unique_namespace(&self) -> Walked {
        let view = self.sight.view;
        let namespace = &view.wanted(self.to).namespace;
        let mut others = view.topology.others(self.to).filter(|other| view.wanted(*other).namespace == *namespace);
        let Some(other) = others.next() else { return Ok(()) };
        let (low, high) = if other < self.to { (other, self.to) } else { (self.to, other) };
        let (first, second) = (view.name(low), view.name(high));
        let explanation =
            format!("{first} and {second} both use the namespace {namespace}: a name below it is of either");
        let mend = Mend::only(format!(
            "no command renames a namespace: give {second} another one in the scenario, and do everything again that the \
             procedure does in it and in the Corefiles of the others"
        ));
        Err(self.stop(Own::NamespaceNotUnique, self.sight.resource("namespace", namespace, high), explanation, mend))
    }

    /// What may be said of a failed probe whose path is clear.
    fn nothing_found(&mut self, probe: &Probe) -> Walked {
        let view = self.sight.view;
        // The addresses of one end are partly another VPC's, and the route there may be the more specific one.
        for third in view.topology.indices().filter(|it| *it != self.from && *it != self.to) {
            for end in [self.from, self.to] {
                if self.from != self.to
                    && let Some(cause) = self.sight.overlap(end, third)
                {
                    return Err(Stopped::Cause(Box::new(cause)));
                }
            }
        }
        if self.from != self.to {
            let balancer = view.load_balancer(self.to).map(|it| it.addresses.as_slice()).unwrap_or_default();
            let target = view.nginx_address(self.to).ok();
            for address in balancer.iter().copied().chain(target) {
                self.not_a_service(address)?;
            }
        }
        let by_name = matches!(probe.request, ProbeRequest::Dns { .. } | ProbeRequest::Http { .. });
        match &probe.result {
            ProbeResult::Refused => {
                let pod = self.target_pod()?;
                let namespace = &view.wanted(self.to).namespace;
                let at = self.sight.resource("pod", format!("{namespace}/{}", pod.name), self.to);
                let explanation =
                    format!("the connection is refused: nothing listens in pod {} of {}", pod.name, view.name(self.to));
                let logs = self.sight.kubectl(self.to, &format!("-n {namespace} logs {}", pod.name));
                Err(self.stop(Own::NothingListens, at, explanation, Mend::by([logs])))
            }
            ProbeResult::Http { status, .. } => {
                let pod = self.target_pod()?;
                let namespace = &view.wanted(self.to).namespace;
                let at = self.sight.resource("pod", format!("{namespace}/{}", pod.name), self.to);
                let explanation = format!(
                    "HTTP {status} and not the welcome page of nginx:1.21.5; the image of pod {} is {}",
                    pod.name, pod.image
                );
                Err(self.stop(Own::UnexpectedAnswer, at, explanation, self.sight.apply_nginx(self.to)))
            }
            ProbeResult::Error { message } => Err(Stopped::unknown(format!("the probe itself failed: {message}"))),
            _ if by_name && let Some(cause) = self.never_reloads()? => Err(cause),
            _ if by_name && self.from != self.to && self.no_target_is_healthy() => {
                let balancer = view.load_balancer(self.to)?;
                let at = self.sight.resource("load-balancer", &balancer.arn, self.to);
                let explanation =
                    format!("no target of load balancer {} of {} is healthy", balancer.name, view.name(self.to));
                let pods = self.sight.kubectl(self.to, "-n kube-system get pods -l k8s-app=kube-dns -o wide");
                Err(self.stop(Own::TargetsUnhealthy, at, explanation, Mend::by([pods])))
            }
            // Packets may have got past it, and it is wrong all the same.
            _ if by_name
                && self.from != self.to
                && let Err(Stopped::Cause(cause)) = self.load_balancer(&[]) =>
            {
                Err(Stopped::Cause(cause))
            }
            _ => Err(Stopped::unknown(
                "nothing that was observed stops it: CoreDNS may not have read its Corefile again yet or may answer from \
                 its cache (30 s), or what stopped it is gone or out of sight",
            )),
        }
    }

    fn no_target_is_healthy(&self) -> bool {
        self.sight.view.load_balancer(self.to).is_ok_and(|it| {
            it.listeners.iter().flat_map(|listener| &listener.targets).all(|target| target.health != "healthy")
        })
    }
}

/// The host in a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.split(':').next().unwrap_or(host).trim_end_matches('.')
}
