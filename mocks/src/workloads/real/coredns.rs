//! The real CoreDNS.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::api::Gateway;
use crate::workloads::{Container, ExecIo, Program, shell};

/// Port of `ready`, where the probe of CoreDNS's manifests asks.
const READY: u16 = 8181;

/// The program of CoreDNS's images, as a binary of this machine. It reaches its cluster's API as every pod does: by
/// HTTPS, at the address of the Service `kubernetes`, with the files of its service account ([`Gateway`]).
#[derive(Debug, Clone)]
pub struct CoreDns {
    binary: PathBuf,
}

impl CoreDns {
    /// Runs this binary.
    pub fn new(binary: PathBuf) -> Self {
        Self { binary }
    }

    async fn start(&self, container: &Container) -> io::Result<i32> {
        let (gateway, more) = match (&container.api, api_address(container)) {
            (Some(client), Some(address)) => {
                let place = super::place(container)?;
                let opened = Gateway::open(&place, address, client.clone(), &container.namespace).await;
                let (gateway, files) = opened?;
                (Some(gateway), files)
            }
            _ => (None, BTreeMap::<PathBuf, Bytes>::new()),
        };
        let sandbox = super::sandbox(container, &more, []).await?;
        let launch = super::launch(container, &self.binary, &container.args);
        let ready = async {
            serves(container).await;
            super::until(|| async move { is_ready(container).await.unwrap_or(false) }).await;
        };
        let code = super::run(container, &sandbox, &more, launch, Signal::SIGTERM, ready).await;
        drop(gateway);
        code
    }
}

/// Where a pod finds its cluster's API.
fn api_address(container: &Container) -> Option<SocketAddrV4> {
    let address: Ipv4Addr = container.env.get("KUBERNETES_SERVICE_HOST")?.parse().ok()?;
    let port = container.env.get("KUBERNETES_SERVICE_PORT")?.parse().ok()?;
    Some(SocketAddrV4::new(address, port))
}

/// Waits until its servers listen: then it says its name. `ready` may answer before, sooner than any probe of Kubernetes'
/// would ask.
async fn serves(container: &Container) {
    if container.args.iter().any(|arg| matches!(arg.as_str(), "-quiet" | "--quiet")) {
        return;
    }
    // The log is the container's: it does not end before this.
    let _ =
        container.log.subscribe().wait_for(|lines| lines.iter().any(|(_, line)| line.starts_with("CoreDNS-"))).await;
}

async fn is_ready(container: &Container) -> io::Result<bool> {
    let mut stream = container.host.connect(super::own(container, READY)).await?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: coredns\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

#[async_trait]
impl Program for CoreDns {
    async fn run(&self, container: Container) -> i32 {
        self.start(&container).await.unwrap_or_else(|error| super::not_run(&container, &error))
    }

    /// The image holds nothing but `/coredns`.
    async fn exec(&self, container: Container, command: Vec<String>, io: ExecIo) -> i32 {
        match command.split_first() {
            Some((program, args)) if matches!(program.as_str(), "/coredns" | "coredns") => {
                super::exec::exec(&container, self.binary.as_os_str(), args, &command, io).await
            }
            _ => shell::not_found(&command, &io).await,
        }
    }
}
