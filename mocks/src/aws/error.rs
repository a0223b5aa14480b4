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

    /// `MissingParameter`: a parameter that the action needs is not there.
    pub fn missing_parameter(name: &str) -> Self {
        Self::client("MissingParameter", format!("The request must contain the parameter {name}"))
    }

    /// `InvalidParameterValue` with a message of one's own.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterValue", message)
    }

    /// `InvalidParameterCombination` with a message of one's own.
    pub fn invalid_combination(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterCombination", message)
    }

    /// `DependencyViolation` for a kind of resource, as in `The vpc 'vpc-…' has dependencies and cannot be deleted.`
    pub fn dependency(kind: &str, id: &str) -> Self {
        Self::client("DependencyViolation", format!("The {kind} '{id}' has dependencies and cannot be deleted."))
    }

    /// `InvalidAction`: what was asked for is not emulated. The message says so, so that nobody looks for a mistake of
    /// their own.
    pub fn not_emulated(service: &str, action: &str) -> Self {
        Self::client(
            "InvalidAction",
            format!("The action {action} is not valid for this web service: {service} is emulated without it."),
        )
    }
}
