//! Which network carries the packets of an embedded lab: the kernel's wherever this process may have it.
//!
//! It may as root, or, where the system allows that, in a user namespace of its own. Nothing but trying tells, and trying
//! changes a process: so another one tries, this very program with [`SUBCOMMAND`]. A process is taken into a user
//! namespace only when the kernel's network was had in one, and before it has threads: only then can it be.

mod access;
mod settings;

use std::process::Command;

use acrossk8s_mocks::network::{Attempt, NetworkKind, Trial};

pub use access::{Access, Footing};
pub use settings::{Obstacle, Settings};

use super::EnvironmentError;

/// The argument that makes this program try out the kernel's network and print what came of it.
pub const SUBCOMMAND: &str = "try-network";
/// Its argument that makes it do so in a user namespace.
pub const IN_USER_NAMESPACE: &str = "--in-user-namespace";

/// Why the kernel's network cannot be had elsewhere.
pub(crate) const ONLY_LINUX: &str = "only Linux has them";

/// Which network is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wish {
    /// The kernel's where it is allowed, else the in-process model.
    #[default]
    Auto,
    /// The kernel's, or none.
    Kernel,
    /// The in-process model.
    Model,
}

/// Which network is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub kind: NetworkKind,
    /// Why, where it was not asked for by name.
    pub because: Option<String>,
}

/// Chooses the network, and takes this process into a user namespace where the kernel's is had only there. To be called
/// while the process has one thread.
///
/// # Errors
/// When the kernel's is asked for and not allowed: what forbids it and what to do.
pub fn choose(wish: Wish) -> Result<Choice, EnvironmentError> {
    if wish == Wish::Model {
        return Ok(Choice { kind: NetworkKind::Model, because: None });
    }
    let mut access = Access::find_out();
    if access.footing() == Some(Footing::UserNamespace)
        && let Err(error) = enter_user_namespace()
    {
        access.in_user_namespace = Trial { user_namespace: Attempt::of::<(), _>(&Err(error)), ..Trial::default() };
    }
    access.choice(wish)
}

/// Has another process try out the kernel's network.
fn try_elsewhere(footing: Footing) -> Trial {
    if !cfg!(target_os = "linux") {
        return Trial::in_vain(ONLY_LINUX);
    }
    // Not by its name: the program may lie where only who started it may look.
    let mut program = Command::new("/proc/self/exe");
    program.arg(SUBCOMMAND);
    if footing == Footing::UserNamespace {
        program.arg(IN_USER_NAMESPACE);
    }
    let output = match program.output() {
        Ok(output) => output,
        Err(error) => return Trial::in_vain(format!("the program that tries them cannot be started: {error}")),
    };
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        Trial::in_vain(format!("the program that tries them ended with {}: {}", output.status, said.trim()))
    })
}

/// Tries out the kernel's network in this process, which is of no use for anything else afterwards. To be called while
/// it has one thread.
pub fn try_here(in_user_namespace: bool) -> Trial {
    let user_namespace = if in_user_namespace {
        let entered = Attempt::of(&enter_user_namespace());
        if entered != Attempt::Worked {
            return Trial { user_namespace: entered, ..Trial::default() };
        }
        entered
    } else {
        Attempt::NotTried
    };
    Trial { user_namespace, ..try_each() }
}

#[cfg(target_os = "linux")]
fn try_each() -> Trial {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(acrossk8s_mocks::network::kernel::Kernel::try_each()),
        Err(error) => Trial::in_vain(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn try_each() -> Trial {
    Trial::in_vain(ONLY_LINUX)
}

#[cfg(target_os = "linux")]
fn enter_user_namespace() -> std::io::Result<()> {
    acrossk8s_mocks::network::kernel::user_namespace::enter()
}

#[cfg(not(target_os = "linux"))]
fn enter_user_namespace() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
