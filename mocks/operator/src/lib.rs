//! Emulated TiDB Operator: its manifests, controller manager and discovery service.
//!
//! It runs on the emulated network as the real one runs on a real network: what it knows of PD, TiKV and TiDB it reads
//! over HTTP from its pod, by name.
#![deny(unsafe_code)]

pub mod api;
pub mod cluster;
pub mod controller_manager;
pub mod discovery;
pub mod http;
pub mod image;
pub mod manifest;
pub mod pd;
#[cfg(test)]
mod testing;
