//! Questions to both networks, and the answers that have to be the same.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::*;
use super::world::{Built, DNS, LISTENER, NODE_PORT, NODE_PORT_UDP, Pair, WEB, service};

/// A port at which nothing listens.
const CLOSED: u16 = 9;
/// Questions under way at a time.
const AT_ONCE: usize = 192;

/// How long an answer may take, and how often something is asked that chance has a part in. Where the answers differ it is
/// asked again, longer and more often: a busy machine may be late, and a rare answer may be missing.
const ROUNDS: [(Duration, usize); 3] =
    [(Duration::from_millis(200), 6), (Duration::from_secs(1), 48), (Duration::from_secs(3), 96)];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Means {
    Tcp(u16),
    Udp(u16),
    Echo,
}

/// One question: from a host, by its index, to an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    from: usize,
    to: Ipv4Addr,
    means: Means,
    /// Whether chance has a part in the answer.
    chance: bool,
}

/// What came of it. Hosts say who they are and whom they see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Reached(String),
    Echoed,
    Refused,
    /// No answer; who got the datagram all the same.
    Lost(Option<String>),
    Other(String),
}

type Side = fn(&Pair) -> &Arc<dyn Host>;

/// The servers on every host of one network.
struct Served {
    /// Datagrams that arrived, by their payload.
    arrived: Arc<Mutex<BTreeMap<Vec<u8>, String>>>,
    _tasks: JoinSet<()>,
}

async fn serve(built: &Built, side: Side) -> Served {
    let arrived: Arc<Mutex<BTreeMap<Vec<u8>, String>>> = Arc::default();
    let mut tasks = JoinSet::new();
    for pair in built.hosts.iter().filter(|pair| pair.spec.kind != HostKind::LoadBalancer) {
        let name = pair.spec.name.clone();
        let listener = side(pair).listen(WEB).await.unwrap();
        let greeting = name.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, source)) = listener.accept().await {
                let text = format!("{greeting} sees {}", source.ip());
                tokio::spawn(async move {
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let socket = side(pair).bind(DNS).await.unwrap();
        let arrived = Arc::clone(&arrived);
        tasks.spawn(async move {
            loop {
                // That an answer met a closed socket is no matter.
                let Ok((payload, source)) = socket.recv_from().await else { continue };
                let text = format!("{name} sees {}", source.ip());
                arrived.lock().insert(payload, text.clone());
                let _ = socket.send_to(text.as_bytes(), source).await;
            }
        });
    }
    Served { arrived, _tasks: tasks }
}

fn of_error(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::TimedOut => Answer::Lost(None),
        other => Answer::Other(format!("{other:?}: {error}")),
    }
}

impl Served {
    /// Asks once. For a datagram, with what it carried.
    async fn ask(host: &Arc<dyn Host>, question: &Question, patience: Duration) -> (Answer, Option<Vec<u8>>) {
        let answer = match question.means {
            Means::Echo => match timeout(patience, host.echo(question.to)).await {
                Ok(Ok(())) => Answer::Echoed,
                Ok(Err(error)) => of_error(&error),
                Err(_) => Answer::Lost(None),
            },
            Means::Tcp(port) => {
                let exchange = async {
                    let mut stream = host.connect(SocketAddrV4::new(question.to, port)).await?;
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await?;
                    Ok::<_, io::Error>(text)
                };
                match timeout(patience, exchange).await {
                    Ok(Ok(text)) => Answer::Reached(text),
                    Ok(Err(error)) => of_error(&error),
                    Err(_) => Answer::Lost(None),
                }
            }
            Means::Udp(port) => {
                static ASKED: AtomicU32 = AtomicU32::new(0);
                let payload = ASKED.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
                let exchange = async {
                    let socket = host.bind(0).await?;
                    socket.send_to(&payload, SocketAddrV4::new(question.to, port)).await?;
                    socket.recv_from().await
                };
                let answer = match timeout(patience, exchange).await {
                    Ok(Ok((text, _))) => Answer::Reached(String::from_utf8_lossy(&text).into_owned()),
                    Ok(Err(error)) => of_error(&error),
                    Err(_) => Answer::Lost(None),
                };
                return (answer, Some(payload));
            }
        };
        (answer, None)
    }

