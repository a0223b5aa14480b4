//! Which datagrams are answers, and what their addresses were before they were translated.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// Exchanges remembered after the socket that began them was closed, so that a late answer is known for one. The oldest
/// go first.
const CLOSED: usize = 4096;

/// Source ports that a translation may choose from, as `--random-fully` does.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

/// A socket: VPC, address and port.
pub(super) type Socket = (Arc<str>, Ipv4Addr, u16);

/// The socket that was asked, and the source that it saw.
type Key = (Socket, SocketAddrV4);

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The socket that sent the first datagram.
    pub client: Socket,
    /// The address it sent it to: that of a Service, perhaps.
    pub addressed: SocketAddrV4,
    /// Whether answers get through to it.
    pub answerable: bool,
}

#[derive(Debug)]
struct Exchange {
    origin: Origin,
    open: bool,
}

/// The exchanges under way. They live as long as the socket that began them.
#[derive(Debug, Default)]
pub(super) struct Conntrack {
    exchanges: HashMap<Key, Exchange>,
    of_client: HashMap<Socket, Vec<Key>>,
    closed: VecDeque<Key>,
}

impl Conntrack {
    /// Remembers an exchange, and gives the source that the asked socket sees: `source`, or another port of its address
    /// when answers to that could not be told from those to another exchange.
    pub(super) fn remember(&mut self, server: Socket, source: SocketAddrV4, origin: Origin) -> SocketAddrV4 {
        let key = self.free(server, source, &origin);
        let seen = key.1;
        let client = origin.client.clone();
        let before = self.exchanges.insert(key.clone(), Exchange { origin, open: true });
        if !before.is_some_and(|before| before.open) {
            self.of_client.entry(client).or_default().push(key);
        }
        seen
    }

    fn free(&self, server: Socket, source: SocketAddrV4, origin: &Origin) -> Key {
        let mine = |exchange: &Exchange| {
            exchange.origin.client == origin.client && exchange.origin.addressed == origin.addressed
        };
        let mut key = (server, source);
        for port in std::iter::once(source.port()).chain(source.port().saturating_add(1)..=*PORTS.end()).chain(PORTS) {
            key.1.set_port(port);
            if self.exchanges.get(&key).is_none_or(mine) {
                return key;
            }
        }
        // Every port is taken: the oldest exchange of this port is given up, as a full table would.
        key.1 = source;
        key
    }

    /// Who is answered by a datagram from `server` to `to`; `None` when it is no answer.
    pub(super) fn answered(&self, server: &Socket, to: SocketAddrV4) -> Option<&Origin> {
        self.exchanges.get(&(server.clone(), to)).map(|exchange| &exchange.origin)
    }

    /// Forgets, in time, what a socket that was closed began.
    pub(super) fn close(&mut self, client: &Socket) {
        for key in self.of_client.remove(client).unwrap_or_default() {
            if let Some(exchange) = self.exchanges.get_mut(&key).filter(|exchange| exchange.origin.client == *client) {
                exchange.open = false;
                self.closed.push_back(key);
            }
        }
        while self.closed.len() > CLOSED {
            if let Some(oldest) = self.closed.pop_front()
                && self.exchanges.get(&oldest).is_some_and(|exchange| !exchange.open)
            {
                self.exchanges.remove(&oldest);
            }
        }
    }

    /// How many exchanges were begun by sockets that are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.of_client.values().map(Vec::len).sum()
    }

    /// Forgets at once what was asked of a host that is no longer there: its address may get another host.
    pub(super) fn forget(&mut self, vpc: &str, address: Ipv4Addr) {
        self.exchanges.retain(|((server_vpc, server, _), _), _| &**server_vpc != vpc || *server != address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(last: u8, port: u16) -> Socket {
        ("vpc-1".into(), [10, 1, 0, last].into(), port)
    }

    fn address(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([10, 1, 0, last].into(), port)
    }

    fn origin(last: u8, port: u16) -> Origin {
        Origin { client: socket(last, port), addressed: address(99, 53), answerable: true }
    }

    #[test]
    fn sources_that_look_alike_are_told_apart_by_port() {
        let mut conntrack = Conntrack::default();
        let node = address(9, 40_000);
        let server = socket(50, 53);
        let one = conntrack.remember(server.clone(), node, origin(1, 40_000));
        let two = conntrack.remember(server.clone(), node, origin(2, 40_000));
        assert_eq!((one, two), (node, address(9, 40_001)));
        assert_eq!(conntrack.remember(server.clone(), node, origin(1, 40_000)), one, "a flow keeps its port");
        assert_eq!(conntrack.remember(server.clone(), node, origin(2, 40_000)), two, "a flow keeps its port");
        assert_eq!(conntrack.answered(&server, one), Some(&origin(1, 40_000)));
        assert_eq!(conntrack.answered(&server, two), Some(&origin(2, 40_000)));
        assert_eq!(conntrack.answered(&socket(51, 53), one), None);
        let last = address(9, u16::MAX);
        conntrack.remember(server.clone(), last, origin(1, u16::MAX));
        assert_eq!(conntrack.remember(server, last, origin(2, u16::MAX)), address(9, 1024));
    }

    #[test]
    fn what_is_closed_is_forgotten_in_time() {
        let mut conntrack = Conntrack::default();
        let server = socket(50, 53);
        let ports = 1024..1024 + 3 * u16::try_from(CLOSED).unwrap_or(u16::MAX);
        for port in ports.clone() {
            conntrack.remember(server.clone(), address(1, port), origin(1, port));
            conntrack.close(&socket(1, port));
        }
        assert_eq!(conntrack.exchanges.len(), CLOSED);
        assert!(conntrack.of_client.is_empty());
        assert_eq!(conntrack.answered(&server, address(1, ports.start)), None);
        assert!(conntrack.answered(&server, address(1, ports.end - 1)).is_some());
        conntrack.forget("vpc-1", [10, 1, 0, 50].into());
        assert!(conntrack.exchanges.is_empty());
    }

    #[test]
    fn a_port_used_again_is_not_forgotten_with_its_former_use() {
        let mut conntrack = Conntrack::default();
        let server = socket(50, 53);
        for _ in 0..2 {
            conntrack.remember(server.clone(), address(1, 40_000), origin(1, 40_000));
            conntrack.close(&socket(1, 40_000));
        }
        conntrack.remember(server.clone(), address(1, 40_000), origin(1, 40_000));
        for port in 1024..1024 + 2 * u16::try_from(CLOSED).unwrap_or(u16::MAX) {
            conntrack.remember(server.clone(), address(2, port), origin(2, port));
            conntrack.close(&socket(2, port));
        }
        assert!(conntrack.answered(&server, address(1, 40_000)).is_some());
    }
}
