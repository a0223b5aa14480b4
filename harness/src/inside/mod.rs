//! Stepping into a host of a lab on the kernel's network: running a program of this machine there, and capturing packets.
//!
//! ```text
//! acrossk8s exec          the command that a person started; waits, passes signals on
//!   └ acrossk8s init      first process of a PID namespace, in the host's network namespace; waits for the lab's end
//!       └ the program
//! ```
//!
//! Nothing of it outlives the lab: `init` holds a connection to the lab's control port, and when that ends, however the lab
//! ends, so does `init`, and with the first process of a PID namespace the kernel kills every other one in it, detached or
//! stopped. The mounts are those of a mount namespace that goes with them.
//!
//! What the program sees is this machine, but for its network, its hostname, `/etc/resolv.conf` and `/etc/hosts`, which
//! are the pod's, and `/proc` and `/sys`, which follow from that. Simplified: a pod's volumes and environment are not
//! there, and what a program leaves in the background ends with it.

pub mod capture;
mod cooked;
mod door;
mod enter;
mod init;
mod mounts;
mod select;

pub use door::{Door, EnterError};
pub use enter::run;
pub use init::init;
pub use select::{SelectError, Wanted, find};
