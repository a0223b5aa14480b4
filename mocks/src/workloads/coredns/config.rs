//! The plugins of a server block, from its directives.

use std::time::Duration;

use acrossk8s_corefile::{Directive, Forward, ServerBlock, ZoneKey, forward_of};

/// What a server block runs.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub keys: Vec<ZoneKey>,
    pub errors: bool,
    pub log: bool,
    pub cache: Option<CacheConfig>,
    pub kubernetes: Option<KubernetesConfig>,
    pub forward: Option<Forward>,
    pub loadbalance: bool,
    pub detects_loops: bool,
    /// Plugins of the block that are not emulated.
    pub ignored: Vec<String>,
}

/// The `cache` plugin: the longest times an answer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheConfig {
    pub success: Option<Duration>,
    pub denial: Option<Duration>,
}

/// The `kubernetes` plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KubernetesConfig {
    /// Zones it serves, without a dot at the end.
    pub zones: Vec<String>,
    /// TTL of its records in seconds.
    pub ttl: u32,
    /// Whether names of pods are answered without looking (`pods insecure`).
    pub pods_insecure: bool,
    /// Zones for which an unknown name goes on to the next plugin; `None` for no fallthrough.
    pub fallthrough: Option<Vec<String>>,
}

/// Plugins that do something here, or that have nothing to do in an emulation.
const EMULATED: &[&str] = &[
    "errors",
    "log",
    "cache",
    "kubernetes",
    "forward",
    "loadbalance",
    "loop",
    "reload",
    "ready",
    "health",
    "prometheus",
];

impl Block {
    pub(super) fn new(block: &ServerBlock) -> Self {
        let has = |name: &str| block.directive(name).is_some();
        Self {
            keys: block.keys.clone(),
            errors: has("errors"),
            log: has("log"),
            cache: block.directive("cache").map(cache),
            kubernetes: block.directive("kubernetes").map(|it| kubernetes(it, block)),
            forward: forward_of(block),
            loadbalance: has("loadbalance"),
            detects_loops: has("loop"),
            ignored: block
                .directives
                .iter()
                .map(|it| it.name.clone())
                .filter(|name| !EMULATED.contains(&name.as_str()))
                .collect(),
        }
    }
}

fn cache(directive: &Directive) -> CacheConfig {
    // The manual: an hour for answers and half an hour for denials, unless a TTL is given for both or for either.
    let given = directive.args.first().and_then(|ttl| ttl.parse().ok()).map(Duration::from_secs);
    let option = |name: &str| directive.block.iter().find(|it| it.name == name);
    let ttl_of = |name: &str, default: u64| {
        option(name)
            .and_then(|it| it.args.get(1)?.parse().ok())
            .map(Duration::from_secs)
            .or(given)
            .unwrap_or(Duration::from_secs(default))
    };
    let disabled = |name: &str| option("disable").is_some_and(|it| it.args.first().is_some_and(|arg| arg == name));
    CacheConfig {
        success: (!disabled("success")).then(|| ttl_of("success", 3600)),
        denial: (!disabled("denial")).then(|| ttl_of("denial", 1800)),
    }
}

fn kubernetes(directive: &Directive, block: &ServerBlock) -> KubernetesConfig {
    let option = |name: &str| directive.block.iter().find(|it| it.name == name);
    let plain = |zone: &String| zone.trim_end_matches('.').to_ascii_lowercase();
    let zones: Vec<_> = directive.args.iter().map(plain).collect();
    KubernetesConfig {
        // Without zones it serves those of its block.
        zones: if zones.is_empty() { block.keys.iter().map(|key| key.zone.clone()).collect() } else { zones },
        ttl: option("ttl").and_then(|it| it.args.first()?.parse().ok()).unwrap_or(5),
        pods_insecure: option("pods").is_some_and(|it| it.args.first().is_some_and(|arg| arg == "insecure")),
        fallthrough: option("fallthrough").map(|it| it.args.iter().map(plain).collect()),
    }
}
