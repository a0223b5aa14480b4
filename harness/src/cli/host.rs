//! The host of a kept run that a person names.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::CommandError;
use super::args::HostArgs;
use super::teardown::{journal_error, what_stood};
use crate::environment::{Environment as _, Handle};
use crate::inside::{self, Door, EnterError, Wanted};
use crate::journal;
use crate::run_directory::{self, RunDirectory};

/// A host, and what a person is told of it.
pub(super) struct Host {
    pub(super) door: Door,
    pub(super) address: Ipv4Addr,
    pub(super) vpc: String,
}

/// Finds a host. Leaves the process with the one thread that it had.
pub(super) fn find(runs: &Path, args: &HostArgs) -> Result<Host, CommandError> {
    let directory = directory(runs, args.run.as_deref())?;
    let id = &directory.id;
    let state = journal::read(&directory.file(run_directory::JOURNAL)).map_err(journal_error)?;
    let environment = if state.closed { None } else { what_stood(&state)? };
    let Some((environment, _)) = environment else {
        return Err(CommandError::usage(format!("nothing stands of run {id} any more{KEEP}")));
    };
    let Handle::Embedded { control_url, pid, network, .. } = environment.handle();
    if network != "kernel" {
        return Err(CommandError::usage(format!(
            "the network of run {id} is the in-process model, which has no namespaces to step into{KEEP}"
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::unexpected(format!("the lab cannot be asked: {error}")))?;
    let hosts =
        runtime.block_on(async { if environment.alive().await { Some(environment.hosts().await) } else { None } });
    drop(runtime);
    let Some(hosts) = hosts else {
        return Err(CommandError::usage(format!(
            "the lab of run {id} (process {pid}) has ended, and everything in it with it\n  to mend it: `acrossk8s \
             teardown --run {id}` closes its journal; `acrossk8s run --network kernel --keep` keeps another"
        )));
    };
    let hosts = hosts.map_err(CommandError::unexpected)?;
    let wanted = Wanted { name: &args.host, cluster: args.cluster.as_deref(), namespace: args.namespace.as_deref() };
    let host = inside::find(&hosts, wanted).map_err(CommandError::usage)?;
    let namespace = host.network_namespace.ok_or_else(|| {
        CommandError::unexpected(format!("the lab of run {id} does not say where the network of {} is", host.path()))
    })?;
    let door =
        Door { host: host.path(), lab: pid, control: control(&control_url)?, namespace, files: host.files.clone() };
    Ok(Host { door, address: host.address, vpc: host.vpc.clone() })
}

const KEEP: &str = "\n  to mend it: keep one with `acrossk8s run --network kernel --keep`";

/// The directory of the run that is named, or of the only kept one.
fn directory(runs: &Path, id: Option<&str>) -> Result<RunDirectory, CommandError> {
    if let Some(id) = id {
        return RunDirectory::find(runs, id).map_err(CommandError::usage);
    }
    let all = run_directory::list(runs).map_err(|error| CommandError::usage(format!("{}: {error}", runs.display())))?;
    let is_kept = |state: &journal::JournalState| {
        let handle = serde_json::from_value(state.environment.clone());
        !state.closed && matches!(handle, Ok(Handle::Embedded { kept: true, .. }))
    };
    let kept = all.into_iter().filter(|(_, state)| state.as_ref().is_ok_and(is_kept)).map(|(directory, _)| directory);
    let mut kept: Vec<_> = kept.collect();
    match kept.len() {
        1 => Ok(kept.remove(0)),
        0 => Err(CommandError::usage(format!("there is no kept run in {}{KEEP}", runs.display()))),
        _ => {
            let ids: String = kept.iter().map(|it| format!("\n  {}", it.id)).collect();
            Err(CommandError::usage(format!("there are several kept runs:{ids}\n  to mend it: name one with --run")))
        }
    }
}

fn control(url: &str) -> Result<SocketAddr, CommandError> {
    let wrong = || CommandError::usage(format!("the journal names a lab at {url}, which is no http://ADDRESS:PORT"));
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    uri.authority().and_then(|it| it.as_str().parse().ok()).ok_or_else(wrong)
}

/// A host that is gone or closed to this user is a matter of what was asked for.
pub(super) fn not_entered(error: EnterError) -> CommandError {
    match error {
        EnterError::Ended { .. } | EnterError::Gone { .. } | EnterError::Refused { .. } => CommandError::usage(error),
        EnterError::Program { .. } => CommandError::unexpected(error),
    }
}
