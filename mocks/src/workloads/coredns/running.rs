//! The server: the configuration that runs, and the query's way to the server block of its zone.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::DNSClass;
use parking_lot::RwLock;

use super::query::{Next, Outcome, Plugin, Query};
use crate::workloads::dns::{Request, Responder, reply_to, within};

/// Zones by port, each with the plugins of its server block.
pub(super) type Zones = BTreeMap<u16, Vec<Zone>>;

/// A zone of a server block.
#[derive(Clone)]
pub(super) struct Zone {
    /// The zone, in lower case without the dot at its end.
    pub zone: String,
    /// The block's plugins, in the order in which CoreDNS runs them.
    pub plugins: Arc<[Arc<dyn Plugin>]>,
}

/// What listeners hand queries to; reloads replace the zones under them.
#[derive(Default)]
pub(super) struct Running(RwLock<Arc<Zones>>);

impl Running {
    /// Replaces the zones. Queries under way end with the old ones.
    pub fn replace(&self, zones: Zones) {
        *self.0.write() = Arc::new(zones);
    }

    /// Answers a query.
    pub async fn answer(&self, request: Request) -> Message {
        let refused = reply_to(&request.message, ResponseCode::Refused);
        let zones = Arc::clone(&self.0.read());
        let port = request.port;
        let Some(mut query) = Query::new(request) else { return refused };
        if query.qclass != DNSClass::IN {
            return refused;
        }
        let candidates = zones.get(&port).into_iter().flatten().filter(|zone| within(&query.name, &zone.zone));
        // The longest zone serves the name, and no other is asked.
        let Some(zone) = candidates.max_by_key(|zone| if zone.zone == "." { 0 } else { zone.zone.len() }) else {
            return refused;
        };
        if zone.plugins.is_empty() {
            return refused;
        }
        query.zone.clone_from(&zone.zone);
        match Next::new(&zone.plugins).run(&query).await {
            Outcome::Written(answer) => answer,
            Outcome::Failed { code, .. } => query.reply(code),
        }
    }
}

#[async_trait]
impl Responder for Running {
    async fn respond(&self, request: Request) -> Message {
        self.answer(request).await
    }
}
