//! An emulated Kubernetes API server: in memory, plain HTTP/1.1 on a loopback port.
//!
//! `kube` clients and `kubectl` accept it. One server is one cluster; a process can have many. Controllers, schedulers
//! and node agents are clients like any other; of the control plane only what deletion needs runs inside: namespaces
//! are emptied and finalised, dependents collected, custom resources removed with their definition.
//!
//! What differs from a real server, apart from what the modules say:
//! - Anyone may do anything: a bearer token, if there is one, is not looked at, and nothing is authorised.
//! - JSON only, in requests YAML as well, and protocol buffers for four kinds (`protobuf.rs`); no compression.
//!   `kubectl create deployment` and the like send protocol buffers and are refused: `kubectl apply` is not.
//! - Lists and gets are always of the latest revision.
//! - No admission webhooks, quotas, limit ranges, priority classes, or tokens of service accounts.
//! - `additionalPrinterColumns` are not shown; tables of other than the common types have a name and an age.
//! - `kubectl port-forward` and `kubectl attach` are not spoken (`kube::Api::portforward` is).

mod crd;
mod defaults;
mod delete;
mod discovery;
mod gc;
pub mod kubelet;
mod object;
mod patch;
mod protobuf;
mod read;
mod request;
mod resources;
mod selector;
mod server;
mod status;
mod store;
mod streams;
mod subresources;
mod table;
mod validation;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use kube::client::ConfigExt as _;
use parking_lot::RwLock;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use kubelet::{Kubelet, KubeletError, LogOptions};

use request::{FieldValidation, Target, WriteOptions};
use status::ApiError;
use store::Store;

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
}

struct Shared {
    config: ApiServerConfig,
    store: Store,
    kubelets: RwLock<BTreeMap<String, Arc<dyn Kubelet>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ApiServer {
    /// Binds the port, creates the namespaces that every cluster has and the Service `default/kubernetes` (without
    /// endpoints: pods that need the API are given a client), and starts to serve.
    ///
    /// # Errors
    /// What binding the port gives, `AddrInUse` for one; `InvalidInput` when the service block is too small.
    pub async fn start(config: ApiServerConfig) -> io::Result<ApiServer> {
        let listener = tokio::net::TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let uri = format!("http://{address}").parse().map_err(io::Error::other)?;
        let (work, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            config,
            store: Store::new(work),
            kubelets: RwLock::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.bootstrap().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.message))?;
        shared.tasks.spawn(gc::run(shared.clone(), queue, shared.stop.clone()));
        shared.tasks.spawn(server::accept(shared.clone(), listener));
        Ok(ApiServer { address, uri, shared })
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
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// What a real API server creates by itself.
    fn bootstrap(&self) -> Result<(), ApiError> {
        let options = WriteOptions {
            dry_run: false,
            manager: "kube-apiserver".to_owned(),
            force: false,
            validation: FieldValidation::Ignore,
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.create(&self.builtin("namespaces", None)?, json!({ "metadata": { "name": name } }), &options)?;
        }
        let address = Ipv4Addr::from(u32::from(self.config.service_cidr.network()).saturating_add(1));
        let service = json!({
            "metadata": { "name": "kubernetes", "labels": { "component": "apiserver", "provider": "kubernetes" } },
            "spec": {
                "clusterIP": address.to_string(),
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 443 }],
            },
        });
        self.create(&self.builtin("services", Some("default"))?, service, &options)?;
        Ok(())
    }

    fn builtin(&self, plural: &str, namespace: Option<&str>) -> Result<Target, ApiError> {
        let found = self.store.resolve("", plural);
        let (table, ty) = found.ok_or_else(|| ApiError::internal(format!("no type {plural}")))?;
        let version = ty.version.to_string();
        Ok(Target { table, ty, version, namespace: namespace.map(str::to_owned), name: None, subresource: None })
    }
}
