//! Hosts and their sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use acrossk8s_vpc::Protocol;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::conntrack::{Origin, Socket};
use super::delivery::Undelivered;
use crate::network::breaking::pair;
use crate::network::{BoxStream, Datagram, Host, HostSpec, Listener};

/// Connections that wait to be accepted (Linux's net.core.somaxconn allows 4096; nothing here needs that many).
const BACKLOG: usize = 256;
/// Datagrams that wait to be read; more are lost, as on a real socket.
const QUEUE: usize = 256;
/// Ports that are handed out (Linux's net.ipv4.ip_local_port_range).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

type Accepted = (BoxStream, SocketAddrV4);
type Received = io::Result<(Vec<u8>, SocketAddrV4)>;

/// A host as the network sees it.
pub(super) struct Station {
    pub spec: HostSpec,
    vpc: Arc<str>,
    listeners: Mutex<BTreeMap<u16, mpsc::Sender<Accepted>>>,
    sockets: Mutex<BTreeMap<u16, mpsc::Sender<Received>>>,
    next_port: AtomicU16,
    gone: CancellationToken,
}

impl Station {
    pub(super) fn new(spec: HostSpec) -> Self {
        Self {
            vpc: spec.vpc.as_str().into(),
            spec,
            listeners: Mutex::default(),
            sockets: Mutex::default(),
            next_port: AtomicU16::new(*EPHEMERAL.start()),
            gone: CancellationToken::new(),
        }
    }

    /// Ends everything that is open.
    pub(super) fn leave(&self) {
        self.gone.cancel();
        self.listeners.lock().clear();
        self.sockets.lock().clear();
    }

    fn present(&self) -> io::Result<()> {
        if self.gone.is_cancelled() { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn port(&self) -> u16 {
        let next = |port: u16| if port >= *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        self.next_port
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |port| Some(next(port)))
            .unwrap_or(*EPHEMERAL.start())
    }

    fn socket(&self, port: u16) -> Socket {
        (self.vpc.clone(), self.spec.address, port)
    }

    /// The next ephemeral port that is not taken.
    fn free_port<T>(&self, taken: &BTreeMap<u16, T>) -> io::Result<u16> {
        let free = EPHEMERAL.map(|_| self.port()).find(|port| !taken.contains_key(port));
        free.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "every ephemeral port is in use"))
    }

    /// Hands a datagram, or news about one, to a socket.
    fn receive(&self, port: u16, received: Received) -> Result<(), Undelivered> {
        let at = SocketAddrV4::new(self.spec.address, port);
        match self.sockets.lock().get(&port).map(|socket| socket.try_send(received)) {
            Some(Ok(())) => Ok(()),
            // A full queue loses it, as a full socket buffer does.
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err(Undelivered::Full(at)),
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Err(Undelivered::Refused(at)),
        }
    }

    /// Hands a socket the news that what it sent, or the answer to it, is lost. News are lost with a full queue.
    fn inform(&self, port: u16, undelivered: Undelivered) {
        let _ = self.receive(port, Err(undelivered.into()));
    }
}

fn in_use(port: u16) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} is in use"))
}

/// A host's end of the network.
pub(super) struct ModelHost {
    network: Arc<Shared>,
    station: Arc<Station>,
}

impl ModelHost {
    pub(super) fn new(network: Arc<Shared>, station: Arc<Station>) -> Self {
        Self { network, station }
    }
}

#[async_trait]
impl Host for ModelHost {
    fn address(&self) -> Ipv4Addr {
        self.station.spec.address
    }

    fn source_for(&self, to: Ipv4Addr) -> Ipv4Addr {
        self.network.source_of(&self.network.fabric(), &self.station, to)
    }

    async fn listen(&self, port: u16) -> io::Result<Box<dyn Listener>> {
        self.station.present()?;
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut listeners = self.station.listeners.lock();
        let port = if port == 0 { self.station.free_port(&listeners)? } else { port };
        if listeners.get(&port).is_some_and(|there| !there.is_closed()) {
            return Err(in_use(port));
        }
        listeners.insert(port, sender);
        Ok(Box::new(ModelListener { station: self.station.clone(), port, receiver: receiver.into() }))
    }

