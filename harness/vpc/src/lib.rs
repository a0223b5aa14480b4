//! AWS's documented rules of routing, VPC peering, security groups, network ACLs and Network Load Balancers as pure
//! functions.
//!
//! A [`Fabric`] is a plain snapshot of what AWS knows about one account's networks. The functions of this crate decide
//! from it, with no I/O and no clock, whether a packet arrives and, if not, what stops it first. The in-process network
//! of the mocks uses them to carry packets, and the harness uses them to explain why a probe failed.
#![forbid(unsafe_code)]

mod fabric;

pub use fabric::*;
