//! Network namespaces without a name: what holds one is an open file, so that none outlives the process that made it,
//! however that ends.
//!
//! Entering a namespace is a matter of a thread. A few threads of their own do it, so that no thread of the runtime is
//! ever found in a namespace where it does not belong. They never come back to the process's own namespace: in an
//! unprivileged user namespace that would not be allowed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::getegid;
use tokio::sync::oneshot;

use crate::network::NetworkNamespace;

/// Threads that enter namespaces: one can be making a namespace, which takes the kernel milliseconds, while the other
/// opens sockets.
const THREADS: usize = 2;

/// What is set in each namespace, with the reason.
const SETTINGS: &[(&str, &str)] = &[
    // Nodes, routers and load balancers forward.
    ("net/ipv4/ip_forward", "1"),
    // Answers may come another way than questions went: that is for AWS's rules to decide.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Node ports answer on the loopback address of a node, as kube-proxy has it.
    ("net/ipv4/conf/all/route_localnet", "1"),
    // A load balancer sends out of the interface that a packet came in by, on purpose.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    // A closed port refuses each datagram: callers count on it, and Linux would tell six of them at once.
    ("net/ipv4/icmp_ratemask", "0"),
];

/// A network namespace.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    file: Arc<File>,
    inode: u64,
}

impl Namespace {
    /// Where another process finds it.
    pub(super) fn place(&self) -> NetworkNamespace {
        NetworkNamespace { descriptor: self.file.as_raw_fd(), inode: self.inode }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads that enter namespaces. They end with it.
#[derive(Debug)]
pub(super) struct Crew {
    jobs: mpsc::Sender<Job>,
}

impl Crew {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("netns".into()).spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    job();
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Makes a namespace, with its loopback interface still down.
    ///
    /// # Errors
    /// Those of unshare(2), and of the settings: without privilege it is `PermissionDenied`.
    pub(super) async fn make(&self) -> io::Result<Namespace> {
        self.run(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            for (name, value) in SETTINGS {
                std::fs::write(Path::new("/proc/sys").join(name), value)
                    .map_err(|error| io::Error::new(error.kind(), format!("/proc/sys/{name}: {error}")))?;
            }
            // Sockets for pings are for a range of groups, by default for none: for this process's own.
            let group = getegid();
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", format!("{group} {group}"))?;
            // Absent where the kernel has no IPv6, and then there is nothing to switch off.
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            let file = File::open("/proc/thread-self/ns/net")?;
            Ok(Namespace { inode: file.metadata()?.ino(), file: Arc::new(file) })
        })
        .await
    }

    /// Does something in a namespace.
    ///
    /// # Errors
    /// Those of setns(2) and of what is done.
    pub(super) async fn within<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let namespace = namespace.clone();
        self.run(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let ended = || io::Error::other("the threads that enter network namespaces have ended");
        // Whoever asked may have stopped waiting.
        let job: Job = Box::new(move || drop(done.send(work())));
        self.jobs.send(job).map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}
