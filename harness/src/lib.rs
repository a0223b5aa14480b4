//! `acrossk8s`: a test harness and conformance suite for PingCAP's "Build Multiple Interconnected AWS EKS Clusters".
#![forbid(unsafe_code)]

pub mod document;
pub mod invariants;
pub mod observation;
pub mod scenario;
pub mod topology;
