//! curl 7.74.0, as far as checks of a network use it: one URL, `http` or `telnet`, with the options below, its exit codes
//! and its messages.
//!
//! Source: curl(1). Options that are not known end with code 2, as curl's own do.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;

use super::{Container, resolver};

/// What curl did: its exit code and what it wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

#[derive(Debug, Default)]
struct Options {
    url: String,
    silent: bool,
    show_error: bool,
    head: bool,
    discard: bool,
    agent: Option<String>,
    headers: Vec<(String, String)>,
    write_out: Option<String>,
    connect_timeout: Option<Duration>,
    max_time: Option<Duration>,
}

/// What a transfer came to, for `-w`.
#[derive(Debug, Default)]
struct Seen {
    code: u16,
    remote: Option<SocketAddrV4>,
    local: Option<Ipv4Addr>,
    downloaded: usize,
}

struct Failed {
    code: i32,
    message: String,
}

fn failed(code: i32, message: impl Into<String>) -> Failed {
    Failed { code, message: message.into() }
}

/// Runs curl in a container.
pub async fn curl(container: &Container, args: &[String]) -> Output {
    let options = match parse(args) {
        Ok(options) => options,
        Err(failed) => {
            let stderr = format!("curl: {}\n", failed.message);
            return Output { code: failed.code, stdout: Vec::new(), stderr };
        }
    };
    let began = Instant::now();
    let mut output = Output::default();
    let mut seen = Seen::default();
    // Without -m curl waits for ever; a network that lost a packet without saying so would hang the command.
    let limit = options.max_time.unwrap_or(Duration::from_secs(300));
    let result = match tokio::time::timeout(limit, transfer(container, &options, &mut output.stdout, &mut seen)).await {
        Ok(result) => result,
        Err(_) => Err(failed(
            28,
            format!("Operation timed out after {} milliseconds with 0 bytes received", limit.as_millis()),
        )),
    };
    if let Some(format) = &options.write_out {
        output.stdout.extend_from_slice(expand(format, &seen, began.elapsed()).as_bytes());
    }
    if let Err(failed) = result {
        output.code = failed.code;
        if !options.silent || options.show_error {
            output.stderr = format!("curl: ({}) {}\n", failed.code, failed.message);
        }
    }
    output
}

fn parse(args: &[String]) -> Result<Options, Failed> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().ok_or_else(|| failed(2, format!("option {arg}: requires parameter")));
        let seconds = |text: String| {
            text.parse::<f64>()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or_else(|| failed(2, format!("option {arg}: expected a proper numerical parameter")))
        };
        match arg.as_str() {
            "-s" | "--silent" => options.silent = true,
            "-S" | "--show-error" => options.show_error = true,
            "-sS" | "-Ss" => (options.silent, options.show_error) = (true, true),
            "-I" | "--head" => options.head = true,
            "-A" | "--user-agent" => options.agent = Some(value()?),
            "-H" | "--header" => {
                let header = value()?;
                let (name, value) = header.split_once(':').unwrap_or((&header, ""));
                options.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            "-w" | "--write-out" => options.write_out = Some(value()?),
            "-o" | "--output" => {
                // Only /dev/null: there is no file system to write to.
                let file = value()?;
                if file != "/dev/null" {
                    return Err(failed(23, format!("Failed to open the file {file}: Read-only file system")));
                }
                options.discard = true;
            }
            "--connect-timeout" => options.connect_timeout = Some(seconds(value()?)?),
            "-m" | "--max-time" => options.max_time = Some(seconds(value()?)?),
            "-4" | "--ipv4" | "-f" | "--fail" => {}
            url if !url.starts_with('-') && options.url.is_empty() => options.url = url.to_owned(),
            other => return Err(failed(2, format!("option {other}: is unknown"))),
        }
    }
    if options.url.is_empty() {
        return Err(failed(2, "no URL specified!"));
    }
    Ok(options)
}

async fn transfer(
    container: &Container,
    options: &Options,
    stdout: &mut Vec<u8>,
    seen: &mut Seen,
) -> Result<(), Failed> {
    let (scheme, rest) = options.url.split_once("://").unwrap_or(("http", &options.url));
    if !matches!(scheme, "http" | "telnet") {
        return Err(failed(1, format!("Protocol \"{scheme}\" not supported or disabled in libcurl")));
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().map_err(|_| failed(3, "Port number ended with bad character"))?),
        None => (authority, if scheme == "http" { 80 } else { 23 }),
    };
    let addresses = resolver::resolve(&*container.host, &container.resolv_conf, name)
        .await
        .map_err(|_| failed(6, format!("Could not resolve host: {name}")))?;
    let stream = connect(container, options, name, port, &addresses, seen).await?;
    if scheme == "telnet" {
        // Its input has ended already, and so does it.
        return Ok(());
    }
    request(options, authority, &path, stream, stdout, seen).await
}

