//! The plugins `health`, `ready` and `prometheus`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::chain::Chain;
use super::{Server, VERSION, reload};
use crate::workloads::http_server::{serve, text};

/// What is counted.
pub(super) struct Counters {
    requests: AtomicU64,
    failed_reloads: AtomicU64,
    /// Hash of the running configuration.
    hash: watch::Sender<String>,
}

impl Counters {
    pub(super) fn new(corefile: &str) -> Self {
        Self {
            requests: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            hash: watch::Sender::new(reload::hash(corefile)),
        }
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reload_failed(&self) {
        self.failed_reloads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn running(&self, hash: String) {
        self.hash.send_replace(hash);
    }

    /// Waits until another chain than `known` runs.
    pub(super) async fn reloaded(&self, known: &Arc<Chain>, running: &RwLock<Arc<Chain>>) {
        let mut hash = self.hash.subscribe();
        while Arc::ptr_eq(&running.read(), known) {
            if hash.changed().await.is_err() {
                return;
            }
        }
    }
}

/// `health` on port 8080, as its manual says.
pub(super) async fn health(server: &Arc<Server>) -> String {
    let served = serve(&server.container.host, 8080, Arc::new(|_, _| text(200, "OK")), || {});
    ended("health", served.await)
}

/// `ready` on port 8181. The container is ready when the cluster has been read once.
pub(super) async fn ready(server: &Arc<Server>) -> String {
    let synced = server.cluster.synced();
    let seen = synced.clone();
    let handler =
        Arc::new(move |_, _: hyper::Request<_>| if *seen.borrow() { text(200, "OK") } else { text(503, "kubernetes") });
    let ready = async {
        let mut synced = synced;
        if synced.wait_for(|synced| *synced).await.is_ok() {
            server.container.ready.send_replace(true);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = serve(&server.container.host, 8181, handler, || {}) => ended("ready", result),
        () = ready => String::new(),
    }
}

/// `prometheus` on port 9153.
pub(super) async fn metrics(server: &Arc<Server>) -> String {
    let shared = server.clone();
    let handler = Arc::new(move |_, _: hyper::Request<_>| text(200, exposition(&shared.counters)));
    ended("prometheus", serve(&server.container.host, 9153, handler, || {}).await)
}

fn exposition(counters: &Counters) -> String {
    format!(
        "coredns_build_info{{goversion=\"\",revision=\"\",version=\"{VERSION}\"}} 1\n\
         coredns_dns_requests_total {}\n\
         coredns_reload_failed_total {}\n\
         coredns_reload_version_info{{hash=\"sha512\",value=\"{}\"}} 1\n",
        counters.requests.load(Ordering::Relaxed),
        counters.failed_reloads.load(Ordering::Relaxed),
        counters.hash.borrow().as_str(),
    )
}

fn ended(plugin: &str, result: std::io::Result<()>) -> String {
    let why = result.err().map_or_else(String::new, |error| error.to_string());
    format!("plugin/{plugin}: {why}")
}
