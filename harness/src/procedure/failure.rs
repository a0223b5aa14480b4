//! Errors of AWS and Kubernetes as failures of a task, with what to do about those that people meet.

use acrossk8s_aws::{DisplayErrorContext, ProvideErrorMetadata};

use crate::engine::Failure;

/// The code of an AWS error, where AWS answered at all.
pub fn aws_code<E: ProvideErrorMetadata>(error: &E) -> Option<&str> {
    error.code()
}

/// A failed AWS call as a task's failure.
///
/// Codes that AWS calls retryable are retried by the SDK already; a new id that is not found yet is not, since for a
/// client it is an error like another (EC2 user guide, "Eventual consistency").
pub fn aws_failure<E>(what: impl Into<String>, error: &E) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error,
{
    let code = error.code().unwrap_or_default();
    let why = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => DisplayErrorContext(error).to_string(),
    };
    let failure = Failure::new(what).because(why);
    let failure = match advice(code) {
        Some(advice) => failure.advise(advice),
        None => failure,
    };
    // An answer with another code is a refusal: nothing was made. Without a code nobody knows.
    match code {
        "" => failure,
        code if is_retryable(code) => failure.retry(),
        _ => failure.refused(),
    }
}

/// A failed Kubernetes call as a task's failure.
pub fn kube_failure(what: impl Into<String>, error: &kube::Error) -> Failure {
    let failure = Failure::new(what).because(error.to_string());
    match error {
        kube::Error::Api(status) if status.code == 409 || status.code == 429 || status.code >= 500 => failure.retry(),
        kube::Error::Api(_) => failure.refused(),
        kube::Error::HyperError(_) | kube::Error::Service(_) => failure.retry(),
        _ => failure,
    }
}

fn is_retryable(code: &str) -> bool {
    code.ends_with(".NotFound")
        || matches!(
            code,
            "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "InternalError" | "Unavailable"
        )
}

fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "VpcPeeringConnectionAlreadyExists" => "another active peering joins the two VPCs: delete it, or use it",
        "RouteAlreadyExists" => "delete the route that is there, or replace it if it is yours",
        "RouteLimitExceeded" => "raise the quota \"Routes per route table\", or use fewer clusters",
        "RulesPerSecurityGroupLimitExceeded" => {
            "raise the quota \"Inbound rules per security group\", or use fewer clusters"
        }
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            "give the credentials the permission that the message names"
        }
        "ExpiredToken" | "RequestExpired" | "AuthFailure" => "renew the credentials",
        _ => return None,
    })
}
