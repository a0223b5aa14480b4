//! What runs in pods: programs in process, each seeing only what a container sees, or the real ones in their place
//! ([`images`]).

pub mod coredns;
pub mod curl;
pub mod dns;
pub mod nginx;
#[cfg(target_os = "linux")]
pub mod real;
pub mod resolver;
mod shell;
pub mod testing;
pub mod vpc_resolver;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::network::Host;

/// A container image's behaviour.
#[async_trait]
pub trait Program: Send + Sync + 'static {
    /// Runs the container's main process until it ends by itself or `container.stop` is cancelled. Returns the exit
    /// code.
    async fn run(&self, container: Container) -> i32;

    /// Runs a command in the running container (`kubectl exec`). Returns the exit code, 126 or 127 where the image has
    /// no such command, as a container runtime does.
    async fn exec(&self, container: Container, command: Vec<String>, io: ExecIo) -> i32;
}

/// What a program sees. Cheap to clone.
#[derive(Clone)]
pub struct Container {
    /// Cluster, for messages.
    pub cluster: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// The pod's hostname.
    pub hostname: String,
    /// Image, as in the pod's spec.
    pub image: String,
    /// Arguments of the main process.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// The pod's end of the network.
    pub host: Arc<dyn Host>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: ResolvConf,
    /// Files of mounted volumes by absolute path, updated as the kubelet syncs them.
    pub files: watch::Receiver<Arc<BTreeMap<String, Bytes>>>,
    /// The API of its cluster with its service account, where the pod has one.
    pub api: Option<kube::Client>,
    /// Standard output: lines of the container's log.
    pub log: Log,
    /// Whether the program is ready to serve; starts as `false`.
    pub ready: watch::Sender<bool>,
    /// The lab's clock.
    pub clock: Clock,
    /// Cancelled when the container has to stop.
    pub stop: CancellationToken,
}

impl Container {
    /// `/etc/hosts`, as the kubelet writes it.
    pub(crate) fn etc_hosts(&self) -> String {
        resolver::hosts_file(self.host.address(), &self.hostname)
    }
}

/// Name resolution of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub nameservers: Vec<Ipv4Addr>,
    /// The `search` line.
    pub search: Vec<String>,
    /// `options ndots:N`.
    pub ndots: usize,
}

impl std::fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        for nameserver in &self.nameservers {
            writeln!(f, "nameserver {nameserver}")?;
        }
        writeln!(f, "options ndots:{}", self.ndots)
    }
}

/// Lines of a container's log, with the time each was written.
#[derive(Clone, Default)]
pub struct Log(Arc<watch::Sender<Vec<(jiff::Timestamp, String)>>>);

impl Log {
    /// Appends a line.
    pub fn line(&self, line: impl Into<String>) {
        let line = line.into();
        self.0.send_modify(|lines| lines.push((jiff::Timestamp::now(), line)));
    }

    /// Follows the log: the lines so far, and a notice of each change.
    pub fn subscribe(&self) -> watch::Receiver<Vec<(jiff::Timestamp, String)>> {
        self.0.subscribe()
    }
}

/// Standard streams of a command run by exec.
pub struct ExecIo {
    /// Standard input, ended when the sender is dropped.
    pub stdin: tokio::sync::mpsc::Receiver<Bytes>,
    /// Standard output.
    pub stdout: tokio::sync::mpsc::Sender<Bytes>,
    /// Standard error.
    pub stderr: tokio::sync::mpsc::Sender<Bytes>,
}

/// Programs by image.
#[derive(Clone, Default)]
pub struct Images(BTreeMap<String, Arc<dyn Program>>);

impl Images {
    /// Adds a program for an image name without tag, for example `nginx` or `docker.io/library/nginx`.
    pub fn insert(&mut self, repository: impl Into<String>, program: Arc<dyn Program>) {
        self.0.insert(repository.into(), program);
    }

