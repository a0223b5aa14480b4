//! The process: start, reload, end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use acrossk8s_corefile::Corefile;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::banner;
use super::config::{Config, dotted};
use super::http::{Endpoint, Page};
use super::metrics::Metrics;
use super::plugins::{Env, kubernetes};
use super::running::Running;
use crate::workloads::Container;
use crate::workloads::dns::{Responder, Server};

/// How long CoreDNS waits for the cluster's objects before it serves without them.
const SYNC_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it waits before it says so.
const SYNC_QUIET: Duration = Duration::from_millis(500);

/// A CoreDNS process.
pub(super) struct Process {
    container: Container,
    path: String,
    metrics: Arc<Metrics>,
    cluster: Arc<kubernetes::Store>,
    running: Arc<Running>,
    fatal: mpsc::UnboundedSender<String>,
    last_words: mpsc::UnboundedReceiver<String>,
    /// Whether the cluster's objects, and its pods, are watched.
    watched: Option<bool>,
    /// Sockets stay open over reloads.
    servers: BTreeMap<u16, Server>,
    endpoints: BTreeMap<u16, Endpoint>,
    /// Ends the background work of the present configuration when it is replaced or the process ends.
    retire_guard: DropGuard,
    /// The same for what only the present configuration waits for.
    retired: CancellationToken,
}

/// A Corefile as it was mounted, and the hash by which `reload` knows it.
struct Source {
    text: Vec<u8>,
    corefile: Corefile,
    hash: String,
}

impl Process {
    pub fn new(container: Container) -> Self {
        let (fatal, last_words) = mpsc::unbounded_channel();
        let flag = container.args.iter().position(|arg| arg == "-conf" || arg == "--conf");
        let path = flag.and_then(|at| container.args.get(at + 1)).cloned().unwrap_or_else(|| "Corefile".to_owned());
        Self {
            path,
            metrics: Arc::default(),
            cluster: Arc::default(),
            running: Arc::default(),
            fatal,
            last_words,
            watched: None,
            servers: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            retire_guard: CancellationToken::new().drop_guard(),
            retired: CancellationToken::new(),
            container,
        }
    }

    pub async fn run(mut self) -> i32 {
        let container = self.container.clone();
        let started = tokio::select! {
            () = container.stop.cancelled() => return 0,
            started = self.start() => started,
        };
        let code = match started {
            Ok(serving) => self.serve(serving).await,
            Err(error) => {
                container.log.line(error);
                1
            }
        };
        container.ready.send_replace(false);
        code
    }

    async fn start(&mut self) -> Result<(Source, Option<Duration>), String> {
        let source = self.read()?;
        let reload = self.apply(&source.corefile).await?;
        if reload.is_some() {
            self.announce(&source);
        }
        for line in banner().lines() {
            self.container.log.line(line);
        }
        Ok((source, reload))
    }

