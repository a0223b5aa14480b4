//! The real programs in the place of those in process: CoreDNS, nginx and curl, each in the network namespace of its pod,
//! with the pod's files, `/etc/resolv.conf` and `/etc/hosts`.
//!
//! Simplified, beside what [`crate::network::kernel::process`] says:
//!
//! - Binaries are this machine's, and so are their versions: the tag of the image is not looked at. CoreDNS gets the
//!   arguments of its container; nginx gets those and the configuration of its image.
//! - Real programs know only real time: CoreDNS looks at its Corefile every 30 seconds of the machine's, whatever the lab's
//!   clock says. The grace period of a pod passes on the lab's clock: after it, what still runs is killed.
//! - A pod is ready when its program answers: CoreDNS `/ready` on port 8181, where the probe of its manifest asks, nginx on
//!   port 80. It stays ready as long as the program runs.

mod api;
mod coredns;
mod exec;
mod nginx;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

pub use self::coredns::CoreDns;
pub use self::nginx::Nginx;

use super::{Container, FOLDERS_OF_PODS, Log};
use crate::network::kernel::mounts::Mounts;
use crate::network::kernel::process::{Launch, Place, Sandbox};

/// How often a program that is not ready yet is asked whether it is.
const PROBE_PERIOD: Duration = Duration::from_millis(50);

/// Exit code of a container whose program could not be started, as containerd has it.
const NOT_STARTED: i32 = 128;

/// Where programs are looked for, as in Debian's images, and what is tried beside it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names are looked up in `/etc/hosts` and DNS, as in an image, whatever this machine does.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// Where a container's programs run.
fn place(container: &Container) -> io::Result<Place> {
    let missing = "this pod is on a network without namespaces: real programs need the kernel's network";
    container.host.place().ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, missing))
}

/// The files of a container: those of its volumes over those that it has anyway.
fn files(container: &Container, more: &BTreeMap<PathBuf, Bytes>) -> BTreeMap<PathBuf, Bytes> {
    let own = [
        ("/etc/resolv.conf", container.resolv_conf.to_string()),
        ("/etc/hosts", container.etc_hosts()),
        ("/etc/hostname", format!("{}\n", container.hostname)),
        ("/etc/nsswitch.conf", NSSWITCH.to_owned()),
    ];
    let mut files: BTreeMap<_, _> =
        own.into_iter().map(|(path, content)| (PathBuf::from(path), Bytes::from(content))).collect();
    files.extend(more.iter().map(|(path, content)| (path.clone(), content.clone())));
    let mounted = container.files.borrow();
    files.extend(mounted.iter().map(|(path, content)| (PathBuf::from(path), content.clone())));
    files
}

/// A file system for a container's programs. `/run` is empty, so that no daemon of this machine answers in the place of
/// DNS.
async fn sandbox(
    container: &Container,
    more: &BTreeMap<PathBuf, Bytes>,
    empty: impl IntoIterator<Item = &'static str>,
) -> io::Result<Sandbox> {
    let empty = FOLDERS_OF_PODS.into_iter().chain(empty).map(PathBuf::from).collect();
    place(container)?.sandbox(Mounts { files: files(container, more), empty }, &container.hostname).await
}

/// What starts a program in a container.
fn launch(container: &Container, program: impl Into<OsString>, args: &[impl AsRef<str>]) -> Launch {
    let mut env = container.env.clone();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    env.insert("HOSTNAME".to_owned(), container.hostname.clone());
    Launch { program: program.into(), args: args.iter().map(|arg| arg.as_ref().into()).collect(), env, stdin: false }
}

/// Runs the main program of a container: its lines go to the log, the volumes' changes to its files, and it is told to
/// stop with the container. Returns its exit code.
async fn run(
    container: &Container,
    sandbox: &Sandbox,
    more: &BTreeMap<PathBuf, Bytes>,
    launch: Launch,
    stop: Signal,
    ready: impl Future<Output = ()>,
) -> io::Result<i32> {
    let mut process = sandbox.spawn(launch).await?;
    let signals = process.signals();
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let ended = async {
        tokio::join!(log_lines(stdout, &container.log), log_lines(stderr, &container.log));
        process.wait().await
    };
    let beside = async {
        let tell = async {
            ready.await;
            container.ready.send_replace(true);
        };
        tokio::join!(tell, follow_files(container, sandbox, more));
    };
    let (mut ended, mut beside) = (std::pin::pin!(ended), std::pin::pin!(beside));
    let code = tokio::select! {
        code = &mut ended => code,
        () = container.stop.cancelled() => {
            signals.send(stop);
            // Whoever stops the container kills it when its time is over.
            ended.await
        }
        () = &mut beside => ended.await,
    };
    container.ready.send_replace(false);
    code
}

/// Writes the files of the volumes whenever they have changed, until nobody changes them any more.
async fn follow_files(container: &Container, sandbox: &Sandbox, more: &BTreeMap<PathBuf, Bytes>) {
    let mut changes = container.files.clone();
    while changes.changed().await.is_ok() {
        changes.borrow_and_update();
        if let Err(error) = sandbox.update(&files(container, more)) {
            tracing::warn!(pod = container.pod, %error, "a mounted file is not what it should be");
        }
    }
}

/// Writes what a program prints to a log, line by line.
async fn log_lines(output: Option<impl AsyncRead + Unpin>, log: &Log) {
    let Some(output) = output else { return };
    let (mut reader, mut line) = (BufReader::new(output), Vec::new());
    // What cannot be read any more is at its end.
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        log.line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
}

/// Tells in the log why a program could not be run at all.
fn not_run(container: &Container, error: &io::Error) -> i32 {
    container.log.line(format!("the program of {} could not be run: {error}", container.image));
    NOT_STARTED
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(mut asked: impl FnMut() -> F) {
    let mut period = tokio::time::interval(PROBE_PERIOD);
    loop {
        period.tick().await;
        if asked().await {
            return;
        }
    }
}

/// A port of the container's own.
fn own(container: &Container, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(container.host.address(), port)
}
