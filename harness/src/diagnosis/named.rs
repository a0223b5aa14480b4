//! What a diagnosis names, without ids, which differ from run to run: so it can be said beforehand.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use super::code::Code;
use super::model::{Cause, Conclusion, Diagnosis};
use crate::topology::{ClusterIndex, Topology};

/// A cause without ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its code.
    pub code: Code,
    /// Kind of the resource that is to be mended first.
    pub kind: &'static str,
    /// The cluster that the resource belongs to; `None` for what belongs to two.
    pub cluster: Option<ClusterIndex>,
}

impl Named {
    /// A cause without its ids.
    pub fn of(topology: &Topology, cause: &Cause) -> Self {
        let resource = cause.resources.first();
        Self {
            code: cause.code,
            kind: resource.map_or("unknown", |it| it.kind),
            cluster: resource.and_then(|it| it.cluster.as_deref()).and_then(|name| topology.index_of(name)),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.code, self.kind)?;
        self.cluster.map_or(Ok(()), |index| write!(f, " of cluster {index}"))
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the diagnosis of the failed probes has to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosed {
    /// Exactly these causes, each of at least one probe, and no probe without a cause.
    As(BTreeSet<Named>),
    /// There is nothing to diagnose.
    NoProbeFails,
}

impl Diagnosed {
    /// One cause, at a resource of a cluster.
    pub fn at(code: impl Into<Code>, kind: &'static str, cluster: ClusterIndex) -> Self {
        Self::each(code, kind, [cluster])
    }

    /// The same cause at a resource of each of some clusters; nothing where there are none.
    pub fn each(code: impl Into<Code>, kind: &'static str, clusters: impl IntoIterator<Item = ClusterIndex>) -> Self {
        let code = code.into();
        let named = clusters.into_iter().map(|cluster| Named { code, kind, cluster: Some(cluster) });
        Self::from(named.collect::<BTreeSet<_>>())
    }

    /// One cause, at a resource that belongs to two clusters.
    pub fn between(code: impl Into<Code>, kind: &'static str) -> Self {
        Self::from(BTreeSet::from([Named { code: code.into(), kind, cluster: None }]))
    }

    /// These causes and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::from(self.causes().union(&other.causes()).copied().collect::<BTreeSet<_>>())
    }

    /// The causes; none when no probe fails.
    pub fn causes(&self) -> BTreeSet<Named> {
        match self {
            Self::As(causes) => causes.clone(),
            Self::NoProbeFails => BTreeSet::new(),
        }
    }
}

impl From<BTreeSet<Named>> for Diagnosed {
    fn from(causes: BTreeSet<Named>) -> Self {
        if causes.is_empty() { Self::NoProbeFails } else { Self::As(causes) }
    }
}

impl fmt::Display for Diagnosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::As(causes) => f.write_str(&causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            Self::NoProbeFails => f.write_str("no probe fails"),
        }
    }
}

/// What some diagnoses name, and of those that name no cause, why not.
pub fn causes_named(topology: &Topology, diagnoses: &[Diagnosis]) -> (BTreeSet<Named>, BTreeSet<String>) {
    let (mut causes, mut not_known) = (BTreeSet::new(), BTreeSet::new());
    for it in diagnoses {
        match &it.conclusion {
            Conclusion::Stopped(cause) => {
                causes.insert(Named::of(topology, cause));
            }
            Conclusion::Unknown { reason } => {
                not_known.insert(reason.clone());
            }
            Conclusion::Clear => {}
        }
    }
    (causes, not_known)
}
