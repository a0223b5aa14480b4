//! What the procedure makes, as the journal keeps it: enough to find each thing again and take it away.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::World;
use crate::engine::Failure;

/// Tag (on AWS) and annotation (on Kubernetes objects) that names the run which made a thing.
pub const RUN_TAG: &str = "acrossk8s/run";

/// Something that a run makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resource {
    /// An EKS cluster with everything that eksctl makes for it.
    Cluster {
        /// Region.
        region: String,
        /// Name.
        name: String,
    },
    /// A namespace.
    Namespace {
        /// Cluster.
        cluster: String,
        /// Name.
        name: String,
    },
    /// A VPC peering connection.
    Peering {
        /// Region of the requester VPC.
        region: String,
        /// Requester VPC.
        requester: String,
        /// Region of the accepter VPC.
        accepter_region: String,
        /// Accepter VPC.
        accepter: String,
    },
    /// A route.
    Route {
        /// Region.
        region: String,
        /// Route table.
        table: String,
        /// Destination.
        destination: Ipv4Net,
        /// Peering connection it points to.
        peering: String,
    },
    /// An inbound rule of a security group: all traffic from a block.
    SecurityGroupRule {
        /// Region.
        region: String,
        /// Security group.
        group: String,
        /// Source.
        source: Ipv4Net,
    },
    /// A Kubernetes object.
    Object {
        /// Cluster.
        cluster: String,
        /// Namespace; none for an object of the cluster.
        namespace: Option<String>,
        /// Kind, for example `Pod`.
        object: String,
        /// Name.
        name: String,
    },
    /// The edit of CoreDNS's ConfigMap.
    CorefileEdit {
        /// Cluster.
        cluster: String,
        /// The ConfigMap as it was, as YAML.
        backup: String,
        /// Zones that were added, with the addresses they are forwarded to.
        zones: Vec<(String, Vec<Ipv4Addr>)>,
    },
}

impl Resource {
    /// For people: `route 10.2.0.0/16 in rtb-0… (us-west-1)`.
    pub fn describe(&self) -> String {
        match self {
            Resource::Cluster { region, name } => format!("cluster {name} ({region})"),
            Resource::Namespace { cluster, name } => format!("namespace {name} of {cluster}"),
            Resource::Peering { region, requester, accepter_region, accepter } => {
                format!("peering of {requester} ({region}) and {accepter} ({accepter_region})")
            }
            Resource::Route { region, table, destination, .. } => {
                format!("route to {destination} in {table} ({region})")
            }
            Resource::SecurityGroupRule { region, group, source } => {
                format!("inbound rule for {source} in {group} ({region})")
            }
            Resource::Object { cluster, namespace, object, name } => {
                let namespace = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
                format!("{object} {namespace}{name} of {cluster}")
            }
            Resource::CorefileEdit { cluster, .. } => format!("edit of the Corefile of {cluster}"),
        }
    }
}

/// What a look for something, before it is made, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// It is there as it should be.
    There(T),
    /// It is not there.
    Missing,
}

impl World {
    /// Makes a resource unless it is there: looks for it, writes the intent to the journal, makes it, and writes what
    /// came of it. Returns the value and whether something was made.
    ///
    /// # Errors
    /// What `find` or `make` fail with; or that the journal cannot be written, in which case nothing is made.
    pub async fn ensure<T: Clone + Serialize>(
        &self,
        task: &str,
        resource: Resource,
        find: impl Future<Output = Result<Found<T>, Failure>>,
        make: impl Future<Output = Result<T, Failure>>,
    ) -> Result<(T, bool), Failure> {
        if let Found::There(value) = find.await? {
            return Ok((value, false));
        }
        let what = resource.describe();
        let journal_failure = |error: crate::journal::JournalError| {
            Failure::new(format!("the journal cannot be written, so {what} is not made")).because(error)
        };
        let resource = serde_json::to_value(&resource)
            .map_err(|error| Failure::new("a resource cannot be written").because(error))?;
        let intent = self.journal.intent(task, resource).map_err(journal_failure)?;
        match make.await {
            Ok(value) => {
                let details = serde_json::to_value(&value).unwrap_or_default();
                self.journal.made(intent, details).map_err(journal_failure)?;
                Ok((value, true))
            }
            Err(failure) => {
                // An answer that says no means that nothing was made; anything else leaves it open, and teardown looks.
                if failure.is_refusal() {
                    self.journal.not_made(intent, &failure.to_string()).map_err(journal_failure)?;
                }
                Err(failure)
            }
        }
    }
}
