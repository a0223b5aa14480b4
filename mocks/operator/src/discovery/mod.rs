//! The discovery service of a `TidbCluster`.

pub mod decision;
#[cfg(test)]
mod decision_tests;
pub mod server;
#[cfg(test)]
mod server_tests;
