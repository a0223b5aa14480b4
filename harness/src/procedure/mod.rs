//! The documented procedure as steps: one file for each section of the document, in its order, and the graph of tasks
//! that they make for a topology.
//!
//! A step is one documented action; a task is a step for one cluster, one pair or one direction. Every task *ensures*:
//! it looks for what it would make before it makes it, so applying twice changes nothing.

mod cluster_config;
mod clusters;
pub(crate) mod coredns;
pub(crate) mod dns;
pub(crate) mod exec;
mod failure;
pub(crate) mod load_balancers;
pub(crate) mod manifest;
pub(crate) mod nginx;
mod omission;
mod peering;
pub(crate) mod probers;
mod resource;
mod routes;
mod security_groups;
mod steps;
mod storage;
mod world;

pub use cluster_config::cluster_config;
pub use coredns::zones_for;
pub use failure::{aws_failure, kube_failure};
pub use nginx::url_of;
pub use omission::Omission;
pub(crate) use peering::filter;
pub use resource::{Found, RUN_TAG, Resource};
pub(crate) use routes::{add_routes_through, effective_tables, target_of};
pub(crate) use security_groups::documented_group;
pub use steps::{Body, Each, Phase, STEPS, Scope, Step, StepId, Task, task_id, tasks};
pub(crate) use world::client_of;
pub use world::{ClusterFacts, Facts, World};
