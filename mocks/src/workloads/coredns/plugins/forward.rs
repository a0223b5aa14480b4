//! `forward`: asks other servers, over TCP or UDP.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use acrossk8s_corefile::{Directive, Upstream};
use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::sync::Semaphore;

use super::super::query::{Next, Outcome, Plugin, Query};
use super::Env;
use crate::network::Transport;
use crate::workloads::Container;
use crate::workloads::dns::{exchange_tcp, exchange_udp, within};

/// How long an upstream is waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a query is tried to be answered in all.
const DEADLINE: Duration = Duration::from_secs(5);
/// Attempts for each upstream within the deadline.
const ATTEMPTS: usize = 2;
/// Between two probes of an upstream that has failed, unless `health_check` says otherwise.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// The least between two probes on the machine's clock, however fast the lab's is.
const PROBE_FLOOR: Duration = Duration::from_millis(20);
/// Queries under way at once. CoreDNS has no limit unless `max_concurrent` sets one, and a forwarding loop is bounded by
/// the round trips of the network; here a round trip takes no time, and the limit bounds the loop.
const UNDER_WAY: usize = 256;

/// The plugin. Simplified: each query over TCP has a connection of its own, DNS over TLS and IPv6 upstreams are not
/// spoken to, and of the options `next`, `failover` and `max_age` do nothing.
pub(in super::super) struct Forward {
    from: String,
    except: Vec<String>,
    upstreams: Vec<Arc<Server>>,
    policy: Policy,
    force_tcp: bool,
    prefer_udp: bool,
    max_fails: u32,
    fail_fast: bool,
    max_concurrent: Option<usize>,
    probe_interval: Duration,
    under_way: Semaphore,
    turn: AtomicUsize,
    env: Env,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Random,
    RoundRobin,
    Sequential,
}

/// An upstream and what is known of its health.
#[derive(Debug)]
struct Server {
    address: SocketAddrV4,
    fails: AtomicU32,
    probing: AtomicBool,
}

impl Server {
    fn down(&self, max_fails: u32) -> bool {
        max_fails > 0 && self.fails.load(Ordering::Relaxed) > max_fails
    }
}

/// The upstreams of a directive: addresses as they are, name servers of files as they stand there now.
fn upstreams(directive: &Directive, container: &Container) -> Result<Vec<SocketAddrV4>, String> {
    let mut found = Vec::new();
    for upstream in acrossk8s_corefile::forward(directive).to {
        match upstream {
            Upstream::Address(address) => found.push(address),
            Upstream::File(path) => {
                let servers = nameservers(&path, container).ok_or_else(|| {
                    format!("not an IP address or file {path:?}: open {path}: no such file or directory")
                })?;
                found.extend(servers.into_iter().map(|server| SocketAddrV4::new(server, 53)));
            }
            Upstream::Other(other) => {
                return Err(format!("{other}: upstreams other than IPv4 addresses over plain DNS are not emulated"));
            }
        }
    }
    let mut unique = Vec::new();
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    if unique.is_empty() { Err("no nameservers found".to_owned()) } else { Ok(unique) }
}

fn nameservers(path: &str, container: &Container) -> Option<Vec<Ipv4Addr>> {
    if let Some(content) = container.files.borrow().get(path) {
        let text = String::from_utf8_lossy(content).into_owned();
        let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
        return Some(servers.collect());
    }
    (path == "/etc/resolv.conf").then(|| container.resolv_conf.nameservers.clone())
}

impl Forward {
    /// Of a directive `forward FROM TO...`.
    ///
    /// # Errors
    /// What CoreDNS refuses only now: files that are not there, files without name servers.
    pub fn new(directive: &Directive, env: &Env) -> Result<Self, String> {
        let argument = |name: &str| super::option(directive, name).and_then(|option| option.args.first());
        let read = acrossk8s_corefile::forward(directive);
        let upstreams = upstreams(directive, &env.container)?
            .into_iter()
            .map(|address| Arc::new(Server { address, fails: AtomicU32::new(0), probing: AtomicBool::new(false) }))
            .collect();
        Ok(Self {
            from: super::zone(&read.from),
            except: read.except.iter().map(|zone| super::zone(zone)).collect(),
            upstreams,
            policy: match read.policy.as_str() {
                "round_robin" => Policy::RoundRobin,
                "sequential" => Policy::Sequential,
                _ => Policy::Random,
            },
            force_tcp: read.force_tcp,
            prefer_udp: super::option(directive, "prefer_udp").is_some(),
            max_fails: argument("max_fails").and_then(|it| it.parse().ok()).unwrap_or(2),
            fail_fast: super::option(directive, "failfast_all_unhealthy_upstreams").is_some(),
            max_concurrent: argument("max_concurrent").and_then(|it| it.parse().ok()).filter(|limit| *limit > 0),
            probe_interval: argument("health_check")
                .and_then(|it| acrossk8s_corefile::duration(it))
                .unwrap_or(PROBE_INTERVAL),
            under_way: Semaphore::new(UNDER_WAY),
            turn: AtomicUsize::new(0),
            env: env.clone(),
        })
    }

    fn takes(&self, name: &str) -> bool {
        within(name, &self.from) && (name == self.from || !self.except.iter().any(|zone| within(name, zone)))
    }

