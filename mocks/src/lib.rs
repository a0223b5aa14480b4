//! Emulated AWS, Kubernetes, network and workloads: everything that the embedded environment of `acrossk8s` runs on,
//! usable on its own.
#![deny(unsafe_code)]

pub mod aws;
pub mod clock;
pub mod eksctl;
pub mod kubernetes;
pub mod lab;
pub mod network;
pub mod workloads;
