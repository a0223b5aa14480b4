//! A user namespace for the process: who may make network namespaces nowhere else may do so in there (user_namespaces(7)).

use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Takes this process into a user namespace of its own, for good. In there it is root, and everything that it starts is;
/// outside it stays the user that it was: files that it makes are that user's, and no file can be read or written that
/// could not before. Its network namespace stays the one that it is in.
///
/// # Errors
/// When the kernel does not allow it (the message says what), or when the process has more than one thread: then nothing
/// has changed (unshare(2)). After an error that names a file below `/proc/self` the process is in a user namespace
/// where it is nobody, and still may do what it might before.
pub fn enter() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // Who may not change groups may map the own one.
    write("setgroups", "deny")?;
    write("uid_map", &format!("0 {user} 1"))?;
    write("gid_map", &format!("0 {group} 1"))
}

fn write(name: &str, content: &str) -> io::Result<()> {
    let file = Path::new("/proc/self").join(name);
    std::fs::write(&file, content).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}