    /// The upstreams in the order in which they are tried.
    fn order(&self) -> Vec<Arc<Server>> {
        let mut order = self.upstreams.clone();
        match self.policy {
            Policy::Random => order.shuffle(&mut rand::rng()),
            Policy::RoundRobin => {
                let first = self.turn.fetch_add(1, Ordering::Relaxed) % order.len().max(1);
                order.rotate_left(first);
            }
            Policy::Sequential => {}
        }
        order
    }

    async fn ask(&self, query: &Query) -> Outcome {
        let order = self.order();
        let mut last = "no healthy proxies".to_owned();
        let (mut at, mut skipped) = (0, 0);
        for _ in 0..ATTEMPTS * order.len() {
            let upstream = loop {
                let upstream = &order[at % order.len()];
                at += 1;
                if !upstream.down(self.max_fails) {
                    break upstream;
                }
                skipped += 1;
                if skipped < order.len() {
                    continue;
                }
                self.env.metrics.count("coredns_forward_healthcheck_broken_total", Vec::new());
                if self.fail_fast {
                    return Outcome::Failed { code: ResponseCode::ServFail, error: Some(last) };
                }
                // All are down: the probes may be wrong, any will do.
                break order.choose(&mut rand::rng()).unwrap_or(upstream);
            };
            match self.exchange(query, upstream.address).await {
                Ok(mut answer) => {
                    answer.metadata.id = query.request.message.metadata.id;
                    answer.edns = query.reply(ResponseCode::NoError).edns;
                    return Outcome::Written(answer);
                }
                Err(error) => {
                    last = error;
                    if self.max_fails > 0 {
                        self.probe(upstream);
                    }
                }
            }
        }
        Outcome::Failed { code: ResponseCode::ServFail, error: Some(last) }
    }

    async fn exchange(&self, query: &Query, upstream: SocketAddrV4) -> Result<Message, String> {
        let host = self.env.container.host.as_ref();
        let mut message = query.request.message.clone();
        message.metadata.id = rand::random();
        let tcp = self.force_tcp || (query.request.transport == Transport::Tcp && !self.prefer_udp);
        if !tcp {
            let answer = exchange_udp(host, upstream, &message, READ_TIMEOUT).await;
            let answer = answer.map_err(|error| self.describe("udp", upstream, &error))?;
            if !(answer.metadata.truncation && self.prefer_udp) {
                return Ok(answer);
            }
        }
        exchange_tcp(host, upstream, &message, READ_TIMEOUT)
            .await
            .map_err(|error| self.describe("tcp", upstream, &error))
    }

    /// An error as Go words it.
    fn describe(&self, network: &str, upstream: SocketAddrV4, error: &io::Error) -> String {
        let what = match error.kind() {
            io::ErrorKind::ConnectionRefused if network == "tcp" => "connect: connection refused".to_owned(),
            io::ErrorKind::ConnectionRefused => "recvfrom: connection refused".to_owned(),
            io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
            _ => error.to_string(),
        };
        if network == "tcp" {
            format!("dial tcp {upstream}: {what}")
        } else {
            format!("read udp {}->{upstream}: {what}", self.env.container.host.address())
        }
    }

    /// Probes an upstream that has failed until it answers: it is down while more than `max_fails` probes have failed.
    fn probe(&self, upstream: &Arc<Server>) {
        if upstream.probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (upstream, env) = (Arc::clone(upstream), self.env.clone());
        let (interval, tcp) = (self.probe_interval, self.force_tcp);
        tokio::spawn(async move {
            let retired = env.retired.clone();
            tokio::select! {
                () = retired.cancelled() => {}
                () = probe_until_well(&upstream, &env, interval, tcp) => {}
            }
            upstream.probing.store(false, Ordering::Relaxed);
        });
    }
}

async fn probe_until_well(upstream: &Server, env: &Env, interval: Duration, tcp: bool) {
    let (host, clock) = (env.container.host.as_ref(), &env.container.clock);
    loop {
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Question::query(Name::root(), RecordType::NS));
        let answered = if tcp {
            exchange_tcp(host, upstream.address, &message, READ_TIMEOUT).await
        } else {
            exchange_udp(host, upstream.address, &message, READ_TIMEOUT).await
        };
        // Any answer shows that it lives.
        if answered.is_ok() {
            upstream.fails.store(0, Ordering::Relaxed);
            return;
        }
        upstream.fails.fetch_add(1, Ordering::Relaxed);
        // The interval is CoreDNS's own (`health_check`), on the lab's clock; nothing tells when an upstream is back. On a
        // clock that runs very fast the floor keeps the probes from taking the machine.
        tokio::join!(clock.sleep(interval), tokio::time::sleep(PROBE_FLOOR));
    }
}

#[async_trait]
impl Plugin for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        if !self.takes(&query.name) {
            return next.run(query).await;
        }
        let Ok(_under_way) = self.under_way.try_acquire() else {
            let error = format!("more than {UNDER_WAY} queries under way: do zones forward to each other in a circle?");
            return Outcome::Failed { code: ResponseCode::ServFail, error: Some(error) };
        };
        if let Some(limit) = self.max_concurrent
            && UNDER_WAY - self.under_way.available_permits() > limit
        {
            let error = format!("concurrent queries exceeded maximum {limit}");
            return Outcome::Failed { code: ResponseCode::Refused, error: Some(error) };
        }
        match tokio::time::timeout(DEADLINE, self.ask(query)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed { code: ResponseCode::ServFail, error: Some("i/o timeout".to_owned()) },
        }
    }
}
