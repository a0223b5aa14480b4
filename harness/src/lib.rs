//! `acrossk8s`: a test harness and conformance suite for PingCAP's "Build Multiple Interconnected AWS EKS Clusters".
#![forbid(unsafe_code)]

pub mod cli;
pub mod diagnosis;
pub mod doctor;
pub mod document;
pub mod engine;
pub mod environment;
pub mod events;
pub mod exit;
pub mod faults;
#[cfg(target_os = "linux")]
pub mod inside;
pub mod invariants;
pub mod journal;
pub mod lint;
pub mod observation;
pub mod procedure;
pub mod report;
pub mod run;
pub mod run_directory;
pub mod scenario;
pub mod teardown;
pub mod topology;
