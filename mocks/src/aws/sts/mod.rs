//! STS: who is calling.

use crate::aws::wire::xml::Element;
use crate::aws::{ACCOUNT, AwsError};

/// Name of the IAM user that every caller is.
pub const USER: &str = "acrossk8s";

/// ARN of the IAM user that every caller is.
pub fn caller_arn() -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{USER}")
}

/// Answers an action of STS. Only `GetCallerIdentity` is emulated.
///
/// # Errors
/// `InvalidAction` for others.
pub fn handle(action: &str) -> Result<Vec<Element>, AwsError> {
    match action {
        "GetCallerIdentity" => Ok(vec![
            Element::text("Arn", caller_arn()),
            Element::text("UserId", "AIDAACROSSK8SEXAMPLE0"),
            Element::text("Account", ACCOUNT),
        ]),
        other => Err(AwsError::not_emulated("STS", other)),
    }
}
