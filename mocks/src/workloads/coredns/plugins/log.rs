//! `log`: a line for each query.

use std::time::Instant;

use acrossk8s_corefile::Directive;
use async_trait::async_trait;

use super::super::query::{Next, Outcome, Plugin, Query};
use crate::network::Transport;
use crate::workloads::Log;
use crate::workloads::dns::within;

/// The plugin, in the format `{common}`; other formats and classes are taken and do nothing.
pub(in super::super) struct QueryLog {
    zones: Vec<String>,
    log: Log,
}

impl QueryLog {
    /// Of a directive `log [NAMES...]`.
    pub fn new(directive: &Directive, log: Log) -> Self {
        let zones: Vec<String> =
            directive.args.iter().filter(|arg| !arg.contains('{')).map(|arg| super::zone(arg)).collect();
        Self { zones: if zones.is_empty() { vec![".".to_owned()] } else { zones }, log }
    }
}

#[async_trait]
impl Plugin for QueryLog {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        let began = Instant::now();
        let outcome = next.run(query).await;
        if self.zones.iter().any(|zone| within(&query.name, zone)) {
            let (code, flags, size) = match &outcome {
                Outcome::Written(answer) => {
                    let size = answer.to_vec().map_or(0, |bytes| bytes.len());
                    (answer.metadata.response_code, flags(answer), size)
                }
                Outcome::Failed { code, .. } => (*code, "-".to_owned(), 0),
            };
            let request = &query.request;
            let transport = match request.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            };
            self.log.line(format!(
                "[INFO] {} - {} \"{} {} {} {transport} {} {} {}\" {} {flags} {size} {:.9}s",
                request.source,
                request.message.metadata.id,
                query.qtype,
                query.qclass,
                query.logged_name(),
                request.message.to_vec().map_or(0, |bytes| bytes.len()),
                query.dnssec_ok(),
                request.message.edns.as_ref().map_or(512, |edns| edns.max_payload()),
                super::prometheus::code_name(code),
                began.elapsed().as_secs_f64(),
            ));
        }
        outcome
    }
}

fn flags(answer: &hickory_proto::op::Message) -> String {
    let metadata = &answer.metadata;
    let mut flags = vec!["qr"];
    for (set, name) in [
        (metadata.authoritative, "aa"),
        (metadata.truncation, "tc"),
        (metadata.recursion_desired, "rd"),
        (metadata.recursion_available, "ra"),
        (metadata.authentic_data, "ad"),
        (metadata.checking_disabled, "cd"),
    ] {
        if set {
            flags.push(name);
        }
    }
    flags.join(",")
}