    /// Waits until the servers have read what has arrived: each gets one more datagram, from its own host.
    async fn read_all(&self, built: &Built, side: Side) {
        for pair in built.hosts.iter().filter(|pair| pair.spec.kind != HostKind::LoadBalancer) {
            let socket = side(pair).bind(0).await.unwrap();
            socket.send_to(b"last", SocketAddrV4::new(pair.spec.address, DNS)).await.unwrap();
            socket.recv_from().await.unwrap();
        }
    }

    /// The answers to each question.
    async fn ask_all(
        &self,
        built: &Built,
        side: Side,
        questions: &BTreeSet<Question>,
        (patience, times): (Duration, usize),
    ) -> BTreeMap<Question, BTreeSet<Answer>> {
        let each = questions.iter().flat_map(|it| std::iter::repeat_n(it, if it.chance { times } else { 1 }));
        let asking = each.map(|question| async move {
            (question.clone(), Self::ask(side(&built.hosts[question.from]), question, patience).await)
        });
        let all: Vec<_> = futures::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
        self.read_all(built, side).await;
        let mut answers: BTreeMap<Question, BTreeSet<Answer>> = BTreeMap::new();
        for (question, (answer, payload)) in all {
            let answer = match (answer, payload) {
                (Answer::Lost(None), Some(payload)) => Answer::Lost(self.arrived.lock().get(&payload).cloned()),
                (answer, _) => answer,
            };
            answers.entry(question).or_default().insert(answer);
        }
        answers
    }
}

/// Every question that makes sense.
fn questions(built: &Built) -> BTreeSet<Question> {
    let mut all = BTreeSet::new();
    for (from, pair) in built.hosts.iter().enumerate() {
        let balancer = pair.spec.kind == HostKind::LoadBalancer;
        // Ports of answers are translated with addresses, and ACLs may let only some of them through.
        let translated = matches!(pair.spec.kind, HostKind::Pod { source_nat: true, .. });
        let mut ask = |to: Ipv4Addr, means: Means, chance: bool| {
            let chance = (chance || translated) && means != Means::Echo;
            all.insert(Question { from, to, means, chance });
        };
        for other in built.hosts.iter().map(|other| &other.spec) {
            let to = other.address;
            match &other.kind {
                // A load balancer checks targets, which are nodes.
                HostKind::Node if balancer && other.vpc == pair.spec.vpc => ask(to, Means::Tcp(NODE_PORT), true),
                _ if balancer => {}
                HostKind::LoadBalancer => {
                    ask(to, Means::Tcp(LISTENER), true);
                    ask(to, Means::Tcp(CLOSED), false);
                    ask(to, Means::Echo, false);
                }
                HostKind::Node | HostKind::Pod { .. } => {
                    for means in [Means::Tcp(WEB), Means::Tcp(CLOSED), Means::Udp(DNS), Means::Udp(CLOSED), Means::Echo]
                    {
                        ask(to, means, false);
                    }
                    if other.kind == HostKind::Node {
                        ask(to, Means::Tcp(NODE_PORT), true);
                        ask(to, Means::Udp(NODE_PORT_UDP), true);
                    }
                }
            }
        }
        if !balancer {
            ask(service(), Means::Tcp(WEB), true);
            ask(service(), Means::Udp(DNS), true);
        }
    }
    all
}

/// What the two networks do not give the same answers to.
pub async fn disagreements(built: &Built) -> Vec<String> {
    let (model, kernel): (Side, Side) = (|pair| &pair.model, |pair| &pair.kernel);
    let (on_model, on_kernel) = (serve(built, model).await, serve(built, kernel).await);
    let mut open = questions(built);
    let mut found = Vec::new();
    for round in ROUNDS {
        let of_model = on_model.ask_all(built, model, &open, round).await;
        let of_kernel = on_kernel.ask_all(built, kernel, &open, round).await;
        open.retain(|question| of_model.get(question) != of_kernel.get(question));
        found = open
            .iter()
            .map(|question| {
                let from = &built.hosts[question.from].spec;
                let (model, kernel) = (&of_model[question], &of_kernel[question]);
                let (name, address) = (&from.name, from.address);
                let Question { to, means, .. } = question;
                format!("{name} ({address}) to {to} by {means:?}: model {model:?}, kernel {kernel:?}")
            })
            .collect();
        if open.is_empty() {
            break;
        }
    }
    found
}
