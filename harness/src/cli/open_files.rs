//! How many files the process may hold open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the process may by itself: the usual 1024 are for programs that use select(2), and a lab of
/// six clusters holds more. A system that does not allow it is told in the log; a lab then says which file it lacks.
pub(super) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
