//! A diagnosis as an event tells it: clusters by their names, hops in words.

use acrossk8s_vpc::Way;

use super::model::{Cause, Conclusion, Diagnosis};
use crate::events;
use crate::invariants::tell;
use crate::observation::{Probe, ProbeRequest};
use crate::topology::Topology;

/// A diagnosis as an event tells it.
pub fn told(topology: &Topology, diagnosis: &Diagnosis) -> events::Diagnosis {
    let (from, to) = (&topology.cluster(diagnosis.from).name, &topology.cluster(diagnosis.to).name);
    let (cause, not_known) = match &diagnosis.conclusion {
        Conclusion::Clear => (None, None),
        Conclusion::Stopped(cause) => (Some(told_cause(cause)), None),
        Conclusion::Unknown { reason } => (None, Some(reason.clone())),
    };
    let leg = |leg: &super::Leg| events::Leg {
        title: leg.title.clone(),
        passed: leg.passed,
        hops: leg.hops.iter().map(|hop| events::Hop { way: way(hop.way()), through: hop.to_string() }).collect(),
    };
    events::Diagnosis {
        invariant: invariant(&diagnosis.probe).to_owned(),
        subject: if from == to { from.clone() } else { format!("{from} to {to}") },
        probe: request(&diagnosis.probe.request),
        result: tell(&diagnosis.probe.result),
        path: diagnosis.legs.iter().map(leg).collect(),
        cause,
        not_known,
    }
}

fn told_cause(cause: &Cause) -> events::Cause {
    let resource = |it: &super::Resource| events::Resource {
        kind: it.kind.to_owned(),
        id: it.id.clone(),
        cluster: it.cluster.clone(),
    };
    events::Cause {
        code: cause.code.to_string(),
        of_reachability_analyzer: cause.code.is_analyzers(),
        way: way(cause.way),
        resources: cause.resources.iter().map(resource).collect(),
        explanation: cause.explanation.clone(),
        commands: cause.mend.commands.clone(),
        advice: cause.mend.advice.clone(),
    }
}

const fn way(way: Way) -> events::Way {
    match way {
        Way::Forward => events::Way::Forward,
        Way::Return => events::Way::Return,
    }
}

fn request(request: &ProbeRequest) -> String {
    match request {
        ProbeRequest::Http { pod, url } => format!("curl {url} in {pod}"),
        ProbeRequest::Dns { server, name } => format!("query of {server} for {name}"),
        ProbeRequest::Tcp { address, port } => format!("connection to {address}:{port} from sample-nginx"),
    }
}

/// The invariant that judges a probe.
fn invariant(probe: &Probe) -> &'static str {
    match &probe.request {
        ProbeRequest::Http { pod, .. } if pod == "sample-nginx" => "http-to-peer",
        ProbeRequest::Http { .. } => "http-from-every-node",
        ProbeRequest::Dns { .. } if probe.from == probe.to => "own-name-resolves",
        ProbeRequest::Dns { .. } => "dns-answers-peer",
        ProbeRequest::Tcp { port: 80, .. } => "tcp-to-peer",
        ProbeRequest::Tcp { .. } => "tidb-ports",
    }
}
