//! The plugins that are emulated, one file each.

mod cache;
mod errors;
mod forward;
mod hosts;
pub(super) mod kubernetes;
mod loadbalance;
mod log;
mod looping;
mod prometheus;
mod whoami;

pub(super) use cache::Cache;
pub(super) use errors::Errors;
pub(super) use forward::Forward;
pub(super) use hosts::Hosts;
pub(super) use kubernetes::Kubernetes;
pub(super) use loadbalance::LoadBalance;
pub(super) use log::QueryLog;
pub(super) use looping::Loop;
pub(super) use prometheus::Prometheus;
pub(super) use whoami::Whoami;

use std::sync::{Arc, Weak};

use acrossk8s_corefile::Directive;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::running::Running;
use crate::workloads::Container;

/// What plugins share with the process they run in.
#[derive(Clone)]
pub(super) struct Env {
    /// The container.
    pub container: Container,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The view of the cluster, watched from the first use on and kept over reloads.
    pub cluster: Arc<kubernetes::Store>,
    /// The server itself, for what is resolved through it again.
    pub running: Weak<Running>,
    /// Ends the process with a last line of the log.
    pub fatal: mpsc::UnboundedSender<String>,
    /// Cancelled when this configuration is replaced.
    pub retired: CancellationToken,
}

/// An option of a directive.
fn option<'a>(directive: &'a Directive, name: &str) -> Option<&'a Directive> {
    directive.block.iter().find(|option| option.name == name)
}

/// A zone of the Corefile as queries are compared with it.
fn zone(zone: &str) -> String {
    let zone = zone.to_ascii_lowercase();
    let zone = zone.trim_end_matches('.');
    if zone.is_empty() { ".".to_owned() } else { zone.to_owned() }
}

#[cfg(test)]
mod tests {
    #[rstest::rstest]
    #[case("Cluster.Local.", "cluster.local")]
    #[case("a", "a")]
    #[case(".", ".")]
    fn zones_are_compared_in_one_form(#[case] zone: &str, #[case] expected: &str) {
        assert_eq!(super::zone(zone), expected);
    }
}
