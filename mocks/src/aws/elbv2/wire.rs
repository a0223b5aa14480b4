//! ELBv2's query protocol.

use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// Answers an action of ELBv2 with the children of `<ActionResult>`.
///
/// # Errors
/// The service's own error codes; `InvalidAction` for what is not emulated.
pub fn handle(
    _state: &mut State,
    _context: &Context,
    action: &str,
    _params: &Params,
) -> Result<Vec<Element>, AwsError> {
    Err(AwsError::not_emulated("ELBv2", action))
}
