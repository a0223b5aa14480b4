//! From a Corefile to what runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acrossk8s_corefile::{Corefile, Directive, PLUGINS, Scheme, ServerBlock};

use super::http::port_of;
use super::plugins::{Cache, Env, Errors, Forward, Hosts, Kubernetes, LoadBalance, Loop, Prometheus, QueryLog, Whoami};
use super::query::Plugin;
use super::running::{Zone, Zones};

const RELOAD_INTERVAL: Duration = Duration::from_secs(30);
const RELOAD_JITTER: Duration = Duration::from_secs(15);
const HEALTH: &str = ":8080";
const READY: &str = ":8181";
const PROMETHEUS: &str = "localhost:9153";

/// A configuration that is ready to run.
pub(super) struct Config {
    /// Zones by port.
    pub zones: Zones,
    /// `loop` plugins, which probe once the server runs.
    pub loops: Vec<Arc<Loop>>,
    /// Whether the cluster is watched, and whether its pods are.
    pub kubernetes: Option<bool>,
    /// Ports of `health`.
    pub health: BTreeSet<u16>,
    /// Ports of `ready`.
    pub ready: BTreeSet<u16>,
    /// Ports of `prometheus`.
    pub prometheus: BTreeSet<u16>,
    /// How often the Corefile is looked at, jitter applied; `None` without `reload`.
    pub reload: Option<Duration>,
    /// Plugins by server and zone, for metrics.
    pub enabled: Vec<(String, String, &'static str)>,
}

impl Config {
    /// Sets the plugins up.
    ///
    /// # Errors
    /// With CoreDNS's message of the first plugin that refuses.
    pub fn new(corefile: &Corefile, env: &Env) -> Result<Self, String> {
        let mut config = Self {
            zones: Zones::new(),
            loops: Vec::new(),
            kubernetes: None,
            health: BTreeSet::new(),
            ready: BTreeSet::new(),
            prometheus: BTreeSet::new(),
            reload: None,
            enabled: Vec::new(),
        };
        for block in &corefile.blocks {
            let plugins: Arc<[Arc<dyn Plugin>]> = config.plugins(block, env)?.into();
            for key in &block.keys {
                if key.scheme != Scheme::Dns {
                    return Err(format!("cannot serve {key}: zones over TLS, QUIC, gRPC and HTTPS are not emulated"));
                }
                let zone = Zone { zone: key.zone.clone(), plugins: Arc::clone(&plugins) };
                config.zones.entry(key.port).or_default().push(zone);
                let (server, name) = (format!("dns://:{}", key.port), dotted(&key.zone));
                config.enabled.extend(plugins.iter().map(|it| (server.clone(), name.clone(), it.name())));
            }
        }
        Ok(config)
    }

    fn plugins(&mut self, block: &ServerBlock, env: &Env) -> Result<Vec<Arc<dyn Plugin>>, String> {
        let mut directives: Vec<&Directive> = block.directives.iter().collect();
        // The order in which plugins run is CoreDNS's, whatever the order in the file; the sort is stable, so that two
        // `forward` stay as they are.
        directives.sort_by_key(|directive| PLUGINS.iter().position(|name| *name == directive.name));
        let zones: Vec<String> = block.keys.iter().map(|key| key.zone.clone()).collect();
        let port = block.keys.first().map_or(53, |key| key.port);
        let container = &env.container;
        let mut plugins: Vec<Arc<dyn Plugin>> = Vec::new();
        for directive in directives {
            match directive.name.as_str() {
                "errors" => plugins.push(Arc::new(Errors(container.log.clone()))),
                "log" => plugins.push(Arc::new(QueryLog::new(directive, container.log.clone()))),
                "loadbalance" => plugins.push(Arc::new(LoadBalance)),
                "whoami" => plugins.push(Arc::new(Whoami)),
                "hosts" => plugins.push(Arc::new(Hosts::new(directive, &zones, container))),
                "cache" => {
                    let metrics = Arc::clone(&env.metrics);
                    plugins.push(Arc::new(Cache::new(directive, &zones, container.clock.clone(), metrics)));
                }
                "forward" => {
                    let forward = Forward::new(directive, env).map_err(|error| format!("plugin/forward: {error}"))?;
                    plugins.push(Arc::new(forward));
                }
                "kubernetes" => {
                    if container.api.is_none() {
                        return Err("plugin/kubernetes: unable to load in-cluster configuration, \
                                    KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
                            .to_owned());
                    }
                    let plugin = Kubernetes::new(directive, &zones, env);
                    self.kubernetes = Some(self.kubernetes == Some(true) || plugin.verifies_pods());
                    plugins.push(Arc::new(plugin));
                }
                "loop" => {
                    let zone = zones.first().map_or(".", String::as_str);
                    let plugin = Arc::new(Loop::new(zone, port, env.fatal.clone()));
                    self.loops.push(Arc::clone(&plugin));
                    plugins.push(plugin);
                }
                "prometheus" => {
                    self.prometheus.extend(port_of(argument(directive, PROMETHEUS)));
                    plugins.push(Arc::new(Prometheus(Arc::clone(&env.metrics))));
                }
                "health" => self.health.extend(port_of(argument(directive, HEALTH))),
                "ready" => self.ready.extend(port_of(argument(directive, READY))),
                "reload" => self.reload = Some(reload_interval(directive)),
                // These do nothing that a query or this procedure can tell.
                "debug" | "root" | "metadata" | "cancel" | "timeouts" | "multisocket" | "pprof" | "bufsize" | "on" => {}
                other => container
                    .log
                    .line(format!("[WARNING] plugin/{other}: this plugin is not emulated, queries pass it by")),
            }
        }
        Ok(plugins)
    }
}

/// The interval with its jitter, which differs from start to start, as the plugin computes them: up to half of the
/// jitter earlier or later, the jitter being at most half of the interval.
fn reload_interval(directive: &Directive) -> Duration {
    let argument = |at: usize| directive.args.get(at).and_then(|it| acrossk8s_corefile::duration(it));
    let interval = argument(0).unwrap_or(RELOAD_INTERVAL);
    let jitter = argument(1).unwrap_or(RELOAD_JITTER).min(interval / 2);
    interval + jitter.mul_f64(rand::random::<f64>()) - jitter / 2
}

fn argument<'a>(directive: &'a Directive, default: &'a str) -> &'a str {
    directive.args.first().map_or(default, String::as_str)
}

/// A zone with the dot at its end.
pub(super) fn dotted(zone: &str) -> String {
    if zone == "." { ".".to_owned() } else { format!("{zone}.") }
}
