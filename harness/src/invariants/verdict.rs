//! What a judgement says.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{ClauseId, Level};
use crate::topology::{ClusterIndex, Pair};

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// The whole topology.
    All,
    /// One cluster.
    Cluster {
        /// Which.
        cluster: ClusterIndex,
    },
    /// Two clusters.
    Pair {
        /// Which.
        pair: Pair,
    },
    /// From one cluster to another.
    Direction {
        /// From which.
        from: ClusterIndex,
        /// To which.
        to: ClusterIndex,
    },
}

impl Subject {
    /// The subject that is one cluster.
    pub const fn cluster(cluster: ClusterIndex) -> Self {
        Self::Cluster { cluster }
    }

    /// The subject that is a direction.
    pub const fn direction(from: ClusterIndex, to: ClusterIndex) -> Self {
        Self::Direction { from, to }
    }

    /// The subject that is a pair.
    pub const fn pair(pair: Pair) -> Self {
        Self::Pair { pair }
    }

    /// The clusters it is about; none stands for all of them.
    pub fn clusters(self) -> Vec<ClusterIndex> {
        match self {
            Self::All => Vec::new(),
            Self::Cluster { cluster } => vec![cluster],
            Self::Pair { pair } => vec![pair.requester, pair.accepter],
            Self::Direction { from, to } => vec![from, to],
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all clusters"),
            Self::Cluster { cluster } => write!(f, "cluster {cluster}"),
            Self::Pair { pair } => write!(f, "clusters {pair}"),
            Self::Direction { from, to } => write!(f, "{from} to {to}"),
        }
    }
}

/// A failed invariant that explains others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Root {
    /// Id of the invariant.
    pub invariant: Cow<'static, str>,
    /// What it failed for.
    pub subject: Subject,
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.invariant, self.subject)
    }
}

/// How an invariant stands for a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not hold, and nothing else explains that.
    Fail {
        /// What was seen: ids, values, addresses.
        evidence: Vec<String>,
        /// Why it matters here.
        explanation: String,
        /// What mends it: a command where there is one.
        remedy: String,
    },
    /// It does not hold, or could not be seen, because of something that failed first.
    Blocked {
        /// What has to be mended first: invariants that fail themselves, most fundamental first, never empty.
        by: Vec<Root>,
        /// What was seen.
        evidence: Vec<String>,
    },
    /// It says nothing about the subject.
    NotApplicable {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Whether it is a pass.
    pub const fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// Whether it is a fail: not a pass, not blocked, and applicable.
    pub const fn is_fail(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }

    /// Whether it is blocked.
    pub const fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked { .. })
    }
}

/// The judgement of one invariant for one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Id of the invariant.
    pub invariant: Cow<'static, str>,
    /// What is true when it holds.
    pub title: Cow<'static, str>,
    /// How binding it is.
    pub level: Level,
    /// The clauses that it checks.
    pub clauses: Vec<ClauseId>,
    /// What it is about.
    pub subject: Subject,
    /// How it stands.
    #[serde(flatten)]
    pub outcome: Outcome,
}
