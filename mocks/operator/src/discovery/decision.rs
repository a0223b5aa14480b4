//! What a PD that starts is told: initialise, or join (`pingcap/tidb-operator pkg/discovery/discovery.go`).
//!
//! Reproduced with its hazard: a cluster that joins none and whose PDs are all waiting is told to initialise, though it
//! may have been initialised before. One PD alone that lost its data initialises a second PD cluster.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{PD_CLIENT_PORT, PD_PEER_PORT, TidbCluster};

/// Why no answer is given; answered as status 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// The URL is not `<pod>.<service>.<namespace>.svc[.<domain>]:2380`.
    #[error("advertisePeerUrl format is wrong: {0}")]
    Format(String),
    /// The pod is of another namespace.
    #[error("the peer's namespace: {peer} is not equal to discovery namespace: {own}")]
    Namespace {
        /// The pod's.
        peer: String,
        /// Discovery's.
        own: String,
    },
    /// There is nobody to ask for the members.
    #[error("no PD to ask for members")]
    NobodyToAsk,
}

/// A PD's advertised peer URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// `host:2380`.
    pub url: String,
    /// The host.
    pub host: String,
    /// The pod.
    pub pod: String,
    /// The `TidbCluster`.
    pub cluster: String,
}

impl Arrival {
    /// Takes a URL apart, in the namespace that discovery runs in.
    ///
    /// # Errors
    /// `Format`, `Namespace`.
    pub fn parse(url: &str, namespace: &str) -> Result<Self, DecisionError> {
        let host = url.split(':').next().unwrap_or_default();
        let parts: Vec<&str> = host.split('.').collect();
        let [pod, service, peer, "svc", ..] = parts.as_slice() else {
            return Err(DecisionError::Format(url.to_owned()));
        };
        if *peer != namespace {
            return Err(DecisionError::Namespace { peer: (*peer).to_owned(), own: namespace.to_owned() });
        }
        Ok(Arrival {
            url: url.to_owned(),
            host: host.to_owned(),
            pod: (*pod).to_owned(),
            cluster: service.strip_suffix("-pd-peer").unwrap_or(service).to_owned(),
        })
    }
}

/// What comes next for a PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It starts with these arguments and makes a PD cluster.
    Initialise(String),
    /// It starts with these arguments and joins the given addresses.
    Join(String),
    /// The first of these `host:port` that answers says which members to join; when none does the PD waits.
    Ask(Vec<String>),
}

/// A member, as PD lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name.
    pub name: String,
    /// First peer URL.
    pub peer_url: String,
}

/// Who waits, by `TidbCluster`: lost when discovery restarts, forgotten when the `TidbCluster` changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting(BTreeMap<String, (String, BTreeSet<String>)>);

impl Waiting {
    /// A PD asks how to start.
    ///
    /// # Errors
    /// `NobodyToAsk`.
    pub fn arrive(&mut self, arrival: &Arrival, tc: &TidbCluster) -> Result<Decision, DecisionError> {
        let version = tc.metadata.resource_version.clone().unwrap_or_default();
        let (seen, pods) = self.0.entry(arrival.cluster.clone()).or_default();
        if *seen != version {
            *seen = version;
            pods.clear();
        }
        pods.insert(arrival.pod.clone());
        let wanted = tc.spec.pd.as_ref().map_or(0, |pd| pd.replicas);
        if i32::try_from(pods.len()) == Ok(wanted) && tc.spec.cluster.is_none() {
            pods.remove(&arrival.pod);
            if !tc.spec.pd_addresses.is_empty() {
                return Ok(Decision::Join(format!("--join={}", tc.spec.pd_addresses.join(","))));
            }
            let name = if tc.qualified() { &arrival.host } else { &arrival.pod };
            return Ok(Decision::Initialise(format!("--initial-cluster={name}=http://{}", arrival.url)));
        }
        let own = tc.spec.pd.is_some().then(|| tc.pd_service());
        let peers = tc.status.pd.peer_members.values().map(|member| without_scheme(&member.client_url).to_owned());
        let candidates: Vec<String> = own.into_iter().chain(tc.joined_pd_service()).chain(peers).collect();
        if candidates.is_empty() { Err(DecisionError::NobodyToAsk) } else { Ok(Decision::Ask(candidates)) }
    }

    /// Members were learnt for a PD that asked: it no longer waits, and joins all but itself.
    pub fn join(&mut self, arrival: &Arrival, members: &[Member]) -> String {
        if let Some((_, pods)) = self.0.get_mut(&arrival.cluster) {
            pods.remove(&arrival.pod);
        }
        let (peer, client) = (format!(":{PD_PEER_PORT}"), format!(":{PD_CLIENT_PORT}"));
        let others = members.iter().filter(|member| member.name != arrival.pod && member.name != arrival.host);
        let urls: Vec<String> = others.map(|member| member.peer_url.replace(&peer, &client)).collect();
        format!("--join={}", urls.join(","))
    }
}

/// Name of the `TidbCluster` behind a PD endpoint such as `http://tc1-pd:2379`.
pub fn cluster_of(endpoint: &str) -> &str {
    let host = without_scheme(endpoint).split(':').next().unwrap_or_default();
    host.strip_suffix("-pd").unwrap_or(host)
}

/// The endpoints that TiKV or TiDB is given for the one it asks about: that one and each healthy peer, or PD of the
/// joined cluster where this one has none.
pub fn verify(endpoint: &str, tc: &TidbCluster) -> String {
    let scheme = endpoint.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    if let (Some(joined), true) = (&tc.spec.cluster, tc.spec.pd.is_none()) {
        let (namespace, domain) = (&joined.namespace, &joined.cluster_domain);
        let domain = if domain.is_empty() { String::new() } else { format!(".{domain}") };
        let namespace = if namespace.is_empty() { tc.namespace() } else { namespace };
        return format!("{scheme}{}-pd-peer.{namespace}.svc{domain}:{PD_CLIENT_PORT}", joined.name);
    }
    let healthy = tc.status.pd.peer_members.values().filter(|member| member.health);
    let peers = healthy.map(|member| {
        if scheme.is_empty() { without_scheme(&member.client_url).to_owned() } else { member.client_url.clone() }
    });
    std::iter::once(endpoint.to_owned()).chain(peers).collect::<Vec<_>>().join(",")
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}
