//! What CoreDNS refuses of a Corefile that its parser has read.

use std::collections::BTreeMap;

use crate::{Corefile, Directive, ParseError};

/// Plugins compiled into CoreDNS's releases (plugin.cfg).
pub const PLUGINS: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "tls",
    "quic",
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
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "acl",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "cache",
    "rewrite",
    "header",
    "dnssec",
    "autopath",
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
    "grpc_server",
    "https",
    "https3",
    "proxyproto",
    "nomad",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
];

/// The most upstreams that `forward` takes (the plugin's documentation).
pub const MAX_UPSTREAMS: usize = 15;

const FORWARD_OPTIONS: &[&str] = &[
    "except",
    "force_tcp",
    "prefer_udp",
    "expire",
    "max_fails",
    "tls",
    "tls_servername",
    "policy",
    "health_check",
    "max_concurrent",
    "next",
    "failfast_all_unhealthy_upstreams",
    "failover",
    "max_connect_attempts",
    "max_idle_conns",
    "max_age",
];

/// Checks what CoreDNS checks when it starts or reloads: that plugins exist, that no zone is served twice, that `forward`
/// and `cache` take what they are given. Options of other plugins are not looked at.
///
/// # Errors
/// With the first thing that CoreDNS would refuse. A CoreDNS that reloads keeps its old configuration then; one that
/// starts ends.
pub fn check(corefile: &Corefile) -> Result<(), ParseError> {
    let mut served: BTreeMap<(String, u16), usize> = BTreeMap::new();
    for block in &corefile.blocks {
        for key in &block.keys {
            if let Some(line) = served.insert((key.zone.clone(), key.port), block.line) {
                return refuse(block.line, format!("cannot serve {key} - it is already defined in line {line}"));
            }
        }
        for directive in &block.directives {
            if !PLUGINS.contains(&directive.name.as_str()) {
                return refuse(directive.line, format!("Unknown directive '{}'", directive.name));
            }
            match directive.name.as_str() {
                "forward" => check_forward(directive)?,
                "cache" => check_cache(directive)?,
                "reload" => check_reload(directive)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn refuse<T>(line: usize, message: String) -> Result<T, ParseError> {
    Err(ParseError { line, column: 1, message })
}

fn check_forward(directive: &Directive) -> Result<(), ParseError> {
    let upstreams = directive.args.len().saturating_sub(1);
    if upstreams == 0 {
        return refuse(directive.line, "plugin/forward: Wrong argument count or unexpected line ending".to_owned());
    }
    if upstreams > MAX_UPSTREAMS {
        return refuse(
            directive.line,
            format!("plugin/forward: more than {MAX_UPSTREAMS} TOs configured: {upstreams}"),
        );
    }
    for to in &directive.args[1..] {
        let address = to.split_once("://").map_or(to.as_str(), |(_, rest)| rest);
        let is_address = address.parse::<std::net::IpAddr>().is_ok() || address.parse::<std::net::SocketAddr>().is_ok();
        if !is_address && !to.starts_with('/') {
            return refuse(directive.line, format!("plugin/forward: not an IP address or file: \"{to}\""));
        }
    }
    for option in &directive.block {
        if !FORWARD_OPTIONS.contains(&option.name.as_str()) {
            return refuse(option.line, format!("plugin/forward: unknown property '{}'", option.name));
        }
        if option.name == "force_tcp" && !option.args.is_empty() {
            return refuse(option.line, "plugin/forward: Wrong argument count or unexpected line ending".to_owned());
        }
    }
    Ok(())
}

fn check_cache(directive: &Directive) -> Result<(), ParseError> {
    match directive.args.first().map(|ttl| ttl.parse::<u32>()) {
        Some(Ok(0)) => refuse(directive.line, "plugin/cache: cache TTL can not be zero or negative: 0".to_owned()),
        // A first argument that is no number is a zone.
        _ => Ok(()),
    }
}

fn check_reload(directive: &Directive) -> Result<(), ParseError> {
    match directive.args.first() {
        Some(interval) if interval != "off" && seconds(interval).is_none() => {
            refuse(directive.line, format!("plugin/reload: time: invalid duration \"{interval}\""))
        }
        _ => Ok(()),
    }
}

/// A Go duration of one unit (`30s`, `2m`, `1h`), in seconds. A bare number is seconds.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0).map(|number| number * factor)
}
