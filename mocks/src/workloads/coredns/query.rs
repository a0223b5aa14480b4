//! A query on its way through a server block's plugins.

use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use crate::workloads::dns::{Request, lower, reply_to};

/// A query with what plugins ask of it.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The request as it arrived.
    pub request: Request,
    /// The name, in lower case without the dot at its end.
    pub name: String,
    /// The name as asked.
    pub qname: Name,
    /// The type.
    pub qtype: RecordType,
    /// The class.
    pub qclass: DNSClass,
    /// The server in metrics' labels, for example `dns://:53`.
    pub server: String,
    /// The zone of the server block that serves it.
    pub zone: String,
}

impl Query {
    /// A query of a request with one question.
    pub fn new(request: Request) -> Option<Self> {
        let question = request.message.queries.first()?.clone();
        Some(Self {
            name: lower(&question.name),
            qname: question.name,
            qtype: question.query_type,
            qclass: question.query_class,
            server: format!("dns://:{}", request.port),
            zone: ".".to_owned(),
            request,
        })
    }

    /// Whether the client asks for DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.request.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
    }

    /// An empty answer.
    pub fn reply(&self, code: ResponseCode) -> Message {
        reply_to(&self.request.message, code)
    }

    /// The name with its dot, as CoreDNS logs it.
    pub fn logged_name(&self) -> String {
        if self.name == "." { ".".to_owned() } else { format!("{}.", self.name) }
    }
}

/// What became of a query.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// A plugin wrote an answer.
    Written(Message),
    /// No plugin did: the server answers with the code. Such answers pass by the cache.
    Failed {
        /// The code.
        code: ResponseCode,
        /// What `errors` logs.
        error: Option<String>,
    },
}

/// A plugin of a server block.
#[async_trait]
pub(super) trait Plugin: Send + Sync {
    /// Its name in the Corefile.
    fn name(&self) -> &'static str;

    /// Answers a query or hands it on.
    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome;
}

/// The plugins behind one.
#[derive(Clone, Copy)]
pub(super) struct Next<'a> {
    plugins: &'a [Arc<dyn Plugin>],
    last: &'static str,
}

impl<'a> Next<'a> {
    /// A chain of plugins.
    pub fn new(plugins: &'a [Arc<dyn Plugin>]) -> Self {
        Self { plugins, last: "" }
    }

    /// Hands a query on.
    pub async fn run(self, query: &Query) -> Outcome {
        match self.plugins.split_first() {
            Some((plugin, rest)) => plugin.serve(query, Next { plugins: rest, last: plugin.name() }).await,
            None => Outcome::Failed {
                code: ResponseCode::ServFail,
                error: Some(format!("plugin/{}: no next plugin found", self.last)),
            },
        }
    }
}
