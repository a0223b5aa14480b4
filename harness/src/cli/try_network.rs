//! `acrossk8s try-network`: the process in which the kernel's network is tried out.

use super::CommandError;
use super::args::TryNetworkArgs;
use crate::environment::network;
use crate::exit::ExitCode;

/// Tries out the kernel's network and prints what came of it, as one line of JSON.
pub fn try_network(args: &TryNetworkArgs) -> Result<ExitCode, CommandError> {
    let trial = network::try_here(args.in_user_namespace);
    println!("{}", serde_json::to_string(&trial).map_err(CommandError::unexpected)?);
    Ok(ExitCode::Passed)
}