    async fn connect(&self, to: SocketAddrV4) -> io::Result<BoxStream> {
        self.station.present()?;
        let delivery = self.network.deliver(&self.station, self.station.port(), to, Protocol::Tcp)?;
        if let Some(stop) = delivery.unanswerable {
            return Err(Undelivered::Dropped { to, stop }.into());
        }
        let listener = delivery.to.listeners.lock().get(&delivery.port).cloned();
        let Some(listener) = listener else { return Err(Undelivered::Refused(to).into()) };
        let (ours, theirs) = pair(&self.station.gone, &delivery.to.gone);
        // A full backlog makes a client repeat its SYN until there is room.
        tokio::select! {
            biased;
            () = delivery.to.gone.cancelled() => Err(Undelivered::Absent(to).into()),
            () = self.station.gone.cancelled() => Err(io::ErrorKind::NotConnected.into()),
            sent = listener.send((Box::new(theirs), delivery.source)) => match sent {
                Ok(()) => Ok(Box::new(ours)),
                Err(_) => Err(Undelivered::Refused(to).into()),
            },
        }
    }

    async fn bind(&self, port: u16) -> io::Result<Box<dyn Datagram>> {
        self.station.present()?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut sockets = self.station.sockets.lock();
        let port = if port == 0 { self.station.free_port(&sockets)? } else { port };
        if sockets.get(&port).is_some_and(|there| !there.is_closed()) {
            return Err(in_use(port));
        }
        sockets.insert(port, sender);
        let (network, station) = (self.network.clone(), self.station.clone());
        Ok(Box::new(ModelSocket { network, station, port, receiver: receiver.into() }))
    }

    async fn echo(&self, to: Ipv4Addr) -> io::Result<()> {
        self.station.present()?;
        let to = SocketAddrV4::new(to, 0);
        let delivery = self.network.deliver(&self.station, 0, to, Protocol::Icmp)?;
        delivery.unanswerable.map_or(Ok(()), |stop| Err(Undelivered::Dropped { to, stop }.into()))
    }
}

struct ModelListener {
    station: Arc<Station>,
    port: u16,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Accepted>>,
}

#[async_trait]
impl Listener for ModelListener {
    async fn accept(&self) -> io::Result<(BoxStream, SocketAddrV4)> {
        let mut receiver = self.receiver.lock().await;
        tokio::select! {
            biased;
            () = self.station.gone.cancelled() => Err(io::ErrorKind::NotConnected.into()),
            accepted = receiver.recv() => accepted.ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for ModelListener {
    fn drop(&mut self) {
        self.receiver.get_mut().close();
        let mut listeners = self.station.listeners.lock();
        if listeners.get(&self.port).is_some_and(mpsc::Sender::is_closed) {
            listeners.remove(&self.port);
        }
    }
}

struct ModelSocket {
    network: Arc<Shared>,
    station: Arc<Station>,
    port: u16,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Received>>,
}

#[async_trait]
impl Datagram for ModelSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddrV4) -> io::Result<()> {
        self.station.present()?;
        let own = self.station.socket(self.port);
        let answered = self.network.conntrack.lock().answered(&own, to).cloned();
        if let Some(Origin { client: (vpc, address, port), addressed, answerable }) = answered {
            // The way back was decided with the way there. An answer to a closed socket is lost without a word.
            if let Some(client) = self.network.station(&vpc, address).filter(|_| answerable) {
                let _ = client.receive(port, Ok((payload.to_vec(), addressed)));
            }
            return Ok(());
        }
        let sent = self.network.deliver(&self.station, self.port, to, Protocol::Udp).and_then(|delivery| {
            let server = delivery.to.socket(delivery.port);
            let origin = Origin { client: own, addressed: to, answerable: delivery.unanswerable.is_none() };
            let seen = self.network.conntrack.lock().remember(server, delivery.source, origin);
            let received = delivery.to.receive(delivery.port, Ok((payload.to_vec(), seen)));
            match (delivery.unanswerable, received) {
                // A closed port says so by ICMP, which may pass where an answer would not, and the other way round.
                (_, Err(Undelivered::Refused(_))) => Err(self.network.refused(to, &delivery.ways)),
                (Some(stop), _) => Err(Undelivered::Dropped { to, stop }),
                (None, received) => received,
            }
        });
        if let Err(undelivered) = sent {
            self.station.inform(self.port, undelivered);
        }
        Ok(())
    }

    async fn recv_from(&self) -> io::Result<(Vec<u8>, SocketAddrV4)> {
        let mut receiver = self.receiver.lock().await;
        tokio::select! {
            biased;
            () = self.station.gone.cancelled() => Err(io::ErrorKind::NotConnected.into()),
            received = receiver.recv() => received.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Drop for ModelSocket {
    fn drop(&mut self) {
        self.receiver.get_mut().close();
        self.network.conntrack.lock().close(&self.station.socket(self.port));
        let mut sockets = self.station.sockets.lock();
        if sockets.get(&self.port).is_some_and(mpsc::Sender::is_closed) {
            sockets.remove(&self.port);
        }
    }
}
