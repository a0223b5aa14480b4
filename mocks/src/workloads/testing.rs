//! A network for tests of programs, also of those in other crates: hosts by address, everything reachable but what is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Container, ExecIo, Log, Program, ResolvConf};
use crate::clock::Clock;
use crate::network::{BoxStream, Datagram, Host, Listener};

type Accepted = (BoxStream, SocketAddrV4);
type Received = io::Result<(Vec<u8>, SocketAddrV4)>;

/// The network.
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddrV4, mpsc::UnboundedSender<Accepted>>,
    sockets: BTreeMap<SocketAddrV4, mpsc::UnboundedSender<Received>>,
    cut: BTreeSet<Ipv4Addr>,
    connections: usize,
    ports: u16,
}

impl Net {
    /// A host.
    pub fn host(&self, address: [u8; 4]) -> Arc<dyn Host> {
        Arc::new(TestHost { net: self.clone(), address: address.into() })
    }

    /// Drops packets to an address, or carries them again.
    pub fn cut(&self, address: [u8; 4], cut: bool) {
        let mut state = self.0.lock();
        if cut {
            state.cut.insert(address.into());
        } else {
            state.cut.remove(&address.into());
        }
    }

    /// How many TCP connections were opened so far.
    pub fn connections(&self) -> usize {
        self.0.lock().connections
    }

    fn port(&self) -> u16 {
        let mut state = self.0.lock();
        state.ports = state.ports.wrapping_add(1);
        40_000 + state.ports
    }
}

struct TestHost {
    net: Net,
    address: Ipv4Addr,
}

#[async_trait]
impl Host for TestHost {
    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn source_for(&self, _: Ipv4Addr) -> Ipv4Addr {
        self.address
    }

    async fn listen(&self, port: u16) -> io::Result<Box<dyn Listener>> {
        let address = SocketAddrV4::new(self.address, port);
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.net.0.lock();
        if state.listeners.get(&address).is_some_and(|open| !open.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listeners.insert(address, sender);
        Ok(Box::new(TestListener(tokio::sync::Mutex::new(receiver))))
    }

    async fn connect(&self, to: SocketAddrV4) -> io::Result<BoxStream> {
        let source = SocketAddrV4::new(self.address, self.net.port());
        let mut state = self.net.0.lock();
        if state.cut.contains(to.ip()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (near, far) = tokio::io::duplex(65_536);
        let listener = state.listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send((Box::new(far), source)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        state.connections += 1;
        Ok(Box::new(near))
    }

    async fn bind(&self, port: u16) -> io::Result<Box<dyn Datagram>> {
        let port = if port == 0 { self.net.port() } else { port };
        let address = SocketAddrV4::new(self.address, port);
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.net.0.lock();
        if state.sockets.get(&address).is_some_and(|open| !open.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.sockets.insert(address, sender);
        Ok(Box::new(TestSocket { net: self.net.clone(), address, receiver: tokio::sync::Mutex::new(receiver) }))
    }

    async fn echo(&self, to: Ipv4Addr) -> io::Result<()> {
        if self.net.0.lock().cut.contains(&to) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

struct TestListener(tokio::sync::Mutex<mpsc::UnboundedReceiver<Accepted>>);

#[async_trait]
impl Listener for TestListener {
    async fn accept(&self) -> io::Result<Accepted> {
        self.0.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

struct TestSocket {
    net: Net,
    address: SocketAddrV4,
    receiver: tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>,
}

#[async_trait]
impl Datagram for TestSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddrV4) -> io::Result<()> {
        let state = self.net.0.lock();
        let own = state.sockets.get(&self.address);
        let outcome = match state.sockets.get(&to) {
            _ if state.cut.contains(to.ip()) => Err(io::ErrorKind::TimedOut),
            Some(socket) => {
                socket.send(Ok((payload.to_vec(), self.address))).map_err(|_| io::ErrorKind::ConnectionRefused)
            }
            None => Err(io::ErrorKind::ConnectionRefused),
        };
        if let (Err(kind), Some(own)) = (outcome, own) {
            let _ = own.send(Err(kind.into()));
        }
        Ok(())
    }

    async fn recv_from(&self) -> Received {
        self.receiver.lock().await.recv().await.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }
}

/// A container under test, with what steers it from outside.
pub struct Rig {
    /// The container.
    pub container: Container,
    /// Its files.
    pub files: watch::Sender<Arc<BTreeMap<String, Bytes>>>,
    /// Whether it is ready.
    pub ready: watch::Receiver<bool>,
}

impl Rig {
    /// A container on a host, on a clock that stands still, with files by path.
    pub fn new(host: Arc<dyn Host>, files: &[(&str, &str)]) -> Self {
        let files = watch::Sender::new(mounted(files));
        let ready = watch::Sender::new(false);
        let container = Container {
            cluster: "tidb-1".to_owned(),
            namespace: "ns-1".to_owned(),
            pod: "pod-1".to_owned(),
            hostname: "pod-1".to_owned(),
            image: "image".to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            host,
            resolv_conf: ResolvConf::default(),
            files: files.subscribe(),
            api: None,
            log: Log::default(),
            ready: ready.clone(),
            clock: Clock::manual(),
            stop: CancellationToken::new(),
        };
        Self { container, files, ready: ready.subscribe() }
    }

    /// Replaces the files.
    pub fn mount(&self, files: &[(&str, &str)]) {
        self.files.send_replace(mounted(files));
    }

    /// The lines of the log so far.
    pub fn log(&self) -> Vec<String> {
        self.container.log.subscribe().borrow().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Waits until the log holds a line with a text, and returns the line. Panics after twenty seconds.
    pub async fn logged(&self, text: &str) -> String {
        let mut lines = self.container.log.subscribe();
        let found = tokio::time::timeout(
            std::time::Duration::from_secs(20),
            lines.wait_for(|lines| lines.iter().any(|(_, line)| line.contains(text))),
        )
        .await;
        let lines = self.log();
        assert!(found.is_ok(), "no line with {text:?} in {lines:#?}");
        lines.into_iter().find(|line| line.contains(text)).unwrap_or_default()
    }

    /// Starts the program's main process.
    pub fn run(&self, program: impl Program) -> tokio::task::JoinHandle<i32> {
        let container = self.container.clone();
        tokio::spawn(async move { program.run(container).await })
    }

    /// Runs a command, and returns its code, output and error output.
    pub async fn exec(&self, program: impl Program, command: &[&str]) -> (i32, String, String) {
        let (stdin, input) = mpsc::channel(1);
        let (stdout, mut out) = mpsc::channel::<Bytes>(64);
        let (stderr, mut err) = mpsc::channel::<Bytes>(64);
        drop(stdin);
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let io = ExecIo { stdin: input, stdout, stderr };
        let code = program.exec(self.container.clone(), command, io).await;
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        while let Some(bytes) = out.recv().await {
            output.extend_from_slice(&bytes);
        }
        while let Some(bytes) = err.recv().await {
            errors.extend_from_slice(&bytes);
        }
        (code, String::from_utf8_lossy(&output).into_owned(), String::from_utf8_lossy(&errors).into_owned())
    }
}

fn mounted(files: &[(&str, &str)]) -> Arc<BTreeMap<String, Bytes>> {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), Bytes::copy_from_slice(text.as_bytes())));
    Arc::new(files.collect())
}
