//! DNS on the wire: messages over UDP and TCP through a [`Host`](crate::network::Host), and a server that hands them to
//! a [`Responder`].

mod client;
mod server;
mod wire;

pub use client::{exchange_tcp, exchange_udp};
pub use server::{Request, Responder, Server};
pub use wire::{MAX_UDP, encode_udp, read_framed, reply_to, write_framed};

use hickory_proto::rr::Name;

/// A name as zones are compared: ASCII, lower case, without the dot at its end; `.` for the root.
pub fn lower(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.strip_suffix('.') {
        Some("") | None if text.is_empty() || text == "." => ".".to_owned(),
        Some(stripped) => stripped.to_owned(),
        None => text,
    }
}

/// Whether a name, as [`lower`] writes it, is a zone or lies below it.
pub fn within(name: &str, zone: &str) -> bool {
    if zone == "." {
        return true;
    }
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("a.b.c", "b.c", true)]
    #[case("b.c", "b.c", true)]
    #[case("ab.c", "b.c", false)]
    #[case("a", ".", true)]
    #[case(".", "a", false)]
    fn a_name_is_within_a_zone_by_whole_labels(#[case] name: &str, #[case] zone: &str, #[case] expected: bool) {
        assert_eq!(within(name, zone), expected);
    }

    #[rstest::rstest]
    #[case(".", ".")]
    #[case("A.b.", "a.b")]
    #[case("A.b", "a.b")]
    fn names_are_compared_in_lower_case(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(Name::from_ascii(name).ok().map(|name| lower(&name)).as_deref(), Some(expected));
    }
}
