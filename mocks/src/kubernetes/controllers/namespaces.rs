//! What every namespace gets: a service account and the cluster's root certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};

use super::control_loop::is_conflict;
use super::{Informers, Reconcile, ReconcileError};

/// Gives each namespace the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` once. The certificate is
/// empty: the emulated API server speaks plain HTTP.
pub struct Namespaces {
    client: Client,
    informers: Arc<Informers>,
    /// Uids of the namespaces that have theirs.
    done: BTreeSet<String>,
}

impl Namespaces {
    /// A controller.
    pub fn new(client: Client, informers: Arc<Informers>) -> Self {
        Self { client, informers, done: BTreeSet::new() }
    }
}

impl Reconcile for Namespaces {
    const NAME: &'static str = "namespace";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        for namespace in self.informers.namespaces.list() {
            let uid = namespace.uid().unwrap_or_default();
            if namespace.metadata.deletion_timestamp.is_some() || self.done.contains(&uid) {
                continue;
            }
            let name = namespace.name_any();
            let meta = |object: &str| ObjectMeta {
                name: Some(object.to_owned()),
                namespace: Some(name.clone()),
                ..ObjectMeta::default()
            };
            let account = ServiceAccount { metadata: meta("default"), ..ServiceAccount::default() };
            let roots = ConfigMap {
                metadata: meta("kube-root-ca.crt"),
                data: Some(BTreeMap::from([("ca.crt".to_owned(), String::new())])),
                ..ConfigMap::default()
            };
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &name);
            ignore_existing(accounts.create(&PostParams::default(), &account).await)?;
            let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &name);
            ignore_existing(config_maps.create(&PostParams::default(), &roots).await)?;
            self.done.insert(uid);
        }
        Ok(())
    }
}

fn ignore_existing<T>(answer: Result<T, kube::Error>) -> Result<(), ReconcileError> {
    match answer {
        Err(error) if !is_conflict(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
