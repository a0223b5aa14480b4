//! Reading AWS, Kubernetes and probes into an [`Observation`].

mod model;

pub use model::*;
