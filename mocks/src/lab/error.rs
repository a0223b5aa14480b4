//! Why a lab does not do what it is asked.

use std::io;
use std::net::SocketAddr;

use crate::aws::AwsError;
use crate::eksctl::ConfigError;
use crate::kubernetes::cluster::ClusterError;

/// Why a lab does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The kernel's network is not allowed here.
    #[error("the kernel's network cannot be used: {source}")]
    Network {
        /// Why.
        source: io::Error,
    },
    /// eksctl would refuse the file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// AWS refuses.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is no such cluster.
    #[error("ResourceNotFoundException: No cluster found for name: {name}.")]
    NotFound {
        /// Name asked for.
        name: String,
    },
    /// The cluster cannot be started.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The VPC's DNS server cannot be connected.
    #[error("no DNS server in {vpc}: {source}")]
    Resolver {
        /// VPC.
        vpc: String,
        /// Why.
        source: io::Error,
    },
    /// The Kubernetes API refuses.
    #[error("{what}: {source}")]
    Kubernetes {
        /// What was attempted.
        what: String,
        /// Why.
        source: kube::Error,
    },
    /// Something did not come about in time.
    #[error("timed out waiting for {what}; last seen: {seen}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How it was last seen.
        seen: String,
    },
    /// A kubeconfig cannot be written.
    #[error("the kubeconfig cannot be written: {0}")]
    Kubeconfig(String),
    /// The lab has ended, or ends.
    #[error("the lab has ended")]
    Ended,
}

impl LabError {
    /// HTTP status on the control port.
    pub fn status(&self) -> u16 {
        match self {
            LabError::Config(_) => 400,
            LabError::Aws(error) if error.code == "AlreadyExistsException" => 409,
            LabError::Aws(error) if error.code == "ResourceInUseException" => 409,
            LabError::Aws(error) if error.code == "DependencyViolation" => 409,
            LabError::Aws(error) => error.status,
            LabError::NotFound { .. } => 404,
            LabError::TimedOut { .. } => 504,
            LabError::Ended => 503,
            LabError::Listen { .. }
            | LabError::Network { .. }
            | LabError::Cluster(_)
            | LabError::Resolver { .. }
            | LabError::Kubernetes { .. }
            | LabError::Kubeconfig(_) => 500,
        }
    }
}
