//! The header that libpcap writes before each packet of a capture on all interfaces (`LINKTYPE_LINUX_SLL2`, 276), and the
//! packets themselves, from a packet socket (packet(7)).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt,
    socket,
};
use nix::sys::time::TimeSpec;

/// The greatest packet, and what libpcap takes for it (`MAXIMUM_SNAPLEN`).
pub(super) const LARGEST: usize = 262_144;
/// What the kernel keeps for a capture that does not keep up, in bytes.
const BACKLOG: usize = 16 << 20;
/// Bytes of the header.
const HEADER: usize = 20;

/// A packet, with its header.
pub(super) struct Packet<'a> {
    /// When, since 1970.
    pub at: Duration,
    /// Header and packet.
    pub bytes: &'a [u8],
}

/// A socket that gets every packet of every interface of the network that the thread is in.
pub(super) struct PacketSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// How many packets the kernel has dropped, as told with the last one.
    pub dropped: u32,
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl PacketSocket {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        setsockopt(&socket, RxqOvfl, &1)?;
        // Only the first user namespace may: elsewhere it stays at the kernel's default.
        if let Err(error) = setsockopt(&socket, RcvBufForce, &BACKLOG) {
            tracing::debug!(%error, "the kernel keeps fewer packets");
        }
        Ok(Self { socket, buffer: vec![0; HEADER + LARGEST], dropped: 0 })
    }

    /// The next packet; none when none waits.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        let (from, at, end) = loop {
            let (header, body) = self.buffer.split_at_mut(HEADER);
            let mut control = cmsg_space!(TimeSpec, u32);
            let mut parts = [IoSliceMut::new(body)];
            let descriptor = self.socket.as_raw_fd();
            let message = match recvmsg::<LinkAddr>(descriptor, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)
            {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                // An interface has gone down: the others go on.
                Err(Errno::EINTR | Errno::ENETDOWN) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut at = None;
            for said in message.cmsgs()? {
                match said {
                    ControlMessageOwned::ScmTimestampns(time) => at = Some(Duration::from(time)),
                    ControlMessageOwned::RxqOvfl(dropped) => self.dropped = dropped,
                    _ => {}
                }
            }
            let from = message.address.ok_or_else(|| io::Error::other("a packet from no interface"))?;
            // What is sent on the loopback interface comes in there as well, and is not to be seen twice.
            if from.hatype() == libc::ARPHRD_LOOPBACK && from.pkttype() == libc::PACKET_OUTGOING {
                continue;
            }
            header.copy_from_slice(&head(&from));
            break (from, at, HEADER + message.bytes);
        };
        let at =
            at.ok_or_else(|| io::Error::other(format!("a packet of interface {} without time", from.ifindex())))?;
        Ok(Some(Packet { at, bytes: &self.buffer[..end] }))
    }
}

/// The header (libpcap, "LINKTYPE_LINUX_SLL2"): protocol, two zero bytes, interface, kind of interface, kind of packet,
/// length of the sender's hardware address, and that address.
fn head(from: &LinkAddr) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    // The kernel has it in network order already.
    head[0..2].copy_from_slice(&from.protocol().to_ne_bytes());
    head[4..8].copy_from_slice(&u32::try_from(from.ifindex()).unwrap_or_default().to_be_bytes());
    head[8..10].copy_from_slice(&from.hatype().to_be_bytes());
    head[10] = from.pkttype();
    head[11] = u8::try_from(from.halen()).unwrap_or_default();
    head[12..18].copy_from_slice(&from.addr().unwrap_or_default());
    head
}
