//! EC2: what exists and how it changes.
//!
//! Operations are functions on [`Ec2`] that return EC2's own errors; `wire` translates them to and from the protocol.
//! There is no IAM, no IPv6 and no prefix list; an account begins without a default VPC.

pub mod gateways;
pub mod instances;
pub mod interfaces;
pub mod network_acls;
pub mod peerings;
pub mod regions;
pub mod resource;
pub mod route_tables;
pub mod routes;
pub mod security_groups;
pub mod state;
pub mod subnets;
pub mod tagging;
pub mod vpcs;
pub mod wire;

mod fabric;

pub use fabric::fabric;
pub use interfaces::NewInterface;
pub use peerings::PeeringRequest;
pub use state::*;

#[cfg(test)]
mod tests;
