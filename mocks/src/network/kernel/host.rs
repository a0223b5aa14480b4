//! Hosts of the kernel's network and their sockets, which are real ones, opened in the host's namespace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::echo;
use super::namespace::Namespace;
use super::process::Place;
use crate::network::breaking::End;
use crate::network::{BoxStream, Datagram, Host, HostSpec, Listener, NetworkNamespace};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// The greatest datagram.
const DATAGRAM: usize = 64 * 1024;

/// How long a connection may take. The network has no loss and no delay of its own: what is not answered within this was
/// dropped. Linux would repeat its first packet for two minutes.
const PATIENCE: Duration = Duration::from_secs(1);

/// A host's end of the network.
pub(super) struct KernelHost {
    network: Arc<Shared>,
    spec: HostSpec,
    namespace: Namespace,
    gone: CancellationToken,
}

impl KernelHost {
    pub(super) fn new(network: Arc<Shared>, spec: HostSpec, namespace: Namespace, gone: CancellationToken) -> Self {
        Self { network, spec, namespace, gone }
    }

    /// Opens something in the host's namespace, when the kernel knows all that AWS does by now.
    async fn open<T: Send + 'static>(&self, open: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        if self.gone.is_cancelled() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.network.sync().await?;
        self.network.crew.within(&self.namespace, open).await
    }
}

/// Whether an error of a socket may be about a datagram that was sent before.
fn is_news(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused || error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
}

/// Only IPv4 sockets are opened.
fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => Err(io::Error::other(format!("{address} on an IPv4 socket"))),
    }
}

#[async_trait]
impl Host for KernelHost {
    fn address(&self) -> Ipv4Addr {
        self.spec.address
    }

    fn namespace(&self) -> Option<NetworkNamespace> {
        Some(self.namespace.place())
    }

    fn source_for(&self, to: Ipv4Addr) -> Ipv4Addr {
        let fabric = self.network.source.fabric();
        let services = self.network.services.lock().get(&self.spec.vpc).cloned();
        self.spec.source_for(&fabric, services.as_deref(), to)
    }

    async fn listen(&self, port: u16) -> io::Result<Box<dyn Listener>> {
        let socket = self
            .open(move || {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
                Ok(socket)
            })
            .await?;
        Ok(Box::new(KernelListener { listener: socket.listen(BACKLOG)?, gone: self.gone.clone() }))
    }

    async fn connect(&self, to: SocketAddrV4) -> io::Result<BoxStream> {
        let socket = self.open(TcpSocket::new_v4).await?;
        let connected = tokio::select! {
            () = self.gone.cancelled() => return Err(io::ErrorKind::NotConnected.into()),
            connected = tokio::time::timeout(PATIENCE, socket.connect(to.into())) => connected,
        };
        match connected {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                Ok(Box::new(End::new(stream, [&self.gone, &self.gone])))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{to} does not answer"))),
        }
    }

    async fn bind(&self, port: u16) -> io::Result<Box<dyn Datagram>> {
        let socket = self
            .open(move || {
                let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
                socket.set_nonblocking(true)?;
                // A closed port is to be told to the socket that sent there.
                setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
                Ok(socket)
            })
            .await?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Box::new(KernelSocket { network: Arc::clone(&self.network), socket, gone: self.gone.clone() }))
    }

    async fn echo(&self, to: Ipv4Addr) -> io::Result<()> {
        let socket = UdpSocket::from_std(self.open(echo::socket).await?)?;
        tokio::select! {
            () = self.gone.cancelled() => Err(io::ErrorKind::NotConnected.into()),
            echoed = tokio::time::timeout(PATIENCE, echo::exchange(&socket, to)) => {
                let late = || io::Error::new(io::ErrorKind::TimedOut, format!("{to} does not answer"));
                echoed.unwrap_or_else(|_| Err(late()))
            }
        }
    }

    fn place(&self) -> Option<Place> {
        Some(Place::new(Arc::clone(&self.network), self.namespace.clone()))
    }
}

struct KernelListener {
    listener: TcpListener,
    gone: CancellationToken,
}

#[async_trait]
impl Listener for KernelListener {
    async fn accept(&self) -> io::Result<(BoxStream, SocketAddrV4)> {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(io::ErrorKind::NotConnected.into()),
            accepted = self.listener.accept() => {
                let (stream, from) = accepted?;
                stream.set_nodelay(true)?;
                Ok((Box::new(End::new(stream, [&self.gone, &self.gone])), v4(from)?))
            }
        }
    }
}

struct KernelSocket {
    network: Arc<Shared>,
    socket: UdpSocket,
    gone: CancellationToken,
}

#[async_trait]
impl Datagram for KernelSocket {
    async fn send_to(&self, payload: &[u8], to: SocketAddrV4) -> io::Result<()> {
        if self.gone.is_cancelled() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.network.sync().await?;
        let send = || self.socket.send_to(payload, SocketAddr::V4(to));
        let sent = match send().await {
            // News about an earlier datagram, that it was refused or is too long: they are for whoever receives, and this one
            // has not been sent yet.
            Err(error) if is_news(&error) => send().await,
            sent => sent,
        };
        match sent {
            // kube-proxy refused it on the sender's own node. That it did is told by ICMP, to whoever receives.
            Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => Ok(()),
            sent => sent.map(drop),
        }
    }

    async fn recv_from(&self) -> io::Result<(Vec<u8>, SocketAddrV4)> {
        let mut buffer = vec![0; DATAGRAM];
        let (length, from) = tokio::select! {
            biased;
            () = self.gone.cancelled() => return Err(io::ErrorKind::NotConnected.into()),
            received = self.socket.recv_from(&mut buffer) => received?,
        };
        buffer.truncate(length);
        Ok((buffer, v4(from)?))
    }
}
