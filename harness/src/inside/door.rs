//! Where a host is entered, and entering it.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use acrossk8s_mocks::lab::HostFiles;
use acrossk8s_mocks::network::NetworkNamespace;
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

/// Everything that a process needs to enter a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Full name of the host.
    pub host: String,
    /// Process of the lab.
    pub lab: u32,
    /// Control port of the lab.
    pub control: SocketAddr,
    /// The host's network, in the lab's process.
    pub namespace: NetworkNamespace,
    /// What its programs see in `/etc`; none leaves the machine's own.
    pub files: Option<HostFiles>,
}

/// Why a host cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The lab has ended.
    #[error("the lab (process {lab}) has ended, and everything in it: {source}")]
    Ended {
        /// Its process.
        lab: u32,
        /// What came of asking it.
        source: io::Error,
    },
    /// The host is gone, and what it was is no more or something else.
    #[error("{host} is gone from the lab\n  to mend it: look at what there is, a pod may have been replaced")]
    Gone {
        /// The host.
        host: String,
    },
    /// The kernel refuses.
    #[error("{what}: {source}\n  to mend it: be the user who started the lab; for a lab of root, root")]
    Refused {
        /// What was attempted.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("{program}: {source}")]
    Program {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
}

/// Says what was attempted when the kernel refuses it.
pub(super) trait OrRefused<T> {
    fn or_refused(self, what: impl Into<String>) -> Result<T, EnterError>;
}

impl<T, E: Into<io::Error>> OrRefused<T> for Result<T, E> {
    fn or_refused(self, what: impl Into<String>) -> Result<T, EnterError> {
        self.map_err(|error| EnterError::Refused { what: what.into(), source: error.into() })
    }
}

impl Door {
    /// A connection that ends when the lab does. To be made before the host is entered: the lab is not on its network.
    pub(super) fn until_the_end(&self) -> Result<TcpStream, EnterError> {
        TcpStream::connect(self.control).map_err(|source| EnterError::Ended { lab: self.lab, source })
    }

    /// Joins the user namespace of the lab, where it is another: it owns the network. Only a process of one thread can.
    pub(super) fn join_user_namespace(&self) -> Result<(), EnterError> {
        let what = "the user namespace of the lab cannot be joined";
        let theirs = File::open(format!("/proc/{}/ns/user", self.lab)).or_refused(what)?;
        let ours = File::open("/proc/self/ns/user").or_refused(what)?;
        if identity(&theirs).or_refused(what)? == identity(&ours).or_refused(what)? {
            return Ok(());
        }
        setns(theirs, CloneFlags::CLONE_NEWUSER).or_refused(what)
    }

    /// Joins the network of the host.
    pub(super) fn join_network(&self) -> Result<(), EnterError> {
        let what = format!("the network of {} cannot be joined", self.host);
        let path = format!("/proc/{}/fd/{}", self.lab, self.namespace.descriptor);
        let namespace = match File::open(Path::new(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.gone()),
            opened => opened.or_refused(&what)?,
        };
        // Something else may have the descriptor by now.
        if namespace.metadata().or_refused(&what)?.ino() != self.namespace.inode {
            return Err(self.gone());
        }
        setns(namespace, CloneFlags::CLONE_NEWNET).or_refused(what)
    }

    fn gone(&self) -> EnterError {
        EnterError::Gone { host: self.host.clone() }
    }
}

/// What tells namespaces apart (namespaces(7)).
fn identity(namespace: &File) -> io::Result<(u64, u64)> {
    let metadata = namespace.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}