    /// Looks at the Corefile from time to time until the container stops.
    async fn serve(&mut self, (mut source, mut reload): (Source, Option<Duration>)) -> i32 {
        let (stop, log, clock) =
            (self.container.stop.clone(), self.container.log.clone(), self.container.clock.clone());
        loop {
            let look = async {
                match reload {
                    Some(interval) => clock.sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {
                    log.line("[INFO] SIGTERM: Shutting down servers then terminating");
                    return 0;
                }
                Some(line) = self.last_words.recv() => {
                    log.line(line);
                    return 1;
                }
                () = look => {}
            }
            // The same text has the same hash.
            if self.mounted().is_ok_and(|text| text == source.text) {
                continue;
            }
            let new = match self.read() {
                Ok(new) if new.hash == source.hash => continue,
                Ok(new) => new,
                Err(error) => {
                    log.line(format!("[WARNING] plugin/reload: Corefile parse failed: {error}"));
                    continue;
                }
            };
            log.line("[INFO] Reloading");
            match self.apply(&new.corefile).await {
                Ok(interval) => {
                    if interval.is_some() {
                        self.announce(&new);
                    }
                    reload = interval;
                    log.line("[INFO] Reloading complete");
                }
                Err(error) => {
                    let error = format!("starting with listener file descriptors: {error}");
                    log.line(format!("[ERROR] Restart failed: {error}"));
                    log.line(format!("[ERROR] plugin/reload: Corefile changed but reload failed: {error}"));
                    self.metrics.count("coredns_reload_failed_total", Vec::new());
                }
            }
            // A file that was refused is not tried again until it changes.
            source = new;
        }
    }

    fn announce(&self, source: &Source) {
        self.container.log.line(format!("[INFO] plugin/reload: Running configuration SHA512 = {}", source.hash));
        let labels = vec![("hash", "sha512".to_owned()), ("value", source.hash.clone())];
        self.metrics.set_only("coredns_reload_version_info", labels);
    }

    /// The Corefile as it is mounted now.
    fn mounted(&self) -> Result<Vec<u8>, String> {
        let files = self.container.files.borrow();
        let text = files.get(&self.path).ok_or_else(|| format!("open {}: no such file or directory", self.path))?;
        Ok(text.to_vec())
    }

    /// The Corefile as it is mounted now, with its syntax read.
    fn read(&self) -> Result<Source, String> {
        let text = self.mounted()?;
        let env = |name: &str| self.container.env.get(name).cloned();
        let corefile = Corefile::parse_with_env(&String::from_utf8_lossy(&text), &env)
            .map_err(|error| format!("{}:{} - Error during parsing: {}", self.path, error.line, error.message))?;
        let hash = corefile.sha512();
        Ok(Source { text, corefile, hash })
    }

    /// Starts a configuration in the place of the present one, which stays where anything is refused. Returns how often
    /// the Corefile is looked at.
    async fn apply(&mut self, corefile: &Corefile) -> Result<Option<Duration>, String> {
        acrossk8s_corefile::check(corefile)
            .map_err(|error| format!("{}:{} - Error during parsing: {}", self.path, error.line, error.message))?;
        let retired = CancellationToken::new();
        let env = Env {
            container: self.container.clone(),
            metrics: Arc::clone(&self.metrics),
            cluster: Arc::clone(&self.cluster),
            running: Arc::downgrade(&self.running),
            fatal: self.fatal.clone(),
            retired: retired.clone(),
        };
        let config = Config::new(corefile, &env)?;
        if let Some(pods) = config.kubernetes {
            self.watch(pods).await;
        }
        self.open(&config).await?;
        for (port, zones) in &config.zones {
            let mut names: Vec<String> = zones.iter().map(|zone| format!("{}:{port}", dotted(&zone.zone))).collect();
            names.sort();
            for name in names {
                self.container.log.line(name);
            }
        }
        self.retired = retired.clone();
        self.retire_guard = retired.drop_guard();
        self.metrics.set_all(
            "coredns_plugin_enabled",
            config.enabled.iter().map(|(server, zone, name)| {
                let name = ("name", (*name).to_owned());
                vec![name, ("server", server.clone()), ("view", String::new()), ("zone", zone.clone())]
            }),
        );
        self.running.replace(config.zones);
        for plugin in config.loops {
            plugin.probe(&env);
        }
        self.tell_readiness(!config.ready.is_empty(), config.kubernetes);
        Ok(config.reload)
    }

    /// Opens what is not open yet, and closes what is no longer wanted.
    async fn open(&mut self, config: &Config) -> Result<(), String> {
        let host = self.container.host.as_ref();
        let mut servers = BTreeMap::new();
        for port in config.zones.keys().filter(|port| !self.servers.contains_key(port)) {
            let responder: Arc<dyn Responder> = Arc::<Running>::clone(&self.running);
            let server = Server::start(host, *port, responder).await;
            servers.insert(*port, server.map_err(|error| format!("listen tcp :{port}: bind: {error}"))?);
        }
        let all: BTreeSet<u16> = config.health.iter().chain(&config.ready).chain(&config.prometheus).copied().collect();
        let mut endpoints = BTreeMap::new();
        for port in all.iter().filter(|port| !self.endpoints.contains_key(port)) {
            let endpoint = Endpoint::start(host, *port, self.pages(config, *port)).await;
            endpoints.insert(*port, endpoint.map_err(|error| format!("listen tcp :{port}: bind: {error}"))?);
        }
        self.endpoints.retain(|port, _| all.contains(port));
        for (port, endpoint) in &self.endpoints {
            endpoint.replace(self.pages(config, *port));
        }
        self.endpoints.extend(endpoints);
        self.servers.retain(|port, _| config.zones.contains_key(port));
        self.servers.extend(servers);
        Ok(())
    }

    fn pages(&self, config: &Config, port: u16) -> Page {
        let (health, ready, metrics) =
            (config.health.contains(&port), config.ready.contains(&port), config.prometheus.contains(&port));
        let (cluster, kubernetes, counters) = (Arc::clone(&self.cluster), config.kubernetes, Arc::clone(&self.metrics));
        Arc::new(move |path| match path {
            "/health" if health => Some((StatusCode::OK, "OK".to_owned())),
            "/ready" if ready => match kubernetes {
                Some(pods) if !cluster.has_synced(pods) => {
                    Some((StatusCode::SERVICE_UNAVAILABLE, "kubernetes".to_owned()))
                }
                _ => Some((StatusCode::OK, "OK".to_owned())),
            },
            "/metrics" if metrics => Some((StatusCode::OK, counters.text())),
            _ => None,
        })
    }

    /// Begins to watch the cluster, and waits for its objects for a while.
    async fn watch(&mut self, pods: bool) {
        let Some(client) = &self.container.api else { return };
        if self.watched.is_none() {
            kubernetes::start(client, &self.cluster, pods, &self.container.stop);
        } else if self.watched == Some(false) && pods {
            kubernetes::watch_pods(client, &self.cluster, &self.container.stop);
        }
        self.watched = Some(pods || self.watched == Some(true));
        if self.cluster.has_synced(pods) {
            return;
        }
        let log = &self.container.log;
        if tokio::time::timeout(SYNC_QUIET, self.cluster.synced(pods)).await.is_ok() {
            return;
        }
        log.line("[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server");
        if tokio::time::timeout(SYNC_TIMEOUT - SYNC_QUIET, self.cluster.synced(pods)).await.is_err() {
            log.line("[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API");
        }
    }

    fn tell_readiness(&self, asked: bool, kubernetes: Option<bool>) {
        let ready = self.container.ready.clone();
        let (cluster, retired) = (Arc::clone(&self.cluster), self.retired.clone());
        match kubernetes {
            Some(pods) if asked && !cluster.has_synced(pods) => {
                tokio::spawn(async move {
                    tokio::select! {
                        () = retired.cancelled() => {}
                        () = cluster.synced(pods) => drop(ready.send_replace(true)),
                    }
                });
            }
            _ => drop(ready.send_replace(asked)),
        }
    }
}
