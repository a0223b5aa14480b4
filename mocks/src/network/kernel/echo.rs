//! Pings, by Linux's own sockets for them: the kernel numbers requests and finds the replies to them.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket as open, sockopt};

/// An echo request and its reply (RFC 792): type, code, checksum, identifier, sequence number. The kernel fills in the
/// checksum and the identifier.
const REQUEST: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 1];
const REPLY: u8 = 0;

/// Opens a socket for pings, in the namespace that the thread is in.
pub(super) fn socket() -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = open(AddressFamily::Inet, SockType::Datagram, flags, SockProtocol::Icmp)?;
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    // Not one of UDP; it sends and receives like one.
    Ok(UdpSocket::from(socket))
}

/// Sends a request and waits for its reply.
pub(super) async fn exchange(socket: &tokio::net::UdpSocket, to: Ipv4Addr) -> io::Result<()> {
    socket.connect((to, 0)).await?;
    socket.send(&REQUEST).await?;
    let mut reply = [0; 64];
    loop {
        let length = socket.recv(&mut reply).await?;
        if reply.get(..length).and_then(<[u8]>::first) == Some(&REPLY) {
            return Ok(());
        }
    }
}
