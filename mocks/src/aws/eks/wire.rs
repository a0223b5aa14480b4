//! EKS's REST protocol.

use crate::aws::wire::params::Params;
use crate::aws::{AwsError, Context, State};

/// Answers a request to EKS with its JSON body. `path_segments` are percent-decoded; `body` is null where there is none.
///
/// # Errors
/// The service's own exceptions; `InvalidAction` for what is not emulated.
pub fn handle(
    _state: &mut State,
    _context: &Context,
    method: &str,
    path_segments: &[String],
    _query: &Params,
    _body: serde_json::Value,
) -> Result<serde_json::Value, AwsError> {
    Err(AwsError::not_emulated("EKS", &format!("{method} /{}", path_segments.join("/"))))
}
