//! What CoreDNS refuses of a Corefile that its parser has read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::options::wrong_count;
use crate::zone::is_domain_name;
use crate::{Corefile, Directive, ParseError, ServerBlock, duration, options};

/// Plugins compiled into CoreDNS, in the order in which they run, whatever their order in the Corefile (its `plugin.cfg`,
/// those of later releases included).
pub const PLUGINS: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];

/// The most upstreams that `forward` takes (the plugin's documentation).
pub const MAX_UPSTREAMS: usize = 15;

/// Plugins that a server block holds once at most.
const ONCE: [&str; 6] = ["cache", "errors", "kubernetes", "loop", "prometheus", "ready"];
/// The longest that failures may be cached (RFC 2308, 7.1).
const LONGEST_FAILURE: Duration = Duration::from_secs(300);
/// The longest time to live of the `kubernetes` plugin, in seconds.
const LONGEST_TTL: u32 = 3600;
/// The shortest interval of `reload`, and the shortest jitter that is one.
const SHORTEST_RELOAD: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));

/// Checks what CoreDNS checks when it starts or reloads: that plugins exist, that no zone is served twice on a port, and
/// that the plugins of EKS's and kubeadm's Corefiles, `log` and `whoami` take what they are given. Options of other
/// plugins are not looked at.
///
/// # Errors
/// With the first thing that CoreDNS would refuse. A CoreDNS that reloads keeps its old configuration then; one that
/// starts ends.
pub fn check(corefile: &Corefile) -> Result<(), ParseError> {
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    // Names first, in the order of the file: CoreDNS meets them while it parses.
    for directive in corefile.blocks.iter().flat_map(|block| &block.directives) {
        if !PLUGINS.contains(&directive.name.as_str()) {
            return refuse(directive.line, format!("Unknown directive '{}'", directive.name));
        }
    }
    for block in &corefile.blocks {
        check_block(block)?;
        // Blocks with a `view` share a zone, and bound addresses differ.
        let shares = block.directive("view").is_some() || block.directive("bind").is_some();
        for key in block.keys.iter().filter(|_| !shares) {
            if let Some(line) = served.insert(key.full(), block.line) {
                let message = format!("cannot serve {} - it is already defined in line {line}", key.full());
                return refuse(block.line, message);
            }
        }
    }
    Ok(())
}

fn check_block(block: &ServerBlock) -> Result<(), ParseError> {
    for (at, directive) in block.directives.iter().enumerate() {
        let name = directive.name.as_str();
        if directive.late_brace {
            return refuse(
                directive.line,
                format!("plugin/{name}: the opening brace has to stand on the line of its directive"),
            );
        }
        if ONCE.contains(&name) && block.directives[..at].iter().any(|earlier| earlier.name == name) {
            let message = format!("plugin/{name}: this plugin can only be used once per Server Block");
            return refuse(directive.line, message);
        }
        options::check(directive).or_else(|(line, message)| refuse(line, message))?;
        match name {
            "forward" => check_forward(directive)?,
            "cache" => check_cache(directive)?,
            "reload" => check_reload(directive)?,
            "kubernetes" => check_kubernetes(directive, block)?,
            "health" | "ready" | "prometheus" => check_address(directive)?,
            "errors" => check_errors(directive)?,
            _ => {}
        }
    }
    Ok(())
}

fn refuse<T>(line: usize, message: String) -> Result<T, ParseError> {
    Err(ParseError { line, column: 1, message })
}

fn check_forward(directive: &Directive) -> Result<(), ParseError> {
    let refuse = |line: usize, message: String| refuse(line, format!("plugin/forward: {message}"));
    let Some((from, upstreams)) = directive.args.split_first() else {
        return refuse(directive.line, wrong_count(directive));
    };
    if let Err(message) = crate::ZoneKey::parse_all(from) {
        return refuse(directive.line, format!("unable to normalize '{from}': {message}"));
    }
    for to in upstreams {
        let (scheme, address) = to.split_once("://").unwrap_or(("dns", to));
        if !["dns", "tls", "https"].contains(&scheme) {
            let message = format!("'{scheme}' is not supported as a destination protocol in forward: {to}");
            return refuse(directive.line, message);
        }
        let address = address.split('%').next().unwrap_or_default();
        let is_address =
            address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || address.parse::<SocketAddr>().is_ok();
        if !is_address && !to.starts_with('/') {
            return refuse(directive.line, format!("not an IP address or file: \"{to}\""));
        }
    }
    if upstreams.len() > MAX_UPSTREAMS {
        let message = format!("more than {MAX_UPSTREAMS} TOs configured: {}", upstreams.len());
        return refuse(directive.line, message);
    }
    let except = directive.block.iter().filter(|option| option.name == "except");
    for (option, zone) in except.flat_map(|option| option.args.iter().map(move |zone| (option, zone))) {
        if !is_domain_name(zone) && crate::ZoneKey::parse_all(zone).is_err() {
            return refuse(option.line, format!("zone is not a valid domain name: {zone}"));
        }
    }
    Ok(())
}

