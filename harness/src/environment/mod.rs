//! Where the procedure runs. An environment supplies endpoints, credentials and the thing that makes clusters; the steps
//! cannot tell which one they are on.

mod embedded;
mod lab_process;
pub mod network;
mod programs;

use std::time::Duration;

use async_trait::async_trait;
use kube::config::Kubeconfig;
use serde::{Deserialize, Serialize};

pub use embedded::{Embedded, EmbeddedOptions};
pub use lab_process::LabProcess;
pub use programs::{ProgramError, RealPrograms, Wanted};

use crate::engine::Poll;

/// Where the procedure runs.
#[async_trait]
pub trait Environment: Send + Sync + 'static {
    /// Its name: `embedded`, `kind` or `aws`.
    fn name(&self) -> &'static str;

    /// What carries the packets, for the report: `model` or `kernel`.
    fn network(&self) -> &str;

    /// Why it is this network, where nobody asked for it by name.
    fn network_because(&self) -> Option<&str> {
        None
    }

    /// Real programs that run in pods in the place of emulated ones, with their versions.
    fn programs(&self) -> Vec<(String, String)>;

    /// How AWS is called.
    fn access(&self) -> acrossk8s_aws::Access;

    /// How long to wait for what, and how often to look.
    fn patience(&self) -> Patience;

    /// What another process needs to find this environment again, kept in the run directory.
    fn handle(&self) -> Handle;

    /// `eksctl create cluster -f FILE`: returns when the cluster is ACTIVE and its nodes have joined.
    ///
    /// # Errors
    /// When the cluster could not be made; what is left behind is found by its tags.
    async fn create_cluster(&self, config: &str) -> Result<(), EnvironmentError>;

    /// `eksctl delete cluster --wait`. A cluster that does not exist is no error.
    ///
    /// # Errors
    /// When something of it is left.
    async fn delete_cluster(&self, region: &str, name: &str) -> Result<(), EnvironmentError>;

    /// The kubeconfig with a context for each cluster that there is.
    ///
    /// # Errors
    /// When the environment does not answer.
    async fn kubeconfig(&self) -> Result<Kubeconfig, EnvironmentError>;

    /// Whether the environment is still there. One whose process has died took everything it held along.
    async fn alive(&self) -> bool;

    /// Ends the environment itself, where it can be ended (an embedded lab).
    async fn shutdown(&self);
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often a condition is looked at.
    pub poll: Poll,
    /// A peering connection from one state to the next.
    pub peering: Duration,
    /// The load balancer, from the Service to `active` with its addresses.
    pub load_balancer: Duration,
    /// A healthy target of the load balancer.
    pub target_health: Duration,
    /// CoreDNS's reload on every replica, from the edit of its ConfigMap.
    pub coredns_reload: Duration,
    /// A new name until every CoreDNS replica knows it.
    pub name: Duration,
    /// A pod from its creation to Ready.
    pub pod: Duration,
    /// Something deleted until it is gone.
    pub deletion: Duration,
}

/// How another process finds an environment again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "environment", rename_all = "snake_case")]
pub enum Handle {
    /// An embedded lab.
    Embedded {
        /// URL of its AWS endpoint.
        aws_url: String,
        /// URL of its cluster provisioner.
        control_url: String,
        /// Process that holds it.
        pid: u32,
        /// Whether the process was made to outlive the command.
        kept: bool,
        /// Network that carries its packets.
        network: String,
        /// Real programs that run in its pods, with their versions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        programs: Vec<(String, String)>,
    },
}

impl Handle {
    /// That of a lab in this process.
    pub fn of(lab: &acrossk8s_mocks::lab::Lab, kept: bool, programs: Vec<(String, String)>) -> Self {
        Handle::Embedded {
            aws_url: lab.aws_url(),
            control_url: lab.control_url(),
            pid: std::process::id(),
            kept,
            network: lab.network_kind().to_owned(),
            programs,
        }
    }
}

/// An environment could not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {why}")]
pub struct EnvironmentError {
    /// What was attempted.
    pub what: String,
    /// Why it failed.
    pub why: String,
}

impl EnvironmentError {
    pub(crate) fn new(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }
}
