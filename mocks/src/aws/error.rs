//! Errors as AWS gives them.

/// An error code of AWS's with its message. The wire decides in which XML or JSON shape it travels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// HTTP status.
    pub status: u16,
    /// Code, to the letter, for example `InvalidVpcPeeringConnectionID.NotFound`.
    pub code: String,
    /// Message.
    pub message: String,
}

impl AwsError {
    /// A client error (HTTP 400).
    pub fn client(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.into(), message: message.into() }
    }

    /// An error with another HTTP status.
    pub fn with_status(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }
}
