//! Real programs in a host's namespaces.
//!
//! A [`Place`] is where a host is. A [`Sandbox`] adds a file system of its own ([`super::mounts`]) and a host name. What is
//! started there is the first process of a PID namespace: what it starts in turn ends with it.
//!
//! Each program has a thread of its own, which enters the namespaces, starts the program and waits for its end. The kernel
//! ends the program when that thread ends, and so with the lab, whatever ends the lab.
//!
//! Simplified: there is no image, no cgroup, no seccomp filter and no user of its own; programs of a pod do not see each
//! other's files; `/proc` is the machine's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, sethostname};
use nlink::netlink::Connection;
use nlink::netlink::addr::Ipv4Address;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::Shared;
use super::mounts::{self, Mounted, Mounts};
use super::namespace::Namespace;

/// Index of the loopback interface: it is the first of every namespace.
const LOOPBACK: u32 = 1;
const BACKLOG: u32 = 128;

/// Where a host is: the means to run programs there.
#[derive(Clone)]
pub struct Place {
    network: Arc<Shared>,
    namespace: Namespace,
}

/// A place with a file system and a host name for programs.
pub struct Sandbox {
    place: Place,
    namespace: Arc<File>,
    mounted: Mounted,
    hostname: String,
}

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program: a path, or a name that is looked for on the `PATH` of `env`.
    pub program: OsString,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Its environment, and nothing else.
    pub env: BTreeMap<String, String>,
    /// Whether it is given something to read. `/dev/null` is its standard input otherwise, as in a container.
    pub stdin: bool,
}

/// A program that was started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// Its standard input, where it has one.
    pub stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: Option<ChildStdout>,
    /// Its standard error.
    pub stderr: Option<ChildStderr>,
    signals: Signals,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// Sends signals to a program, as long as it runs.
#[derive(Debug, Clone)]
pub struct Signals(Arc<Mutex<Option<Pid>>>);

impl Place {
    pub(super) fn new(network: Arc<Shared>, namespace: Namespace) -> Self {
        Self { network, namespace }
    }

    /// Prepares a file system for programs.
    ///
    /// # Errors
    /// Those of [`mounts::enter`].
    pub async fn sandbox(&self, mounts: Mounts, hostname: impl Into<String>) -> io::Result<Sandbox> {
        let (done, prepared) = oneshot::channel();
        std::thread::Builder::new().name("mounts".into()).spawn(move || {
            let entered = mounts::enter(&mounts)
                .and_then(|mounted| Ok((mounted, Arc::new(File::open("/proc/thread-self/ns/mnt")?))));
            // Whoever asked may have stopped waiting: the namespace goes with its last file.
            let _ = done.send(entered);
        })?;
        let (mounted, namespace) = prepared.await.map_err(|_| broke_down())??;
        Ok(Sandbox { place: self.clone(), namespace, mounted, hostname: hostname.into() })
    }

    /// Listens at an address that is the host's from now on, and that nobody else reaches: no route leads to it.
    ///
    /// # Errors
    /// `AddrInUse` when the port is taken.
    pub async fn listen_inside(&self, at: SocketAddrV4) -> io::Result<TcpListener> {
        let route = Connection::<nlink::Route>::new_in(self.namespace.as_fd()).map_err(io::Error::other)?;
        let own = Ipv4Address::with_index(LOOPBACK, *at.ip(), 32).noprefixroute();
        match route.add_address(own).await {
            Err(error) if !error.is_already_exists() => return Err(io::Error::other(error)),
            _ => {}
        }
        let open = move || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(at.into())?;
            Ok(socket)
        };
        self.network.crew.within(&self.namespace, open).await?.listen(BACKLOG)
    }
}

impl Sandbox {
    /// Makes the mounted files be these.
    ///
    /// # Errors
    /// Those of [`Mounted::update`].
    pub fn update(&self, files: &BTreeMap<PathBuf, Bytes>) -> io::Result<()> {
        self.mounted.update(files)
    }

    /// Starts a program, when the kernel knows all that AWS does by now.
    ///
    /// # Errors
    /// `NotFound` and `PermissionDenied` for a program that cannot be started, and those of setns(2).
    pub async fn spawn(&self, launch: Launch) -> io::Result<Process> {
        self.place.network.sync().await?;
        let (begun, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (network, files, hostname) =
            (self.place.namespace.clone(), Arc::clone(&self.namespace), self.hostname.clone());
        std::thread::Builder::new().name("program".into()).spawn(move || {
            let mut child = match start(&network, &files, &hostname, &launch) {
                Ok(child) => child,
                // Whoever asked may have stopped waiting.
                Err(error) => return drop(begun.send(Err(error))),
            };
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            let signals = Signals(Arc::new(Mutex::new(Some(pid))));
            let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            if begun.send(Ok((streams, signals.clone()))).is_err() {
                signals.send(Signal::SIGKILL);
            }
            // Its number stays its own until it is waited for in earnest: no signal hits another process.
            while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
            *signals.0.lock() = None;
            let _ = end.send(child.wait());
        })?;
        let ((stdin, stdout, stderr), signals) = started.await.map_err(|_| broke_down())??;
        let mut process = Process { stdin: None, stdout: None, stderr: None, signals, ended };
        process.stdin = stdin.map(ChildStdin::from_std).transpose()?;
        process.stdout = stdout.map(ChildStdout::from_std).transpose()?;
        process.stderr = stderr.map(ChildStderr::from_std).transpose()?;
        Ok(process)
    }
}

fn broke_down() -> io::Error {
    io::Error::other("the thread that enters namespaces for a program broke down")
}

/// Enters the namespaces with the calling thread, for good, and starts a program.
fn start(network: &Namespace, files: &File, hostname: &str, launch: &Launch) -> io::Result<Child> {
    // A thread that shares its working directory with others cannot change its mount namespace.
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS)?;
    sethostname(hostname)?;
    setns(network, CloneFlags::CLONE_NEWNET)?;
    setns(files, CloneFlags::CLONE_NEWNS)?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .env_clear()
        .envs(&launch.env)
        .current_dir("/")
        .stdin(if launch.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the lab's terminal is for the lab.
        .process_group(0);
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe functions may be called, since other
    // threads may have held locks at the fork. It makes one system call, prctl(2), and allocates nothing: nix turns its
    // failure into a number.
    #[expect(unsafe_code, reason = "pre_exec runs between fork and exec")]
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
    command.spawn()
}

impl Signals {
    /// Sends a signal. Nothing happens when the program has ended.
    pub fn send(&self, signal: Signal) {
        if let Some(pid) = *self.0.lock() {
            // It cannot fail: the process is this one's child and has not been waited for.
            let _ = kill(pid, signal);
        }
    }
}

impl Process {
    /// What sends it signals.
    pub fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Waits for its end. Returns the exit code: 128 and the signal's number for one that a signal ended, as shells do.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub async fn wait(&mut self) -> io::Result<i32> {
        let status = (&mut self.ended).await.map_err(|_| broke_down())??;
        Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signals.send(Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests;
