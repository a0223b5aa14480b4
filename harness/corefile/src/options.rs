//! Options that plugins take, as far as this procedure meets the plugins. Sources: each plugin's documentation.

use crate::{Directive, duration};

/// What an option of a plugin takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Its name.
    pub name: &'static str,
    /// The fewest arguments.
    least: usize,
    /// The most arguments.
    most: usize,
    /// What the first argument is.
    kind: Kind,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    /// A whole number, not negative.
    Number,
    /// A duration, not negative.
    Duration,
    /// One of some words.
    Word(&'static [&'static str]),
}

const fn rule(name: &'static str, least: usize, most: usize, kind: Kind) -> Rule {
    Rule { name, least, most, kind }
}

const MANY: usize = usize::MAX;

const FORWARD: &[Rule] = &[
    rule("except", 1, MANY, Kind::Any),
    rule("force_tcp", 0, 0, Kind::Any),
    rule("prefer_udp", 0, 0, Kind::Any),
    rule("expire", 1, 1, Kind::Duration),
    rule("max_age", 1, 1, Kind::Duration),
    rule("max_fails", 1, 1, Kind::Number),
    rule("max_connect_attempts", 1, 1, Kind::Number),
    rule("max_idle_conns", 1, 1, Kind::Number),
    rule("read_timeout", 1, 1, Kind::Duration),
    rule("doh_method", 1, 1, Kind::Word(&["GET", "POST"])),
    rule("tls", 0, 3, Kind::Any),
    rule("tls_servername", 1, 1, Kind::Any),
    rule("policy", 1, 1, Kind::Word(&["random", "round_robin", "sequential"])),
    rule("health_check", 1, 4, Kind::Duration),
    rule("max_concurrent", 1, 1, Kind::Number),
    rule("next", 1, MANY, Kind::Any),
    rule("next_on_nodata", 0, 0, Kind::Any),
    rule("failfast_all_unhealthy_upstreams", 0, 0, Kind::Any),
    rule("failover", 1, MANY, Kind::Any),
    rule("resolver", 1, MANY, Kind::Any),
    rule("source_address", 1, 1, Kind::Any),
];

const CACHE: &[Rule] = &[
    rule("success", 1, 3, Kind::Number),
    rule("denial", 1, 3, Kind::Number),
    rule("prefetch", 1, 3, Kind::Number),
    rule("serve_stale", 0, 5, Kind::Duration),
    rule("serve_stale_policy", 1, 1, Kind::Word(&["prefer_positive"])),
    rule("servfail", 1, 1, Kind::Duration),
    rule("disable", 1, MANY, Kind::Word(&["success", "denial"])),
    rule("keepttl", 0, 0, Kind::Any),
];

const KUBERNETES: &[Rule] = &[
    rule("endpoint", 1, MANY, Kind::Any),
    rule("tls", 3, 3, Kind::Any),
    rule("kubeconfig", 1, 2, Kind::Any),
    rule("namespaces", 1, MANY, Kind::Any),
    rule("labels", 1, MANY, Kind::Any),
    rule("namespace_labels", 1, MANY, Kind::Any),
    rule("pods", 1, 1, Kind::Word(&["disabled", "insecure", "verified"])),
    rule("endpoint_pod_names", 0, 0, Kind::Any),
    rule("ttl", 1, 1, Kind::Number),
    rule("noendpoints", 0, 0, Kind::Any),
    rule("zonal", 0, 0, Kind::Any),
    rule("fallthrough", 0, MANY, Kind::Any),
    rule("ignore", 1, 1, Kind::Word(&["empty_service"])),
    rule("multicluster", 0, MANY, Kind::Any),
    rule("startup_timeout", 1, 1, Kind::Duration),
    rule("apiserver_qps", 1, 1, Kind::Any),
    rule("apiserver_burst", 1, 1, Kind::Number),
    rule("apiserver_max_inflight", 1, 1, Kind::Number),
];

/// Plugins whose options and number of arguments are checked: the fewest and the most arguments, and the options.
const PLUGINS: &[(&str, usize, usize, &[Rule])] = &[
    ("cache", 0, MANY, CACHE),
    ("errors", 0, 1, &[rule("consolidate", 2, 4, Kind::Duration), rule("stacktrace", 0, 0, Kind::Any)]),
    ("forward", 2, MANY, FORWARD),
    ("health", 0, 1, &[rule("lameduck", 1, 1, Kind::Duration)]),
    ("kubernetes", 0, MANY, KUBERNETES),
    ("loadbalance", 0, 2, &[rule("prefer", 0, MANY, Kind::Any), rule("reload", 1, 1, Kind::Duration)]),
    ("log", 0, MANY, &[rule("class", 1, MANY, Kind::Word(&["all", "success", "denial", "error"]))]),
    ("loop", 0, 0, &[]),
    ("prometheus", 0, 1, &[rule("tls", 1, 1, Kind::Any), rule("runtime_metrics", 0, 0, Kind::Any)]),
    ("ready", 0, 1, &[rule("monitor", 1, 1, Kind::Word(&["until-ready", "continuously"]))]),
    ("reload", 0, 2, &[]),
    ("whoami", 0, 0, &[]),
];

/// What is wrong with the arguments and options of a plugin: the line, and CoreDNS's message.
pub(crate) fn check(directive: &Directive) -> Result<(), (usize, String)> {
    let Some((name, least, most, rules)) = PLUGINS.iter().find(|(name, ..)| *name == directive.name) else {
        return Ok(());
    };
    let refuse = |line: usize, message: String| Err((line, format!("plugin/{name}: {message}")));
    if !(*least..=*most).contains(&directive.args.len()) {
        return refuse(directive.line, wrong_count(directive));
    }
    for option in &directive.block {
        let Some(rule) = rules.iter().find(|rule| rule.name == option.name) else {
            return refuse(option.line, format!("unknown property '{}'", option.name));
        };
        if let Err(message) = rule.check(option) {
            return refuse(option.line, message);
        }
    }
    Ok(())
}

impl Rule {
    fn check(&self, option: &Directive) -> Result<(), String> {
        // A brace on the option's line is an argument to plugins that read the rest of the line.
        let brace_counts = option.closes_parent && self.least != self.most;
        let brace_refused = option.closes_parent && self.most == 0;
        if !(self.least..=self.most).contains(&option.args.len()) || brace_counts || brace_refused {
            return Err(wrong_count(option));
        }
        if !option.block.is_empty() {
            return Err("Unexpected token '{', expecting argument".to_owned());
        }
        let Some(first) = option.args.first() else { return Ok(()) };
        match self.kind {
            Kind::Number if first.parse::<u32>().is_err() => {
                Err(format!("strconv.Atoi: parsing \"{first}\": invalid syntax"))
            }
            Kind::Duration if duration(first).is_none() => Err(format!("time: invalid duration \"{first}\"")),
            Kind::Word(words) if !words.contains(&first.as_str()) => {
                Err(format!("{}: unknown value '{first}', must be one of: {}", self.name, words.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// Caddy's message for a wrong number of arguments.
pub(crate) fn wrong_count(directive: &Directive) -> String {
    let last = directive.args.last().unwrap_or(&directive.name);
    format!("Wrong argument count or unexpected line ending after '{last}'")
}
