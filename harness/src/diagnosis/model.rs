//! A diagnosis: the path of a probe up to the first thing that stops it, and what would mend that.

use std::fmt;
use std::net::Ipv4Addr;

use acrossk8s_vpc::Way;

use super::Code;
use crate::observation::Probe;
use crate::topology::ClusterIndex;

/// Why a probe failed, or how it got through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The cluster that the probe was sent from.
    pub from: ClusterIndex,
    /// The cluster that it was sent to.
    pub to: ClusterIndex,
    /// The probe.
    pub probe: Probe,
    /// What it passed, leg by leg. The last leg is where it was stopped, if it was.
    pub legs: Vec<Leg>,
    /// What the path comes to.
    pub conclusion: Conclusion,
}

/// What a path comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// It leads all the way, there and back.
    Clear,
    /// Something stops it.
    Stopped(Box<Cause>),
    /// What stops it cannot be told from the observation.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// A part of a path: one lookup, or one exchange of packets there and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// From what to what.
    pub title: String,
    /// What was passed, in order.
    pub hops: Vec<Hop>,
    /// Whether it was passed whole.
    pub passed: bool,
}

/// One step of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// Something of AWS's network.
    Network(acrossk8s_vpc::Hop),
    /// A server block of a Corefile.
    ServerBlock {
        /// Name of the cluster.
        cluster: String,
        /// Its keys.
        keys: String,
        /// Its line in the Corefile.
        line: usize,
        /// What it does with the name.
        does: String,
    },
    /// kube-proxy on a node: a node port leads to a pod.
    NodePort {
        /// Address of the node.
        node: Ipv4Addr,
        /// The port.
        port: u16,
        /// Address of the pod.
        endpoint: Ipv4Addr,
    },
    /// A name has an address.
    Record {
        /// The name.
        name: String,
        /// The address.
        address: Ipv4Addr,
    },
}

impl Hop {
    /// Whether the request or its answer passed it.
    pub const fn way(&self) -> Way {
        match self {
            Self::Network(hop) => hop.way,
            Self::ServerBlock { .. } | Self::NodePort { .. } | Self::Record { .. } => Way::Forward,
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(hop) => write!(f, "{}", hop.through),
            Self::ServerBlock { cluster, keys, line, does } => {
                write!(f, "server block {keys} (line {line} of the Corefile of {cluster}) {does}")
            }
            Self::NodePort { node, port, endpoint } => {
                write!(f, "kube-proxy of {node}: node port {port} to pod {endpoint}")
            }
            Self::Record { name, address } => write!(f, "{name} is {address}"),
        }
    }
}

/// The first thing that stops a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind of thing.
    pub code: Code,
    /// Whether it stops the request or its answer.
    pub way: Way,
    /// What it is about, by id: the thing to be mended first.
    pub resources: Vec<Resource>,
    /// What it is, in words.
    pub explanation: String,
    /// What would mend it.
    pub mend: Mend,
}

/// Something with an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Its kind: EC2's name for tags, for example `route-table`, or Kubernetes' in lower case, for example `configmap`.
    pub kind: &'static str,
    /// Its id, or its namespace and name.
    pub id: String,
    /// Name of the cluster that it belongs to; `None` for what belongs to two.
    pub cluster: Option<String>,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            Some(cluster) => write!(f, "{} {} of {cluster}", self.kind, self.id),
            None => write!(f, "{} {}", self.kind, self.id),
        }
    }
}

/// What would mend a cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mend {
    /// Commands to run, in order.
    pub commands: Vec<String>,
    /// What no command does.
    pub advice: Option<String>,
}

impl Mend {
    /// Commands alone.
    pub(super) fn by(commands: impl IntoIterator<Item = String>) -> Self {
        Self { commands: commands.into_iter().collect(), advice: None }
    }

    /// Advice alone.
    pub(super) fn only(advice: impl Into<String>) -> Self {
        Self { commands: Vec::new(), advice: Some(advice.into()) }
    }

    /// With advice.
    pub(super) fn and(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// Why a walk ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stopped {
    /// By this.
    Cause(Box<Cause>),
    /// It cannot be told.
    Unknown(String),
}

impl Stopped {
    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }
}

/// What a step of a walk comes to.
pub(super) type Walked<T = ()> = Result<T, Stopped>;
