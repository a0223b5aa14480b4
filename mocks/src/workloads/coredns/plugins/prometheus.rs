//! `prometheus`: counts queries and answers.

use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;

use super::super::metrics::Metrics;
use super::super::query::{Next, Outcome, Plugin, Query};
use crate::network::Transport;

/// The plugin.
pub(in super::super) struct Prometheus(pub Arc<Metrics>);

#[async_trait]
impl Plugin for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        let outcome = next.run(query).await;
        let proto = match query.request.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let zone = if query.zone == "." { ".".to_owned() } else { format!("{}.", query.zone) };
        let common = |more: [(&'static str, String); 2]| {
            let mut labels = vec![("server", query.server.clone()), ("view", String::new()), ("zone", zone.clone())];
            labels.extend(more);
            labels
        };
        self.0.count(
            "coredns_dns_requests_total",
            common([("proto", proto.to_owned()), ("type", query.qtype.to_string())]),
        );
        let code = match &outcome {
            Outcome::Written(answer) => answer.metadata.response_code,
            Outcome::Failed { code, .. } => *code,
        };
        self.0.count(
            "coredns_dns_responses_total",
            common([("proto", proto.to_owned()), ("rcode", code_name(code).to_owned())]),
        );
        outcome
    }
}

/// The usual name of a code.
pub(super) fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "OTHER",
    }
}
