//! EC2's query protocol: parameters in, XML out.

use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// Answers an action of EC2 with the children of `<ActionResponse>`.
///
/// # Errors
/// EC2's own error codes; `InvalidAction` for what is not emulated.
pub fn handle(
    _state: &mut State,
    _context: &Context,
    action: &str,
    _params: &Params,
) -> Result<Vec<Element>, AwsError> {
    Err(AwsError::not_emulated("EC2", action))
}
