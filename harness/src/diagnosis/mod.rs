//! Why a probe failed: its path hop by hop through Corefiles, load balancers, route tables, VPC peering connections,
//! security groups and network ACLs, there and back, with the first thing that stops it and what would mend that.
//!
//! Pure functions of an observation and its topology. Nothing is guessed: where the observation lacks what a step depends
//! on, the diagnosis says so. [`Stop`](acrossk8s_vpc::Stop) has the rules of VPCs; this is the way between them, through
//! DNS and Kubernetes.

mod beneath;
mod code;
mod corefiles;
mod mend;
mod model;
mod named;
mod names;
mod probe;
mod sight;
mod stops;
#[cfg(test)]
mod tests;
mod told;
mod walk;

pub use code::{Code, Own};
pub use model::{Cause, Conclusion, Diagnosis, Hop, Leg, Mend, Resource};
pub use named::{Diagnosed, Named, causes_named};
pub use probe::{diagnose, diagnose_all};
pub use told::told;

/// The Service in front of CoreDNS.
const DNS_SERVICE: &str = "kube-system/across-cluster-dns-tcp";

/// The namespace of CoreDNS.
const NAMESPACE: &str = "kube-system";

/// The ConfigMap that holds the Corefile, and the Deployment that reads it.
const COREDNS: &str = "kube-system/coredns";
