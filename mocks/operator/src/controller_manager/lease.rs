//! Leader election by a Lease (`k8s.io/client-go tools/leaderelection`): what another holds is taken when it has not
//! been seen renewed for its duration, by the own clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};

/// Name of the Lease.
pub const NAME: &str = "tidb-controller-manager";
/// How long a Lease holds without being renewed.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long a leader tries to renew before it gives up.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is tried.
pub const RETRY: Duration = Duration::from_secs(2);

/// A candidate.
pub struct Elector {
    leases: Api<Lease>,
    identity: String,
    /// What another's Lease was seen as, and when first.
    seen: Option<(LeaseSpec, Duration)>,
}

impl Elector {
    /// A candidate by its pod's name.
    pub fn new(client: kube::Client, namespace: &str, identity: &str) -> Self {
        Elector { leases: Api::namespaced(client, namespace), identity: identity.to_owned(), seen: None }
    }

    /// Takes or renews the Lease. Whether it is held now.
    pub async fn hold(&mut self, now: Duration) -> bool {
        let time = MicroTime(k8s_openapi::jiff::Timestamp::now());
        let mut spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(time.clone()),
            renew_time: Some(time),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        };
        let Ok(found) = self.leases.get_opt(NAME).await else { return false };
        let params = PostParams::default();
        let Some(mut lease) = found else {
            let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
            return self.leases.create(&params, &Lease { metadata, spec: Some(spec) }).await.is_ok();
        };
        let old = lease.spec.take().unwrap_or_default();
        let holder = old.holder_identity.clone().unwrap_or_default();
        let transitions = old.lease_transitions.unwrap_or(0);
        if holder == self.identity {
            (spec.acquire_time, spec.lease_transitions) = (old.acquire_time, Some(transitions));
        } else {
            if !holder.is_empty() && !self.expired(&old, now) {
                return false;
            }
            spec.lease_transitions = Some(transitions + 1);
        }
        lease.spec = Some(spec);
        self.leases.replace(NAME, &params, &lease).await.is_ok()
    }

    /// Whether another's Lease has not changed for its duration.
    fn expired(&mut self, lease: &LeaseSpec, now: Duration) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == lease => now.saturating_sub(*since) >= DURATION,
            _ => {
                self.seen = Some((lease.clone(), now));
                false
            }
        }
    }
}