async fn connect(
    container: &Container,
    options: &Options,
    name: &str,
    port: u16,
    addresses: &[Ipv4Addr],
    seen: &mut Seen,
) -> Result<crate::network::BoxStream, Failed> {
    let mut last = failed(7, format!("Failed to connect to {name} port {port}: No route to host"));
    let limit = options.connect_timeout.unwrap_or(Duration::from_secs(300));
    for address in addresses {
        let to = SocketAddrV4::new(*address, port);
        match tokio::time::timeout(limit, container.host.connect(to)).await {
            Ok(Ok(stream)) => {
                seen.remote = Some(to);
                seen.local = Some(container.host.address());
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = failed(7, format!("Failed to connect to {name} port {port}: Connection refused"));
            }
            Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                last = failed(7, format!("Failed to connect to {name} port {port}: {error}"));
            }
            _ if options.connect_timeout.is_some() => {
                last = failed(28, format!("Connection timed out after {} milliseconds", limit.as_millis()));
            }
            // The system gives up by itself after its own retries of SYN.
            _ => last = failed(28, format!("Failed to connect to {name} port {port}: Connection timed out")),
        }
    }
    Err(last)
}

async fn request(
    options: &Options,
    authority: &str,
    path: &str,
    stream: crate::network::BoxStream,
    stdout: &mut Vec<u8>,
    seen: &mut Seen,
) -> Result<(), Failed> {
    let empty = |_| failed(52, "Empty reply from server");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(empty)?;
    // Ends with the sender, which ends with this function.
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(if options.head { "HEAD" } else { "GET" })
        .uri(path)
        .header("Host", authority)
        .header("User-Agent", options.agent.as_deref().unwrap_or("curl/7.74.0"))
        .header("Accept", "*/*");
    for (name, value) in &options.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| failed(3, error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(empty)?;
    seen.code = answer.status().as_u16();
    if options.head {
        let reason = answer.status().canonical_reason().unwrap_or_default();
        stdout.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", seen.code).as_bytes());
        for (name, value) in answer.headers() {
            stdout.extend_from_slice(format!("{name}: ").as_bytes());
            stdout.extend_from_slice(value.as_bytes());
            stdout.extend_from_slice(b"\r\n");
        }
        stdout.extend_from_slice(b"\r\n");
    }
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|_| failed(18, "transfer closed with outstanding read data remaining"))?;
    let body = body.to_bytes();
    seen.downloaded = body.len();
    if !options.discard {
        stdout.extend_from_slice(&body);
    }
    drop(sender);
    connection.abort();
    Ok(())
}

/// The variables of `-w` that are known; others are left empty, as curl does.
fn expand(format: &str, seen: &Seen, elapsed: Duration) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['%', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix("%{")
            && let Some((variable, after)) = tail.split_once('}')
        {
            let remote = seen.remote.map(|remote| (remote.ip().to_string(), remote.port().to_string()));
            out.push_str(&match variable {
                "http_code" | "response_code" => format!("{:03}", seen.code),
                "remote_ip" => remote.map(|it| it.0).unwrap_or_default(),
                "remote_port" => remote.map(|it| it.1).unwrap_or_else(|| "0".to_owned()),
                "local_ip" => seen.local.map(|it| it.to_string()).unwrap_or_default(),
                "time_total" => format!("{:.6}", elapsed.as_secs_f64()),
                "size_download" => seen.downloaded.to_string(),
                _ => String::new(),
            });
            rest = after;
            continue;
        }
        let (escaped, length) = match rest.as_bytes().get(..2) {
            Some(b"\\n") => ("\n", 2),
            Some(b"\\r") => ("\r", 2),
            Some(b"\\t") => ("\t", 2),
            Some(b"%%") => ("%", 2),
            _ => (&rest[..1], 1),
        };
        out.push_str(escaped);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_out_is_expanded_as_curl_does() {
        let seen = Seen {
            code: 200,
            remote: Some(SocketAddrV4::new([10, 2, 0, 9].into(), 80)),
            local: Some([10, 1, 0, 7].into()),
            downloaded: 615,
        };
        let expanded =
            expand("\\n%{http_code} %{remote_ip}:%{remote_port} %{local_ip} %{unknown}%%é", &seen, Duration::ZERO);
        assert_eq!(expanded, "\n200 10.2.0.9:80 10.1.0.7 %é");
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let failed = parse(&["--proxy".to_owned()]).err().map(|it| it.code);
        assert_eq!(failed, Some(2));
    }
}