    /// The program of an image reference (tag and digest ignored), if any: no program is an `ErrImagePull`. An image of
    /// a private ECR registry, as EKS has one in each region, is looked for without its host too.
    pub fn resolve(&self, image: &str) -> Option<Arc<dyn Program>> {
        let name = image.split('@').next().unwrap_or(image);
        let repository = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => name,
        };
        self.0.get(repository).or_else(|| self.0.get(in_ecr(repository)?)).cloned()
    }
}

/// Name of CoreDNS's image in the registry of each region from which EKS serves its add-ons.
pub const COREDNS_IMAGE: &str = "eks/coredns";
/// Names of CoreDNS's image elsewhere.
const COREDNS_IMAGES: [&str; 4] = [
    "coredns/coredns",
    "docker.io/coredns/coredns",
    "registry.k8s.io/coredns/coredns",
    "public.ecr.aws/eks-distro/coredns/coredns",
];
/// Names of nginx's image.
const NGINX_IMAGES: [&str; 4] = ["nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"];

/// Folders that pods have for themselves when they run real programs: what this machine has in them, a program for one, is not seen there.
pub const FOLDERS_OF_PODS: [&str; 2] = ["/run", "/tmp"];

/// Binaries of this machine that run in the place of the programs in process. They need a network of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RealBinaries {
    /// CoreDNS.
    pub coredns: Option<PathBuf>,
    /// nginx.
    pub nginx: Option<PathBuf>,
    /// curl, for commands in nginx's pods.
    pub curl: Option<PathBuf>,
}

/// The images that the procedure and the cluster's add-ons use, by repository.
pub fn default_images() -> Images {
    images(&RealBinaries::default())
}

/// The same, with these binaries for what they are.
pub fn images(binaries: &RealBinaries) -> Images {
    let mut images = Images::default();
    let (coredns, nginx) = programs(binaries);
    for name in COREDNS_IMAGES.into_iter().chain([COREDNS_IMAGE]) {
        images.insert(name, Arc::clone(&coredns));
    }
    for name in NGINX_IMAGES {
        images.insert(name, Arc::clone(&nginx));
    }
    images
}

type Programs = (Arc<dyn Program>, Arc<dyn Program>);

/// What runs as CoreDNS and as nginx.
#[cfg(target_os = "linux")]
fn programs(binaries: &RealBinaries) -> Programs {
    let coredns: Arc<dyn Program> = match &binaries.coredns {
        Some(binary) => Arc::new(real::CoreDns::new(binary.clone())),
        None => Arc::new(coredns::CoreDns),
    };
    let nginx: Arc<dyn Program> = match (&binaries.nginx, &binaries.curl) {
        (None, None) => Arc::new(nginx::Nginx),
        (nginx, curl) => Arc::new(real::Nginx::new(nginx.clone(), curl.clone())),
    };
    (coredns, nginx)
}

/// What runs as CoreDNS and as nginx: without the kernel's network no binary can.
#[cfg(not(target_os = "linux"))]
fn programs(_: &RealBinaries) -> Programs {
    (Arc::new(coredns::CoreDns), Arc::new(nginx::Nginx))
}

/// The path of an image in a private registry of ECR, whose host is `<account>.dkr.ecr.<region>.amazonaws.com`.
fn in_ecr(repository: &str) -> Option<&str> {
    let (host, path) = repository.split_once('/')?;
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let of_aws = rest.ends_with(".amazonaws.com") || rest.ends_with(".amazonaws.com.cn");
    (of_aws && !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("nginx:1.21.5", true)]
    #[case("docker.io/library/nginx@sha256:00", true)]
    #[case("602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/coredns:v1.11.4-eksbuild.2", true)]
    #[case("eks/coredns", true)]
    #[case("602401143452.dkr.ecr.us-west-2.example.com/eks/coredns:v1", false)]
    #[case("localhost:5000/nginx", false)]
    #[case("ngnix:1.21.5", false)]
    fn images_are_found_by_their_repository(#[case] image: &str, #[case] known: bool) {
        assert_eq!(default_images().resolve(image).is_some(), known);
    }
}
