//! Which datagrams are answers, and what their addresses were before they were translated.

use std::net::{Ipv4Addr, SocketAddrV4};

use indexmap::IndexMap;

/// More exchanges than that are not remembered; the oldest go first.
const CAPACITY: usize = 8192;

/// A socket: VPC, address and port.
pub(super) type Socket = (String, Ipv4Addr, u16);

/// Who asked: the socket that sent the first datagram, and the address it sent it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub client: Socket,
    pub addressed: SocketAddrV4,
}

/// The exchanges under way, by the socket that was asked and the source it saw.
#[derive(Debug, Default)]
pub(super) struct Conntrack(IndexMap<(Socket, SocketAddrV4), Origin>);

impl Conntrack {
    pub(super) fn remember(&mut self, server: Socket, seen: SocketAddrV4, origin: Origin) {
        let key = (server, seen);
        self.0.shift_remove(&key);
        if self.0.len() >= CAPACITY {
            self.0.shift_remove_index(0);
        }
        self.0.insert(key, origin);
    }

    /// Who is answered by a datagram from `server` to `to`; `None` when it is no answer.
    pub(super) fn answered(&self, server: &Socket, to: SocketAddrV4) -> Option<&Origin> {
        self.0.get(&(server.clone(), to))
    }
}
