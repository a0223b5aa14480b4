//! Lines of nginx's logs, which the image sends to the container's output.

use std::net::SocketAddrV4;

use http::{HeaderName, Request, StatusCode, header};

/// A line of the access log in the format `main`:
/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
/// "$http_x_forwarded_for"`.
pub(super) fn access<B>(request: &Request<B>, source: SocketAddrV4, status: StatusCode, sent: usize) -> String {
    let header = |name: HeaderName| {
        let value = request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        value.unwrap_or_else(|| "-".to_owned()).replace('"', "\\x22")
    };
    format!(
        "{} - - [{}] \"{}\" {} {sent} \"{}\" \"{}\" \"{}\"",
        source.ip(),
        now("%d/%b/%Y:%H:%M:%S +0000"),
        line(request),
        status.as_u16(),
        header(header::REFERER),
        header(header::USER_AGENT),
        header(HeaderName::from_static("x-forwarded-for")),
    )
}

/// The line of the error log for a file that is not there.
pub(super) fn not_found<B>(request: &Request<B>, source: SocketAddrV4, number: u64) -> String {
    let host = request.headers().get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    format!(
        "{} [error] 31#31: *{number} open() \"/usr/share/nginx/html{}\" failed (2: No such file or directory), client: \
         {}, server: localhost, request: \"{}\", host: \"{}\"",
        now("%Y/%m/%d %H:%M:%S"),
        request.uri().path(),
        source.ip(),
        line(request),
        host.unwrap_or_default(),
    )
}

/// A line of the main process.
pub(super) fn notice(level: &str, message: &str) -> String {
    format!("{} [{level}] 1#1: {message}", now("%Y/%m/%d %H:%M:%S"))
}

fn line<B>(request: &Request<B>) -> String {
    format!("{} {} {:?}", request.method(), request.uri(), request.version())
}

/// The time in the image's time zone, UTC.
fn now(format: &str) -> String {
    jiff::Timestamp::now().strftime(format).to_string()
}
