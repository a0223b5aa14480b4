//! Error codes of ELBv2. They are the names of its exceptions without "Exception" at the end.

use crate::aws::AwsError;

pub(super) fn load_balancer_not_found(what: &str) -> AwsError {
    AwsError::client("LoadBalancerNotFound", format!("Load balancers '[{what}]' not found"))
}

pub(super) fn target_group_not_found(arn: &str) -> AwsError {
    AwsError::client("TargetGroupNotFound", format!("One or more target groups not found: '{arn}'"))
}

pub(super) fn listener_not_found(arn: &str) -> AwsError {
    AwsError::client("ListenerNotFound", format!("One or more listeners not found: '{arn}'"))
}

pub(super) fn validation(message: impl Into<String>) -> AwsError {
    AwsError::client("ValidationError", message)
}

pub(super) fn invalid_configuration(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidConfigurationRequest", message)
}
