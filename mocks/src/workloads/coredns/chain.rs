//! Server blocks and the way of a query through their plugins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use acrossk8s_corefile::{Corefile, ZoneKey};
use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use rand::seq::SliceRandom as _;

use super::Server;
use super::cache::Cache;
use super::config::Block;
use super::forward::Forwarder;
use super::kubernetes::Cluster;
use super::records::{self, Found};
use crate::network::Transport;
use crate::workloads::dns_server::Answerer;
use crate::workloads::{Container, dns};

/// The server blocks of a Corefile. A reload makes a new chain, with empty caches.
pub(super) struct Chain {
    blocks: Vec<Served>,
    /// The question by which `loop` finds out whether queries come back, and how often it came.
    loop_probe: Option<Name>,
    came_back: AtomicUsize,
}

struct Served {
    block: Block,
    cache: Option<Cache>,
    forwarder: Option<Forwarder>,
    cluster: Cluster,
}

impl Chain {
    pub(super) fn build(corefile: &Corefile, container: &Container, cluster: &Cluster) -> Self {
        let blocks: Vec<_> = corefile
            .blocks
            .iter()
            .map(|it| {
                let block = Block::new(it);
                for plugin in &block.ignored {
                    container.log.line(format!("[WARNING] plugin/{plugin}: not emulated"));
                }
                Served {
                    cache: block.cache.map(|config| Cache::new(config, container.clock.clone())),
                    forwarder: block.forward.clone().map(|config| Forwarder::new(config, &container.resolv_conf)),
                    cluster: cluster.clone(),
                    block,
                }
            })
            .collect();
        let loop_probe = blocks.iter().find(|it| it.block.detects_loops).and_then(|it| probe_name(&it.block.keys));
        Self { blocks, loop_probe, came_back: AtomicUsize::new(0) }
    }

    /// Whether a block runs the plugin `kubernetes`, which has to be in step before the server is ready.
    pub(super) fn needs_cluster(&self) -> bool {
        self.blocks.iter().any(|it| it.block.kubernetes.is_some())
    }

    /// The block that serves a name: the longest matching zone, with no falling through to another.
    fn block_for(&self, name: &str) -> Option<&Served> {
        self.blocks
            .iter()
            .filter_map(|it| Some((it.block.keys.iter().filter_map(|key| key.matches(name)).max()?, it)))
            .max_by_key(|(labels, _)| *labels)
            .map(|(_, served)| served)
    }
}

/// A random name below the first zone of the block that detects loops: `loop` looks at no other (its manual).
fn probe_name(keys: &[ZoneKey]) -> Option<Name> {
    let random = || rand::random::<u64>().to_string();
    let zone = keys.first().map(|key| key.zone.as_str()).filter(|zone| *zone != ".").unwrap_or_default();
    Name::from_ascii(format!("{}.{}.{zone}", random(), random())).ok().map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

/// Asks itself the question that nobody else asks. Completes, with the message, when it comes back again and again.
pub(super) async fn detect_loops(server: &Arc<Server>) -> String {
    loop {
        let chain = server.chain.read().clone();
        if let Some(name) = &chain.loop_probe {
            let own = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 53);
            let query = dns::query(name, RecordType::HINFO);
            // The answer says nothing: what counts is how often the question came in.
            let _ = dns::ask_udp(&*server.container.host, own, &query).await;
            if chain.came_back.load(Ordering::Relaxed) > 2 {
                return format!(
                    "[FATAL] plugin/loop: Loop (127.0.0.1 -> :53) detected for zone \".\". Query: \"HINFO {name}\""
                );
            }
        }
        // Once for each configuration: a reload loads the plugin anew.
        server.counters.reloaded(&chain, &server.chain).await;
    }
}

#[async_trait]
impl Answerer for Server {
    async fn answer(&self, query: &Message, transport: Transport) -> Option<Message> {
        self.counters.request();
        let question = query.queries.first()?;
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let chain = self.chain.read().clone();
        if question.query_type() == RecordType::HINFO
            && chain.loop_probe.as_ref() == Some(question.name())
            && chain.came_back.fetch_add(1, Ordering::Relaxed) > 2
        {
            return None;
        }
        let Some(served) = chain.block_for(&name) else { return Some(dns::answer(query, ResponseCode::Refused)) };
        let mut answer = served.answer(self, query, &name, transport).await;
        if served.block.loadbalance {
            answer.answers.shuffle(&mut rand::rng());
        }
        if served.block.log {
            let code = answer.metadata.response_code;
            self.container.log.line(format!("[INFO] \"{} IN {name}. {transport:?}\" {code}", question.query_type()));
        }
        Some(answer)
    }
}

impl Served {
    async fn answer(&self, server: &Server, query: &Message, name: &str, transport: Transport) -> Message {
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.get(query)) {
            return kept;
        }
        let answer = self.ask(server, query, name, transport).await;
        if let Some(cache) = &self.cache {
            cache.put(query, &answer);
        }
        answer
    }

    async fn ask(&self, server: &Server, query: &Message, name: &str, transport: Transport) -> Message {
        if let Some(config) = &self.block.kubernetes {
            match records::look_up(config, &self.cluster.view(), query, name) {
                Found::Answer(answer) => return answer,
                Found::NotMine => {}
            }
        }
        let Some(forwarder) = self.forwarder.as_ref().filter(|it| it.takes(name)) else {
            return dns::answer(query, ResponseCode::Refused);
        };
        match forwarder.ask(&*server.container.host, query, transport).await {
            Ok(answer) => answer,
            Err(why) => {
                if self.block.errors {
                    let kind = query.queries.first().map(|it| it.query_type().to_string()).unwrap_or_default();
                    server.container.log.line(format!("[ERROR] plugin/errors: 2 {name}. {kind}: {why}"));
                }
                dns::answer(query, ResponseCode::ServFail)
            }
        }
    }
}
