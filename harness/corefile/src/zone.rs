//! Keys of server blocks: zones with a port.

use std::fmt;
use std::net::IpAddr;

/// The longest zone that CoreDNS takes, in bytes.
const LONGEST: usize = 255;
/// The longest label of a domain name, in bytes (RFC 1035, 2.3.4).
const LABEL: usize = 63;

/// A key of a server block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZoneKey {
    /// The zone in lower case without a dot at its end; `.` for the root.
    pub zone: String,
    /// The port; the scheme's when none is written.
    pub port: u16,
    /// What it is served over.
    pub scheme: Scheme,
}

/// What a zone is served over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// DNS over UDP and TCP.
    #[default]
    Dns,
    /// DNS over TLS.
    Tls,
    /// DNS over QUIC.
    Quic,
    /// DNS over gRPC.
    Grpc,
    /// DNS over HTTPS.
    Https,
    /// DNS over HTTP/3.
    Https3,
}

impl Scheme {
    const ALL: [Self; 6] = [Self::Tls, Self::Dns, Self::Quic, Self::Grpc, Self::Https3, Self::Https];

    /// As it is written before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
        }
    }

    /// The port where none is written.
    pub fn port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Tls | Self::Quic => 853,
            Self::Grpc | Self::Https | Self::Https3 => 443,
        }
    }
}

impl ZoneKey {
    /// The zone on DNS's own port.
    pub fn new(zone: &str) -> Self {
        Self { zone: normal(zone), port: Scheme::Dns.port(), scheme: Scheme::Dns }
    }

    /// Reads a key: `example.org`, `.:53`, `tls://example.org:1853`, and a CIDR block, which stands for its reverse zones.
    ///
    /// # Errors
    /// With CoreDNS's message for what is no zone.
    pub fn parse_all(key: &str) -> Result<Vec<Self>, String> {
        let mut address = key;
        let mut scheme = Scheme::Dns;
        for candidate in Scheme::ALL {
            if let Some(rest) = key.strip_prefix(candidate.name()).and_then(|rest| rest.strip_prefix("://")) {
                (address, scheme) = (rest, candidate);
                break;
            }
        }
        let mut port = scheme.port();
        if let Some((host, number)) = address.rsplit_once(':') {
            if number.is_empty() {
                return Err(format!("expecting data after last colon: \"{address}\""));
            }
            if let Ok(number) = number.parse::<i64>() {
                port = u16::try_from(number).map_err(|_| format!("address {number}: invalid port"))?;
                address = host;
            }
        }
        if address.len() > LONGEST {
            return Err(format!("specified zone is too long: {} > {LONGEST}", address.len()));
        }
        let zones = match reverse_zones(address) {
            Some(zones) => zones,
            None if is_domain_name(address) => vec![normal(address)],
            None => return Err(format!("zone is not a valid domain name: {address}")),
        };
        Ok(zones.into_iter().map(|zone| Self { zone, port, scheme }).collect())
    }

    /// Whether a name belongs to the zone, and with how many labels: the longest match serves it.
    pub fn matches(&self, name: &str) -> Option<usize> {
        if self.zone == "." {
            return Some(0);
        }
        let name = normal(name);
        let below = name.strip_suffix(&self.zone)?;
        (below.is_empty() || below.ends_with('.')).then(|| self.zone.split('.').count())
    }

    /// As CoreDNS writes it in errors.
    pub(crate) fn full(&self) -> String {
        let dot = if self.zone == "." { "" } else { "." };
        format!("{}://{}{dot}:{}", self.scheme.name(), self.zone, self.port)
    }
}

impl fmt::Display for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme != Scheme::Dns {
            write!(f, "{}://", self.scheme.name())?;
        }
        write!(f, "{}:{}", self.zone, self.port)
    }
}

/// A zone in lower case without a dot at its end.
pub(crate) fn normal(zone: &str) -> String {
    let zone = zone.to_lowercase();
    match zone.strip_suffix('.') {
        Some("") => ".".to_owned(),
        Some(stripped) => stripped.to_owned(),
        None if zone.is_empty() => ".".to_owned(),
        None => zone,
    }
}

/// Whether labels have a length that a name can have. Any character will do, as in DNS itself.
pub(crate) fn is_domain_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.is_empty() || name.split('.').all(|label| !label.is_empty() && label.len() <= LABEL)
}

/// The reverse zones of a CIDR block, which end at whole octets of IPv4 addresses and whole digits of IPv6 ones. `None`
/// for what is no CIDR block.
fn reverse_zones(text: &str) -> Option<Vec<String>> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let (bits, step, value) = match address.parse().ok()? {
        IpAddr::V4(address) => (32, 8, u128::from(u32::from(address))),
        IpAddr::V6(address) => (128, 4, u128::from(address)),
    };
    if length > bits {
        return None;
    }
    let whole = length.div_ceil(step) * step;
    let shift = bits - whole;
    // The network address, shifted so that a step counts zones.
    let first = value.checked_shr(shift).unwrap_or(0) >> (whole - length) << (whole - length);
    let zones = (0..1_u128 << (whole - length)).map(|n| {
        let prefix = first + n;
        let digits = (0..whole / step).map(|digit| (prefix >> (digit * step)) & ((1 << step) - 1));
        let (root, labels): (_, Vec<String>) = if bits == 32 {
            ("in-addr.arpa", digits.map(|digit| digit.to_string()).collect())
        } else {
            ("ip6.arpa", digits.map(|digit| format!("{digit:x}")).collect())
        };
        labels.into_iter().chain([root.to_owned()]).collect::<Vec<_>>().join(".")
    });
    Some(zones.collect())
}