fn check_cache(directive: &Directive) -> Result<(), ParseError> {
    let refuse = |line: usize, message: String| refuse(line, format!("plugin/cache: {message}"));
    let zero = |ttl: &str| format!("cache TTL can not be zero or negative: {ttl}");
    // A first argument that is no number is a zone.
    if let Some(ttl) = directive.args.first()
        && ttl.parse::<i64>().is_ok_and(|ttl| ttl <= 0)
    {
        return refuse(directive.line, zero(ttl));
    }
    for option in &directive.block {
        match option.name.as_str() {
            "success" | "denial" => {
                if let Some(ttl) = option.args.get(1).filter(|ttl| !ttl.parse::<u32>().is_ok_and(|ttl| ttl > 0)) {
                    return refuse(option.line, zero(ttl));
                }
            }
            "servfail" => {
                let longest = option.args.first().and_then(|it| duration(it)).unwrap_or_default();
                if longest > LONGEST_FAILURE {
                    let message = "caching SERVFAIL responses over 5 minutes is not permitted".to_owned();
                    return refuse(option.line, message);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_reload(directive: &Directive) -> Result<(), ParseError> {
    let refuse = |message: String| refuse(directive.line, format!("plugin/reload: {message}"));
    let mut durations = Vec::new();
    for given in &directive.args {
        let Some(duration) = duration(given) else {
            return refuse(format!("time: invalid duration \"{given}\""));
        };
        durations.push(duration);
    }
    let (shortest, shortest_jitter) = SHORTEST_RELOAD;
    if durations.first().is_some_and(|interval| *interval < shortest) {
        return refuse(format!("interval value must be greater or equal to {}s", shortest.as_secs()));
    }
    if durations.get(1).is_some_and(|jitter| !jitter.is_zero() && *jitter < shortest_jitter) {
        return refuse(format!("jitter value must be 0 or greater or equal to {}s", shortest_jitter.as_secs()));
    }
    Ok(())
}

fn check_kubernetes(directive: &Directive, block: &ServerBlock) -> Result<(), ParseError> {
    let refuse = |line: usize, message: &str| refuse(line, format!("plugin/kubernetes: {message}"));
    let block_zones = block.keys.iter().map(|key| key.zone.clone());
    let zones: Vec<String> = if directive.args.is_empty() {
        block_zones.collect()
    } else {
        directive.args.iter().map(|zone| crate::zone::normal(zone)).collect()
    };
    if zones.iter().all(|zone| zone.ends_with(".in-addr.arpa") || zone.ends_with("ip6.arpa") || zone == "in-addr.arpa")
    {
        return refuse(directive.line, "non-reverse zone name must be used");
    }
    if let Some(ttl) = directive.option("ttl")
        && ttl.args.first().and_then(|it| it.parse::<u32>().ok()).is_none_or(|it| it > LONGEST_TTL)
    {
        return refuse(ttl.line, "ttl must be in range [0, 3600]");
    }
    if directive.option("namespaces").is_some() && directive.option("namespace_labels").is_some() {
        return refuse(directive.line, "namespaces and namespace_labels cannot both be set");
    }
    Ok(())
}

/// `[HOST]:PORT`.
fn check_address(directive: &Directive) -> Result<(), ParseError> {
    match directive.args.first() {
        Some(address) if !address.contains(':') => {
            let message = format!("plugin/{}: address {address}: missing port in address", directive.name);
            refuse(directive.line, message)
        }
        _ => Ok(()),
    }
}

fn check_errors(directive: &Directive) -> Result<(), ParseError> {
    match directive.args.first() {
        Some(file) if file != "stdout" => refuse(directive.line, format!("plugin/errors: invalid log file: {file}")),
        _ => Ok(()),
    }
}
