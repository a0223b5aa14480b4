//! AWS's documented rules of routing, VPC peering, security groups, network ACLs and Network Load Balancers as pure
//! functions.
//!
//! A [`Fabric`] is a plain snapshot of what AWS knows about one account's networks. The functions of this crate decide
//! from it, with no I/O and no clock, whether a packet arrives and, if not, what stops it first. The in-process network
//! of the mocks uses them to carry packets, and the harness uses them to explain why a probe failed.
//!
//! Start at [`trace`], or at [`Prepared`] for many questions about one fabric.
#![forbid(unsafe_code)]

mod cidr;
mod fabric;
mod hop;
mod index;
mod load_balancer;
mod network_acl;
mod resolver;
mod route;
mod security_group;
mod stop;
mod trace;
mod traffic;
mod translation;
mod walk;

pub use cidr::*;
pub use fabric::*;
pub use hop::*;
pub use index::Prepared;
pub use load_balancer::*;
pub use network_acl::*;
pub use resolver::*;
pub use route::*;
pub use security_group::*;
pub use stop::{CODES, Stop, Way};
pub use trace::*;
pub use traffic::*;
pub use translation::*;
