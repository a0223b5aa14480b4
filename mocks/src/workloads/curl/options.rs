//! Arguments of curl.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::failure::{Failure, code};

/// What curl is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What to fetch, in order.
    pub urls: Vec<String>,
    /// `-s`: neither progress nor errors.
    pub silent: bool,
    /// `-S`: errors in spite of `-s`.
    pub show_error: bool,
    /// `-f`: an HTTP error is a failure.
    pub fail: bool,
    /// `-v`: the headers of both sides, to standard error.
    pub verbose: bool,
    /// `-I`: headers only.
    pub head: bool,
    /// `-i`: headers before the body.
    pub include: bool,
    /// `-o /dev/null`.
    pub discard: bool,
    /// `-X`.
    pub method: Option<String>,
    /// `-A`.
    pub user_agent: Option<String>,
    /// `-H`, name and value.
    pub headers: Vec<(String, String)>,
    /// `-w`.
    pub write_out: Option<String>,
    /// `-m`.
    pub max_time: Option<Duration>,
    /// `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// `--resolve`, host, port and address.
    pub resolve: Vec<(String, u16, Ipv4Addr)>,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// With code 2 for an option that curl does not have, that is not emulated, or that lacks its value.
    pub fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut args = args.iter();
        let mut only_urls = false;
        while let Some(arg) = args.next() {
            if only_urls || !arg.starts_with('-') || arg == "-" {
                options.urls.push(arg.clone());
            } else if arg == "--" {
                only_urls = true;
            } else if let Some(long) = arg.strip_prefix("--") {
                options.long(long, &mut args)?;
            } else {
                options.short(arg, &mut args)?;
            }
        }
        if options.urls.is_empty() {
            return Err(Failure::new(code::FAILED_INIT, "no URL specified!"));
        }
        Ok(options)
    }

    fn long<'a>(&mut self, name: &str, args: &mut impl Iterator<Item = &'a String>) -> Result<(), Failure> {
        let letter = match name {
            "silent" => 's',
            "show-error" => 'S',
            "fail" => 'f',
            "verbose" => 'v',
            "head" => 'I',
            "include" => 'i',
            "output" => 'o',
            "request" => 'X',
            "user-agent" => 'A',
            "header" => 'H',
            "write-out" => 'w',
            "max-time" => 'm',
            "url" => {
                self.urls.push(value(args, "--url")?);
                return Ok(());
            }
            "connect-timeout" => {
                self.connect_timeout = Some(seconds("--connect-timeout", &value(args, "--connect-timeout")?)?);
                return Ok(());
            }
            "resolve" => {
                let given = value(args, "--resolve")?;
                let entry = resolve_entry(&given)
                    .ok_or_else(|| Failure::new(49, format!("Couldn't parse CURLOPT_RESOLVE entry '{given}'!")))?;
                self.resolve.push(entry);
                return Ok(());
            }
            _ => return Err(Failure::new(code::FAILED_INIT, format!("option --{name}: is unknown"))),
        };
        if takes_value(letter) { self.set(letter, value(args, &format!("--{name}"))?) } else { self.flag(letter) }
    }

    fn short<'a>(&mut self, arg: &str, args: &mut impl Iterator<Item = &'a String>) -> Result<(), Failure> {
        for (at, letter) in arg[1..].char_indices() {
            if !takes_value(letter) {
                self.flag(letter)?;
                continue;
            }
            let rest = &arg[1 + at + letter.len_utf8()..];
            let given = if rest.is_empty() { value(args, &format!("-{letter}"))? } else { rest.to_owned() };
            return self.set(letter, given);
        }
        Ok(())
    }

    fn flag(&mut self, letter: char) -> Result<(), Failure> {
        let flag = match letter {
            's' => &mut self.silent,
            'S' => &mut self.show_error,
            'f' => &mut self.fail,
            'v' => &mut self.verbose,
            'I' => &mut self.head,
            'i' => &mut self.include,
            _ => return Err(Failure::new(code::FAILED_INIT, format!("option -{letter}: is unknown"))),
        };
        *flag = true;
        Ok(())
    }

    fn set(&mut self, letter: char, given: String) -> Result<(), Failure> {
        match letter {
            'o' if given == "/dev/null" => self.discard = true,
            'o' if given == "-" => self.discard = false,
            'o' => return Err(Failure::new(code::WRITE_ERROR, format!("{given}: only /dev/null is emulated"))),
            'X' => self.method = Some(given),
            'A' => self.user_agent = Some(given),
            'w' => self.write_out = Some(given),
            'm' => self.max_time = Some(seconds("-m", &given)?),
            _ => {
                if let Some((name, value)) = given.split_once(':') {
                    self.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn takes_value(letter: char) -> bool {
    "oXAHwm".contains(letter)
}

fn value<'a>(args: &mut impl Iterator<Item = &'a String>, option: &str) -> Result<String, Failure> {
    let missing = || Failure::new(code::FAILED_INIT, format!("option {option}: requires parameter"));
    args.next().cloned().ok_or_else(missing)
}

/// A time limit; 0 is none, which is as good as a very long one.
fn seconds(option: &str, given: &str) -> Result<Duration, Failure> {
    let bad = || Failure::new(code::FAILED_INIT, format!("option {option}: expected a proper numerical parameter"));
    let seconds: f64 = given.parse().map_err(|_| bad())?;
    if seconds == 0.0 {
        return Ok(Duration::from_secs(u64::from(u32::MAX)));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

fn resolve_entry(given: &str) -> Option<(String, u16, Ipv4Addr)> {
    let mut parts = given.trim_start_matches('+').splitn(3, ':');
    let (host, port, address) = (parts.next()?, parts.next()?, parts.next()?);
    Some((host.to_owned(), port.parse().ok()?, address.split(',').next()?.parse().ok()?))
}

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `http` or `telnet`.
    pub scheme: String,
    /// Host as written.
    pub host: String,
    /// Port, the scheme's where none is written.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Whether the port is written.
    pub explicit_port: bool,
}

impl Url {
    /// Takes a URL apart; `http` is understood where no scheme is written.
    ///
    /// # Errors
    /// With code 1 for another protocol, 3 for what is no URL.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let malformed = || Failure::new(code::URL_MALFORMAT, "URL using bad/illegal format or missing URL");
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "telnet" => 23,
            _ => {
                let message = format!("Protocol \"{scheme}\" not supported or disabled in libcurl");
                return Err(Failure::new(code::UNSUPPORTED_PROTOCOL, message));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| malformed())?)),
            None => (authority, None),
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(malformed());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let explicit_port = port.is_some_and(|port| port != default);
        Ok(Self { scheme, host: host.to_owned(), port: port.unwrap_or(default), path, explicit_port })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(args: &[&str]) -> Result<Options, Failure> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn short_options_are_joined_and_take_values_in_both_forms() {
        let options =
            parse(&["-sSo", "/dev/null", "-m5", "-H", "A: b", "--connect-timeout", "1.5", "-w%{http_code}", "u"]);
        assert_eq!(
            options,
            Ok(Options {
                urls: vec!["u".to_owned()],
                silent: true,
                show_error: true,
                discard: true,
                max_time: Some(Duration::from_secs(5)),
                connect_timeout: Some(Duration::from_millis(1500)),
                headers: vec![("A".to_owned(), "b".to_owned())],
                write_out: Some("%{http_code}".to_owned()),
                ..Options::default()
            })
        );
    }

    #[rstest]
    #[case(&["--nope", "u"], "option --nope: is unknown")]
    #[case(&["-sq", "u"], "option -q: is unknown")]
    #[case(&["u", "-m"], "option -m: requires parameter")]
    #[case(&["u", "-m", "x"], "option -m: expected a proper numerical parameter")]
    #[case(&[], "no URL specified!")]
    fn what_curl_does_not_take_is_refused(#[case] args: &[&str], #[case] expected: &str) {
        assert_eq!(parse(args).map_err(|failure| failure.message), Err(expected.to_owned()));
    }

    #[rstest]
    #[case("http://a.b:8080/c?d#e", "http", "a.b", 8080, "/c?d")]
    #[case("a.b", "http", "a.b", 80, "/")]
    #[case("http://a?b", "http", "a", 80, "/?b")]
    #[case("telnet://10.0.0.1:2379", "telnet", "10.0.0.1", 2379, "/")]
    fn urls_are_taken_apart(
        #[case] url: &str,
        #[case] scheme: &str,
        #[case] host: &str,
        #[case] port: u16,
        #[case] path: &str,
    ) {
        let parsed = Url::parse(url).map(|it| (it.scheme, it.host, it.port, it.path));
        assert_eq!(parsed, Ok((scheme.to_owned(), host.to_owned(), port, path.to_owned())));
    }

    #[rstest]
    #[case("gopher://a", 1)]
    #[case("http://", 3)]
    #[case("http://a:b", 3)]
    fn other_urls_are_refused(#[case] url: &str, #[case] expected: i32) {
        assert_eq!(Url::parse(url).map_err(|failure| failure.code), Err(expected));
    }
}
