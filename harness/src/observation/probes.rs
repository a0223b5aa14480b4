//! Live requests beyond the documented one: each part of the way on its own, so that a verdict can tell which part
//! fails. DNS is asked of every CoreDNS pod, TCP is opened to the peer's pod past DNS.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::{Observation, Probe, ProbeRequest, ProbeResult};
use crate::procedure::{World, dns as coredns, exec, nginx};
use crate::topology::ClusterIndex;

/// Ports between clusters beside nginx's: PD, TiKV and TiDB.
///
/// Source: TiDB Operator's components; PD 2379 and 2380, TiKV 20160 and 20180, TiDB 4000 and 10080.
pub const TIDB_PORTS: [u16; 6] = [2379, 2380, 4000, 10080, 20160, 20180];

/// How many probes are under way at once: enough to be quick, few enough not to be what slows a cluster down.
const AT_ONCE: usize = 16;

/// Probes every direction.
pub(super) async fn probe(world: &Arc<World>, seen: &Observation) -> Vec<Probe> {
    let mut planned = Vec::new();
    for from in world.topology.indices() {
        for to in world.topology.indices() {
            plan(world, seen, from, to, &mut planned);
        }
    }
    let mut probes: Vec<Probe> =
        stream::iter(planned).map(|planned| run(world, planned)).buffer_unordered(AT_ONCE).collect().await;
    probes.sort_by(|a, b| (a.from, a.to, &a.request).cmp(&(b.from, b.to, &b.request)));
    probes
}

struct Planned {
    from: ClusterIndex,
    to: ClusterIndex,
    request: ProbeRequest,
}

fn plan(world: &World, seen: &Observation, from: ClusterIndex, to: ClusterIndex, planned: &mut Vec<Planned>) {
    let name = nginx::name_of(world.cluster(to));
    let kubernetes = |index: ClusterIndex| seen.clusters.get(index.0).and_then(|cluster| cluster.kubernetes.as_ref());
    // The own name is asked for too: it has to go on resolving after the edit.
    for pod in kubernetes(from).into_iter().flat_map(|kubernetes| &kubernetes.coredns_pods) {
        planned.push(Planned { from, to, request: ProbeRequest::Dns { server: pod.name.clone(), name: name.clone() } });
    }
    // The documented request is made already, from sample-nginx; here it is made from every node.
    for prober in kubernetes(from).filter(|_| from != to).into_iter().flat_map(|kubernetes| &kubernetes.probers) {
        let request = ProbeRequest::Http { pod: prober.name.clone(), url: nginx::url_of(world.cluster(to)) };
        planned.push(Planned { from, to, request });
    }
    let peer = kubernetes(to).and_then(|kubernetes| kubernetes.nginx.as_ref()).and_then(|pod| pod.address);
    if let Some(address) = peer.filter(|_| from != to) {
        for port in std::iter::once(80).chain(TIDB_PORTS) {
            planned.push(Planned { from, to, request: ProbeRequest::Tcp { address, port } });
        }
    }
}

async fn run(world: &World, planned: Planned) -> Probe {
    let began = Instant::now();
    let result = match &planned.request {
        ProbeRequest::Dns { server, name } => coredns::ask(world, planned.from, server, name).await,
        ProbeRequest::Tcp { address, port } => tcp(world, planned.from, *address, *port).await,
        ProbeRequest::Http { pod, url } => {
            let result = nginx::curl(world, planned.from, pod, planned.to, url).await;
            result.map_err(|failure| failure.to_string())
        }
    };
    let result = result.unwrap_or_else(|message| ProbeResult::Error { message });
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Probe { from: planned.from.0, to: planned.to.0, request: planned.request, result, millis }
}

/// Opens a TCP connection from the nginx pod, past DNS. A refusal shows that packets pass both ways.
async fn tcp(world: &World, from: ClusterIndex, address: Ipv4Addr, port: u16) -> Result<ProbeResult, String> {
    let client = world.kubernetes(from).await.map_err(|failure| failure.to_string())?;
    let pods: Api<Pod> = Api::namespaced(client, &world.cluster(from).namespace);
    // curl's telnet is the only client for a bare connection in the nginx image. Some versions end when their input does,
    // others when the time is over: how many connections there were is said by all.
    let url = format!("telnet://{address}:{port}");
    let command = ["curl", "-sS", "--connect-timeout", "5", "--max-time", "5", "-w", "\\n%{num_connects}", &url];
    let command = command.map(str::to_owned);
    let output = exec::exec(&pods, nginx::POD, &command).await.map_err(|error| error.to_string())?;
    let connected = output.stdout.lines().last() == Some("1");
    Ok(if connected { ProbeResult::Connected } else { nginx::curl_failure(&output) })
}
