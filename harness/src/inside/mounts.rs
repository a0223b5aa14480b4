//! A mount namespace in which `/etc/resolv.conf`, `/etc/hosts`, the hostname, `/proc` and `/sys` are those of a host.

use std::path::{Path, PathBuf};

use acrossk8s_mocks::lab::HostFiles;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use super::EnterError;
use super::door::OrRefused as _;

const NOTHING: Option<&str> = None;

/// Nothing in them is to be run or to gain rights.
const PLAIN: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Gives this process mounts of its own, in the network that it is in. To be called while it has one thread.
pub(super) fn make_own(files: Option<&HostFiles>) -> Result<(), EnterError> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).or_refused("no mount namespace can be made")?;
    // Nothing that is mounted here is seen outside; what is unmounted outside goes here, too.
    let all = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(NOTHING, "/", NOTHING, all, NOTHING).or_refused("the mounts cannot be made own ones")?;
    if let Some(files) = files {
        sethostname(&files.hostname).or_refused("the hostname cannot be set")?;
        put(&[("/etc/resolv.conf", &files.resolv_conf), ("/etc/hosts", &files.hosts)])?;
    }
    // The processes that there are in the PID namespace, and the devices that there are in the network.
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys")] {
        if let Err(error) = mount(Some(kind), at, Some(kind), PLAIN, NOTHING) {
            // A container that hides parts of them allows no others. What is in them is not what the program is there for.
            anstream::eprintln!("warning: {at} is that of the machine: {error}");
        }
    }
    Ok(())
}

/// Puts texts in the place of files.
fn put(texts: &[(&str, &str)]) -> Result<(), EnterError> {
    // A directory that is there on every Linux, for a moment: what is mounted from it stays when it is gone.
    const MOMENTARY: &str = "/proc";
    let what = "no files can be put into the mount namespace";
    let places: Vec<PathBuf> = texts.iter().map(|(path, _)| place(path)).collect::<Result<_, _>>()?;
    mount(Some("tmpfs"), MOMENTARY, Some("tmpfs"), PLAIN, Some("size=1m,mode=755")).or_refused(what)?;
    for (index, ((_, text), place)) in texts.iter().zip(&places).enumerate() {
        let file = Path::new(MOMENTARY).join(index.to_string());
        std::fs::write(&file, text).or_refused(what)?;
        mount(Some(&file), place, NOTHING, MsFlags::MS_BIND, NOTHING)
            .or_refused(format!("{} cannot be covered", place.display()))?;
    }
    umount2(MOMENTARY, MntFlags::empty()).or_refused(what)
}

/// The file itself, where a path is a link.
fn place(path: &str) -> Result<PathBuf, EnterError> {
    let what = format!("{path} of this machine, which the pod's is to cover, is not there");
    std::fs::canonicalize(path).or_refused(what)
}
