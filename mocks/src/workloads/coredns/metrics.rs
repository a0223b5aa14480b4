//! What the `prometheus` plugin counts, for the whole process: reloads do not reset it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

use super::{GO_VERSION, REVISION, VERSION};

/// Counters and gauges by metric and labels.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<(&'static str, Labels), f64>>);

type Labels = Vec<(&'static str, String)>;

/// Names, types and help of the metrics, in the order in which they are printed.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("coredns_build_info", "gauge", "Version, revision and Go version that CoreDNS was built from."),
    ("coredns_cache_hits_total", "counter", "Hits of the cache."),
    ("coredns_cache_requests_total", "counter", "Requests to the cache."),
    ("coredns_dns_requests_total", "counter", "DNS requests by zone, protocol, family and type."),
    ("coredns_dns_responses_total", "counter", "DNS answers by zone, code and plugin."),
    ("coredns_forward_healthcheck_broken_total", "counter", "Times that all upstreams were down."),
    ("coredns_plugin_enabled", "gauge", "Plugins by server, zone and view."),
    ("coredns_reload_failed_total", "counter", "Reloads that failed."),
    ("coredns_reload_version_info", "gauge", "Hash of the running configuration."),
];

impl Metrics {
    /// Counts one.
    pub fn count(&self, metric: &'static str, labels: Labels) {
        *self.0.lock().entry((metric, labels)).or_default() += 1.0;
    }

    /// Sets a gauge that has one set of labels at a time.
    pub fn set_only(&self, metric: &'static str, labels: Labels) {
        let mut values = self.0.lock();
        values.retain(|(name, _), _| *name != metric);
        values.insert((metric, labels), 1.0);
    }

    /// Sets a gauge to one for each of the given labels, and forgets the others.
    pub fn set_all(&self, metric: &'static str, all: impl IntoIterator<Item = Labels>) {
        let mut values = self.0.lock();
        values.retain(|(name, _), _| *name != metric);
        values.extend(all.into_iter().map(|labels| ((metric, labels), 1.0)));
    }

    /// Prometheus's text format.
    pub fn text(&self) -> String {
        let values = self.0.lock();
        let mut text = String::new();
        for (name, kind, help) in FAMILIES {
            let mut samples = String::new();
            if *name == "coredns_build_info" {
                let build =
                    [("goversion", GO_VERSION), ("revision", REVISION), ("version", VERSION)].map(owned).to_vec();
                sample(&mut samples, name, &build, 1.0);
            }
            for ((_, labels), value) in values.iter().filter(|((metric, _), _)| metric == name) {
                sample(&mut samples, name, labels, *value);
            }
            if *name == "coredns_reload_failed_total" && samples.is_empty() {
                sample(&mut samples, name, &Vec::new(), 0.0);
            }
            if !samples.is_empty() {
                // Writing to a string does not fail.
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
            }
        }
        text
    }
}

fn owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

fn sample(text: &mut String, name: &str, labels: &Labels, value: f64) {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={:?}", value)).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_printed_with_their_labels() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            metrics.count("coredns_dns_requests_total", vec![("server", "dns://:53".to_owned())]);
        }
        metrics.set_only("coredns_reload_version_info", vec![("value", "a".to_owned())]);
        metrics.set_only("coredns_reload_version_info", vec![("value", "b".to_owned())]);
        let text = metrics.text();
        assert!(text.contains("\ncoredns_dns_requests_total{server=\"dns://:53\"} 2\n"), "{text}");
        assert!(text.contains("coredns_reload_version_info{value=\"b\"} 1\n") && !text.contains("\"a\""), "{text}");
        assert!(text.contains("coredns_reload_failed_total 0\n"), "{text}");
    }
}
