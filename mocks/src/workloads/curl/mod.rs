//! curl 7.74.0 (Debian 11's) as far as this procedure uses it: HTTP and bare connections, over a container's network
//! and resolver, with curl's messages and exit codes.
//!
//! Simplified: no other protocols (HTTPS among them), no redirects, no uploads; nothing is written to files but
//! `/dev/null`; a `telnet` connection sends nothing and ends when the input does; the local address is the pod's.

mod failure;
mod options;
mod transfer;
mod write_out;

pub use failure::{Failure, code};
pub use options::{Options, Url};
pub use transfer::{Outcome, transfer};

use bytes::Bytes;

use super::{Container, ExecIo, shell};

/// The version in the default user agent.
pub const VERSION: &str = "7.74.0";

/// Runs `curl` with its arguments, in a container. Returns the exit code, which is that of the last URL.
pub async fn run(container: &Container, args: &[String], io: ExecIo) -> i32 {
    let ExecIo { mut stdin, stdout, stderr } = io;
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(failure) => {
            let hint = "curl: try 'curl --help' or 'curl --manual' for more information\n";
            shell::print(&stderr, format!("curl: {}\n{hint}", failure.message)).await;
            return failure.code;
        }
    };
    let mut code = 0;
    for url in &options.urls {
        let outcome = transfer(container, &options, url, &mut stdin).await;
        if options.verbose {
            shell::print(&stderr, outcome.trace.clone()).await;
        }
        if !options.silent {
            shell::print(&stderr, progress(&outcome)).await;
        }
        if !outcome.body.is_empty() && !options.discard {
            // A reader that has gone away is no error of curl's here.
            let _ = stdout.send(Bytes::clone(&outcome.body)).await;
        }
        if let Some(failure) = &outcome.failure {
            if !options.silent || options.show_error {
                shell::print(&stderr, format!("curl: ({}) {}\n", failure.code, failure.message)).await;
            }
            code = failure.code;
        } else {
            code = 0;
        }
        if let Some(format) = &options.write_out {
            shell::print(&stdout, write_out::expand(format, &outcome)).await;
        }
    }
    code
}

/// The progress meter as it stands at the end.
fn progress(outcome: &Outcome) -> String {
    let size = outcome.body.len();
    let percent = if size > 0 { 100 } else { 0 };
    let seconds = outcome.times.total.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let speed = if seconds > 0.0 { (size as f64 / seconds) as u64 } else { 0 };
    let speed = if speed > 99_999 { format!("{}k", speed / 1024) } else { speed.to_string() };
    format!(
        "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n\
         \u{20}                                Dload  Upload   Total   Spent    Left  Speed\n\
         \r{percent:3} {size:5}  {percent:3} {size:5}    0     0  {speed:>5}      0 --:--:-- --:--:-- --:--:-- {speed:>5}\n"
    )
}
