//! Keys of server blocks: zones with a port.

use std::fmt;

/// A key of a server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneKey {
    /// The zone in lower case without a dot at its end; `.` for the root.
    pub zone: String,
    /// The port; 53 when none is written.
    pub port: u16,
}

impl ZoneKey {
    /// Reads a key: `example.org`, `.:53`, `dns://example.org:1053`. `None` when its port is no number, or its scheme is
    /// not DNS's.
    pub fn parse(key: &str) -> Option<Self> {
        let key = match key.split_once("://") {
            None => key,
            Some(("dns", rest)) => rest,
            Some(_) => return None,
        };
        let (zone, port) = match key.rsplit_once(':') {
            Some((zone, port)) => (zone, port.parse().ok()?),
            None => (key, 53),
        };
        if zone.chars().any(|c| c.is_whitespace() || "{}\"".contains(c)) {
            return None;
        }
        Some(Self { zone: normal(zone), port })
    }

    /// Whether a name belongs to the zone, and with how many labels: the longest match serves it.
    pub fn matches(&self, name: &str) -> Option<usize> {
        let name = normal(name);
        if self.zone == "." {
            return Some(0);
        }
        let below = name.strip_suffix(&self.zone)?;
        (below.is_empty() || below.ends_with('.')).then(|| self.zone.split('.').count())
    }
}

impl fmt::Display for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.zone, self.port)
    }
}

/// A zone in lower case without a dot at its end.
pub(crate) fn normal(zone: &str) -> String {
    let zone = zone.to_ascii_lowercase();
    match zone.strip_suffix('.') {
        Some("") => ".".to_owned(),
        Some(stripped) => stripped.to_owned(),
        None if zone.is_empty() => ".".to_owned(),
        None => zone,
    }
}
