//! `--write-out`.

use super::Outcome;

/// Expands a format. Variables that are not known are left out, as curl does after a complaint.
pub(super) fn expand(format: &str, outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '%' if rest.starts_with('%') => {
                text.push('%');
                rest = &rest[1..];
            }
            '%' if rest.starts_with('{') && rest.contains('}') => {
                let end = rest.find('}').unwrap_or(rest.len() - 1);
                text.push_str(&variable(&rest[1..end], outcome));
                rest = &rest[end + 1..];
            }
            '\\' => {
                let escaped = rest.chars().next();
                match escaped {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some(other) => text.extend(['\\', other]),
                    None => text.push('\\'),
                }
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
            }
            c => text.push(c),
        }
    }
    text
}

fn variable(name: &str, outcome: &Outcome) -> String {
    let times = &outcome.times;
    let remote = outcome.remote.map(|remote| (remote.ip().to_string(), remote.port().to_string()));
    match name {
        "http_code" | "response_code" => format!("{:03}", outcome.status),
        "remote_ip" => remote.map(|it| it.0).unwrap_or_default(),
        "remote_port" => remote.map_or_else(|| "0".to_owned(), |it| it.1),
        "local_ip" => outcome.local.map(|local| local.to_string()).unwrap_or_default(),
        "time_namelookup" => format!("{:.6}", times.resolved.as_secs_f64()),
        "time_connect" => format!("{:.6}", times.connected.as_secs_f64()),
        "time_starttransfer" => format!("{:.6}", times.answered.as_secs_f64()),
        "time_total" => format!("{:.6}", times.total.as_secs_f64()),
        "size_download" => outcome.body.len().to_string(),
        "content_type" => outcome.content_type.clone(),
        "url_effective" => outcome.url.clone(),
        "num_connects" => u8::from(outcome.remote.is_some()).to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("\\n%{http_code} %{remote_ip}", "\n200 10.0.0.9")]
    #[case("%% %{nope}|%{", "% |%{")]
    #[case("a\\", "a\\")]
    #[case("é\\é", "é\\é")]
    fn formats_are_expanded(#[case] format: &str, #[case] expected: &str) {
        let remote = Some(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 9), 80));
        assert_eq!(expand(format, &Outcome { status: 200, remote, ..Outcome::default() }), expected);
    }
}
