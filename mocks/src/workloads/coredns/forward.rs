//! The plugin `forward`.
//!
//! Simplified: upstreams are not health-checked between queries; each query tries them until one answers, as CoreDNS does
//! within one query.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicUsize, Ordering};

use acrossk8s_corefile::{Forward, Upstream};
use hickory_proto::op::Message;
use rand::seq::SliceRandom as _;

use crate::network::{Host, Transport};
use crate::workloads::{ResolvConf, dns};

/// The upstreams of a server block.
pub(super) struct Forwarder {
    config: Forward,
    upstreams: Vec<SocketAddrV4>,
    next: AtomicUsize,
}

impl Forwarder {
    /// `resolv_conf` stands for every file that is named: a container has no other.
    pub(super) fn new(config: Forward, resolv_conf: &ResolvConf) -> Self {
        let upstreams = config.to.iter().flat_map(|to| match to {
            Upstream::Address(address) => vec![*address],
            Upstream::File(_) => resolv_conf.nameservers.iter().map(|it| SocketAddrV4::new(*it, 53)).collect(),
            Upstream::Other(_) => Vec::new(),
        });
        Self { upstreams: upstreams.collect(), config, next: AtomicUsize::new(0) }
    }

    /// Whether the name is forwarded.
    pub(super) fn takes(&self, name: &str) -> bool {
        let below = |zone: &str| zone == "." || name == zone || name.ends_with(&format!(".{zone}"));
        below(&self.config.from) && !self.config.except.iter().any(|zone| below(zone.trim_end_matches('.')))
    }

    /// Asks upstreams in the order of the policy until one answers.
    pub(super) async fn ask(&self, host: &dyn Host, query: &Message, came_over: Transport) -> Result<Message, String> {
        let mut why = "no upstream host".to_owned();
        for upstream in self.order() {
            let tcp = self.config.force_tcp || came_over == Transport::Tcp;
            let answer =
                if tcp { dns::ask_tcp(host, upstream, query).await } else { dns::ask_udp(host, upstream, query).await };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let transport = if tcp { "tcp" } else { "udp" };
                    why = format!(
                        "{} {transport} {}->{upstream}: {error}",
                        if tcp { "dial" } else { "read" },
                        host.address()
                    );
                }
            }
        }
        Err(why)
    }

    fn order(&self) -> Vec<SocketAddrV4> {
        let mut order = self.upstreams.clone();
        match self.config.policy.as_str() {
            "sequential" => {}
            "round_robin" if !order.is_empty() => {
                let first = self.next.fetch_add(1, Ordering::Relaxed) % order.len();
                order.rotate_left(first);
            }
            _ => order.shuffle(&mut rand::rng()),
        }
        order
    }
}
