//! Faults that a test puts into the answers.

use crate::aws::AwsError;
use crate::aws::wire::scope::Service;

/// Which requests fail, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    service: Option<Service>,
    region: Option<String>,
    action: Option<String>,
    schedule: Schedule,
    error: Option<AwsError>,
    seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schedule {
    Next(u64),
    Every(u64),
}

impl Fault {
    /// Throttles the next request: `RequestLimitExceeded` (HTTP 503) of EC2, `Throttling` (400) of ELBv2 and STS,
    /// `ThrottlingException` (429) of EKS.
    pub fn throttle() -> Self {
        Self { service: None, region: None, action: None, schedule: Schedule::Next(1), error: None, seen: 0 }
    }

    /// Answers the next request with this error.
    pub fn error(error: AwsError) -> Self {
        Self { error: Some(error), ..Self::throttle() }
    }

    /// Only requests to this service.
    pub fn service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Only requests to this region.
    pub fn region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    /// Only requests for this action.
    pub fn action(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    /// The next `count` matching requests fail.
    pub fn next(self, count: u64) -> Self {
        Self { schedule: Schedule::Next(count), ..self }
    }

    /// Every `k`-th matching request fails; none if `k` is 0.
    pub fn every(self, k: u64) -> Self {
        Self { schedule: Schedule::Every(k), ..self }
    }

    fn strikes(&mut self, service: Service, region: &str, action: &str) -> Option<AwsError> {
        let matches = self.service.is_none_or(|wanted| wanted == service)
            && self.region.as_deref().is_none_or(|wanted| wanted == region)
            && self.action.as_deref().is_none_or(|wanted| wanted == action);
        if !matches {
            return None;
        }
        self.seen += 1;
        let strikes = match self.schedule {
            Schedule::Next(count) => self.seen <= count,
            Schedule::Every(k) => self.seen.checked_rem(k) == Some(0),
        };
        strikes.then(|| self.error.clone().unwrap_or_else(|| throttled(service)))
    }
}

/// The faults of an account, in the order they were put in; the first that strikes decides.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn strike(&mut self, service: Service, region: &str, action: &str) -> Option<AwsError> {
        let error = self.0.iter_mut().find_map(|fault| fault.strikes(service, region, action));
        self.0.retain(|fault| !matches!(fault.schedule, Schedule::Next(count) if fault.seen >= count));
        error
    }
}

fn throttled(service: Service) -> AwsError {
    match service {
        Service::Ec2 => AwsError::with_status(503, "RequestLimitExceeded", "Request limit exceeded."),
        Service::Elbv2 | Service::Sts => AwsError::client("Throttling", "Rate exceeded"),
        Service::Eks => AwsError::with_status(429, "ThrottlingException", "Rate exceeded"),
    }
}
