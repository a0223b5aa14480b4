//! The wire protocols: EC2 and ELBv2/STS query with XML, EKS REST with JSON.

pub mod calls;
pub mod dispatch;
pub mod faults;
pub mod filters;
pub mod pagination;
pub mod params;
pub mod scope;
pub mod server;
pub mod time;
pub mod xml;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
