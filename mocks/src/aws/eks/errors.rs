//! EKS's exceptions.

use crate::aws::AwsError;

pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::with_status(404, "ResourceNotFoundException", message)
}

pub(super) fn in_use(message: impl Into<String>) -> AwsError {
    AwsError::with_status(409, "ResourceInUseException", message)
}

pub(super) fn invalid_parameter(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidParameterException", message)
}

pub(super) fn invalid_request(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidRequestException", message)
}
