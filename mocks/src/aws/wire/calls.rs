//! The log of requests.

use crate::aws::wire::scope::Service;
use crate::clock::SimTime;

/// One request that reached a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Region.
    pub region: String,
    /// Service.
    pub service: Service,
    /// Action, for example `CreateRoute`. For EKS the name of the operation at that method and path.
    pub action: String,
    /// When it arrived.
    pub at: SimTime,
    /// Code of the error it was answered with, if any.
    pub error: Option<String>,
}
