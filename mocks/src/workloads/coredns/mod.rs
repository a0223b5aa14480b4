//! CoreDNS: the container image that resolves names in a cluster.
//!
//! It reads the Corefile that is mounted, refuses what CoreDNS would refuse, serves DNS over UDP and TCP with the
//! plugins that EKS configures, and looks at the file again as `reload` says. Plugins that are not emulated are named in
//! the log and passed by; `acrossk8s_corefile` lists those that CoreDNS knows.
//!
//! The pod is ready when `ready` would say so; without that plugin it never is, for the probe of the image's manifests
//! asks there. Simplified: the cluster is watched once for the whole process and not again with each reload, zones
//! served over TLS, QUIC, gRPC or HTTPS are refused, and `health` does not wait for its `lameduck` at the end.

#[cfg(test)]
mod api_tests;
mod config;
mod http;
mod metrics;
mod plugins;
mod process;
mod query;
mod running;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use self::process::Process;
use super::{Container, ExecIo, Program, shell};

/// The version that is emulated: that of the add-on of EKS 1.34.
pub const VERSION: &str = "1.13.2";
const REVISION: &str = "6d1fec6";
const GO_VERSION: &str = "go1.25.5";

/// The program of CoreDNS's images.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoreDns;

#[async_trait]
impl Program for CoreDns {
    async fn run(&self, container: Container) -> i32 {
        Process::new(container).run().await
    }

    /// The image holds nothing but `/coredns`.
    async fn exec(&self, _: Container, command: Vec<String>, io: ExecIo) -> i32 {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["/coredns" | "coredns", "-version" | "--version"] => {
                shell::print(&io.stdout, banner()).await;
                0
            }
            ["/coredns" | "coredns", "-plugins" | "--plugins"] => {
                let plugins: String =
                    acrossk8s_corefile::PLUGINS.iter().map(|plugin| format!("  dns.{plugin}\n")).collect();
                shell::print(&io.stdout, format!("Server types:\n  dns\n\nOther plugins:\n{plugins}")).await;
                0
            }
            _ => shell::not_found(&command, &io).await,
        }
    }
}

fn banner() -> String {
    format!("CoreDNS-{VERSION}\nlinux/amd64, {GO_VERSION}, {REVISION}\n")
}
