//! An emulated Kubernetes cluster: API server, controllers and node agents.

pub mod api;
pub mod cluster;
pub mod controllers;
pub mod node;
