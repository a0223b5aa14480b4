//! `acrossk8s lab`.

use super::CommandError;
use super::args::LabArgs;
use super::signals::Signals;
use crate::environment::{EmbeddedOptions, Handle, LabProcess};
use crate::exit::ExitCode;

/// Serves an embedded lab until it is interrupted or told to end.
pub async fn lab(args: &LabArgs, options: EmbeddedOptions) -> Result<ExitCode, CommandError> {
    let signals = Signals::listen(None)?;
    let ready = |handle: &Handle| {
        if args.handle {
            println!("{}", serde_json::to_string(handle).unwrap_or_default());
        } else {
            let Handle::Embedded { aws_url, control_url, .. } = handle;
            anstream::println!("AWS endpoint:        {aws_url}   (AWS_ENDPOINT_URL={aws_url})");
            anstream::println!("cluster provisioner: {control_url}   (POST /eksctl/create with a ClusterConfig)");
            if let Some(because) = &options.network_because {
                anstream::println!("network:             {because}");
            }
            anstream::println!("Ctrl-C ends it, and everything in it.");
        }
    };
    LabProcess::serve(&options, ready, signals.interrupt.cancelled()).await.map_err(CommandError::environment)?;
    Ok(ExitCode::Passed)
}
