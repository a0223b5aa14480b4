//! curl's exit codes and messages (curl(1), "EXIT CODES").

use std::io;
use std::time::Duration;

/// Exit codes.
pub mod code {
    /// The protocol is not supported.
    pub const UNSUPPORTED_PROTOCOL: i32 = 1;
    /// An option is unknown or lacks its value.
    pub const FAILED_INIT: i32 = 2;
    /// The URL is malformed.
    pub const URL_MALFORMAT: i32 = 3;
    /// The host could not be resolved.
    pub const COULDNT_RESOLVE_HOST: i32 = 6;
    /// No connection.
    pub const COULDNT_CONNECT: i32 = 7;
    /// The connection closed before all was received.
    pub const PARTIAL_FILE: i32 = 18;
    /// An HTTP error, with `-f`.
    pub const HTTP_RETURNED_ERROR: i32 = 22;
    /// Nothing can be written to the file.
    pub const WRITE_ERROR: i32 = 23;
    /// The time was over.
    pub const OPERATION_TIMEDOUT: i32 = 28;
    /// The server sent nothing.
    pub const GOT_NOTHING: i32 = 52;
    /// Receiving failed.
    pub const RECV_ERROR: i32 = 56;
}

/// Why curl ends with a code other than 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("curl: ({code}) {message}")]
pub struct Failure {
    /// Exit code.
    pub code: i32,
    /// Message, as curl prints it behind `curl: (CODE)`.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn unresolved(host: &str) -> Self {
        Self::new(code::COULDNT_RESOLVE_HOST, format!("Could not resolve host: {host}"))
    }

    /// The time limit that ended a phase.
    pub(super) fn timed_out(what: &str, after: Duration) -> Self {
        let received = if what == "Operation" { " with 0 bytes received" } else { "" };
        let message = format!("{what} timed out after {} milliseconds{received}", after.as_millis());
        Self::new(code::OPERATION_TIMEDOUT, message)
    }

    /// A connection that failed, in the operating system's words.
    pub(super) fn connect(host: &str, port: u16, error: &io::Error) -> Self {
        let (code, reason) = match error.kind() {
            io::ErrorKind::ConnectionRefused => (code::COULDNT_CONNECT, "Connection refused".to_owned()),
            io::ErrorKind::TimedOut => (code::OPERATION_TIMEDOUT, "Connection timed out".to_owned()),
            io::ErrorKind::HostUnreachable => (code::COULDNT_CONNECT, "No route to host".to_owned()),
            io::ErrorKind::NetworkUnreachable => (code::COULDNT_CONNECT, "Network is unreachable".to_owned()),
            _ => (code::COULDNT_CONNECT, error.to_string()),
        };
        Self::new(code, format!("Failed to connect to {host} port {port}: {reason}"))
    }
}
