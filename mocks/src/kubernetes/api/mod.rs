//! An emulated Kubernetes API server: in memory, plain HTTP/1.1 on a loopback port.

mod crd;
mod defaults;
mod delete;
mod discovery;
mod garbage;
mod http_server;
pub mod kubelet;
mod object;
mod openapi;
mod patch;
mod pods;
mod read;
mod request;
mod resources;
mod scale;
mod selector;
mod status;
mod store;
mod streams;
mod table;
mod validation;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use kube::client::ConfigExt as _;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use kubelet::{Kubelet, KubeletError, LogOptions};

/// What an API server is started with.
#[derive(Debug, Clone)]
pub struct ApiServerConfig {
    /// Name of the cluster, for messages.
    pub name: String,
    /// `gitVersion` that `/version` answers, for example `v1.34.2`.
    pub version: String,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Block that the cluster addresses of Services come from.
    pub service_cidr: Ipv4Net,
}

impl Default for ApiServerConfig {
    /// A free loopback port, Kubernetes 1.34 and the service block that EKS uses outside 10.0.0.0/8: `10.100.0.0/16`.
    fn default() -> Self {
        ApiServerConfig {
            name: "kubernetes".to_owned(),
            version: "v1.34.2".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            service_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 100, 0, 0), 16),
        }
    }
}

/// A running API server. Stops when shut down; dropping the handle stops it without waiting.
pub struct ApiServer {
    address: SocketAddr,
    uri: http::Uri,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    config: ApiServerConfig,
    store: store::Store,
    kubelets: RwLock<BTreeMap<String, Arc<dyn Kubelet>>>,
    stop: CancellationToken,
}

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl ApiServer {
    /// Binds the port, creates the namespaces that every cluster has, and starts to serve.
    ///
    /// # Errors
    /// What binding the port gives, `AddrInUse` for one.
    pub async fn start(config: ApiServerConfig) -> io::Result<ApiServer> {
        let listener = tokio::net::TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let uri = format!("http://{address}").parse().map_err(io::Error::other)?;
        let (work, worker) = tokio::sync::mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let store = store::Store::new(work);
        let shared = Arc::new(Shared { config, store, kubelets: RwLock::default(), stop: stop.clone() });
        for name in NAMESPACES {
            shared.make_namespace(name).map_err(|error| io::Error::other(error.message))?;
        }
        let tasks = TaskTracker::new();
        tasks.spawn(garbage::collect(shared.clone(), worker));
        tasks.spawn(http_server::serve(shared.clone(), listener));
        Ok(ApiServer { address, uri, shared, stop, tasks })
    }

    /// Base address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of this server, with `default` as its namespace and no credentials. Each call makes a client with its
    /// own connections; clones of a client share theirs.
    pub fn client(&self) -> kube::Client {
        let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
        connector.set_nodelay(true);
        let service = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
            .build::<_, kube::client::Body>(connector);
        let config = kube::Config::new(self.uri.clone());
        kube::client::ClientBuilder::new(service, "default").with_layer(&config.base_uri_layer()).build()
    }

    /// Registers the kubelet of a node, or replaces it. Exec, logs and port forwarding of the pods with this
    /// `spec.nodeName` go to it.
    pub fn set_kubelet(&self, node_name: impl Into<String>, kubelet: Arc<dyn Kubelet>) {
        self.shared.kubelets.write().insert(node_name.into(), kubelet);
    }

    /// Forgets the kubelet of a node.
    pub fn remove_kubelet(&self, node_name: &str) {
        self.shared.kubelets.write().remove(node_name);
    }

    /// Stops to serve: watches and other open connections end. Returns when all tasks have.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
