//! An emulated Kubernetes cluster: API server, controllers and node agents.

pub mod api;
