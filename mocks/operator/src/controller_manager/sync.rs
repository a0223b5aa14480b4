//! One reconciliation of a `TidbCluster`, in the order discovery, PD, TiKV, TiDB, condition
//! (`pingcap/tidb-operator pkg/controller/tidbcluster/tidb_cluster_control.go`).
//!
//! Simplified: objects are applied on the server's side instead of compared with an annotation; a rolling update is
//! left to the StatefulSet without moving leaders before it; claims of removed pods are not marked. A component that
//! cannot be asked keeps its old status, its members unhealthy.

use acrossk8s_mocks::workloads::Container;
use http::Method;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::objects::{Kind, discovery, image, services, stateful_set};
use super::status::{self, ScaleIn};
use crate::api;
use crate::cluster::{Status, TIDB_STATUS_PORT, TidbCluster, TidbMember};
use crate::http::{HttpError, send};
use crate::pd::PdClient;

/// Why a reconciliation ended early. The next one starts over.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The API.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The object does not fit.
    #[error("{0}")]
    Object(#[from] serde_json::Error),
    /// PD refused or was not there.
    #[error(transparent)]
    Pd(#[from] HttpError),
    /// The object has no type.
    #[error("an object without apiVersion and kind")]
    Untyped,
}

const MANAGER: &str = "tidb-controller-manager";

/// Reconciles `TidbCluster`s from a container.
pub struct Syncer {
    /// The operator's container.
    pub container: Container,
    /// The API of its cluster.
    pub client: kube::Client,
    /// Image of discovery.
    pub discovery_image: String,
}

impl Syncer {
    /// Brings one `TidbCluster` a step further, and writes its status. What went wrong on the way is returned after
    /// the status was written.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync(&self, mut object: DynamicObject) -> Result<(), SyncError> {
        let tc = api::read(&object)?;
        if tc.spec.paused || tc.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let mut status = tc.status.clone();
        let outcome = self.components(&tc, &mut status).await;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        status::set_ready(&tc, &mut status, &now);
        if status != tc.status || object.data.get("status").is_none() {
            object.data["status"] = serde_json::to_value(&status)?;
            let clusters = api::clusters(self.client.clone(), tc.namespace());
            clusters.replace(tc.name(), &PostParams::default(), &object).await?;
        }
        outcome
    }

    /// The same for the `TidbCluster` that a StatefulSet belongs to, if there is one still.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync_owner(&self, set: &StatefulSet) -> Result<(), SyncError> {
        let owners = set.metadata.owner_references.iter().flatten();
        let Some(owner) = owners.into_iter().find(|it| it.kind == api::KIND) else { return Ok(()) };
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        match api::clusters(self.client.clone(), namespace).get_opt(&owner.name).await? {
            Some(object) => self.sync(object).await,
            None => Ok(()),
        }
    }

    async fn components(&self, tc: &TidbCluster, status: &mut Status) -> Result<(), SyncError> {
        self.apply(discovery(tc, &self.discovery_image)).await?;
        self.component(tc, status, Kind::Pd, true).await?;
        self.component(tc, status, Kind::Tikv, status::pd_available(tc, status)).await?;
        self.component(tc, status, Kind::Tidb, status::tikv_available(status)).await
    }

    async fn component(&self, tc: &TidbCluster, status: &mut Status, kind: Kind, open: bool) -> Result<(), SyncError> {
        let Some(component) = kind.of(tc) else { return Ok(()) };
        self.apply(services(tc, kind, component)).await?;
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), tc.namespace());
        let set = sets.get_opt(&format!("{}-{}", tc.name(), kind.name())).await?;
        let wanted_image = image(tc, component);
        if let Some(set) = &set {
            let state = serde_json::to_value(&set.status)?;
            let state = Some(state).filter(|state| !state.is_null());
            let phase = status::phase(set, component.replicas, &wanted_image).to_owned();
            let (phase_of, state_of, image_of) = match kind {
                Kind::Pd => (&mut status.pd.phase, &mut status.pd.stateful_set, &mut status.pd.image),
                Kind::Tikv => (&mut status.tikv.phase, &mut status.tikv.stateful_set, &mut status.tikv.image),
                Kind::Tidb => (&mut status.tidb.phase, &mut status.tidb.stateful_set, &mut status.tidb.image),
            };
            (*phase_of, *state_of) = (phase, state);
            let running = running_image(set);
            *image_of = running.clone().unwrap_or_default();
        }
        self.observe(tc, status, kind).await;
        let current = set.as_ref().and_then(|set| set.spec.as_ref()?.replicas);
        if current.is_none() && !open {
            self.container.log.line(format!("{}/{}: {} waits for its gate", tc.namespace(), tc.name(), kind.name()));
            return Ok(());
        }
        let replicas = match current {
            None => component.replicas,
            Some(current) if current < component.replicas => current + 1,
            Some(current) if current > component.replicas => self.scale_in(tc, status, kind, current).await?,
            Some(current) => current,
        };
        let running = set.as_ref().and_then(running_image);
        let image = running.filter(|_| !status::may_upgrade(kind, status)).unwrap_or(wanted_image);
        self.apply(vec![stateful_set(tc, kind, component, replicas, &image)]).await
    }

    /// Reads a component's state over the network. What cannot be read stays as it was, but not healthy.
    async fn observe(&self, tc: &TidbCluster, status: &mut Status, kind: Kind) {
        let pd = PdClient::of(&self.container, tc);
        let read = match kind {
            Kind::Pd => match (pd.members().await, pd.health().await) {
                (Ok(members), Ok(health)) => {
                    status::set_members(tc, status, &members, &health);
                    Ok(())
                }
                (Err(error), _) | (_, Err(error)) => {
                    status.pd.synced = false;
                    status.pd.members.values_mut().for_each(|member| member.health = false);
                    Err(error)
                }
            },
            Kind::Tikv => match (pd.stores().await, pd.tombstones().await) {
                (Ok(stores), Ok(tombstones)) => {
                    status::set_stores(tc, status, &stores, &tombstones);
                    Ok(())
                }
                (Err(error), _) | (_, Err(error)) => {
                    status.tikv.synced = false;
                    Err(error)
                }
            },
            Kind::Tidb => {
                let state = status.tidb.stateful_set.as_ref();
                let replicas = state.and_then(|set| set.get("replicas")).and_then(Value::as_i64).unwrap_or(0);
                status.tidb.members.clear();
                for ordinal in 0..i32::try_from(replicas).unwrap_or(0) {
                    let authority = format!("{}:{TIDB_STATUS_PORT}", tc.pod_domain("tidb", ordinal));
                    let health = send(&self.container, Method::GET, &authority, "/status").await.is_ok();
                    let name = format!("{}-tidb-{ordinal}", tc.name());
                    status.tidb.members.insert(name.clone(), TidbMember { name, health });
                }
                Ok(())
            }
        };
        if let Err(error) = read {
            let (namespace, name, kind) = (tc.namespace(), tc.name(), kind.name());
            self.container.log.line(format!("failed to sync {kind} status of TidbCluster {namespace}/{name}: {error}"));
        }
    }

    /// The number of replicas after what can be done now for one pod less.
    async fn scale_in(&self, tc: &TidbCluster, status: &Status, kind: Kind, current: i32) -> Result<i32, SyncError> {
        let pd = PdClient::of(&self.container, tc);
        let step = match kind {
            Kind::Pd => status::pd_scale_in(tc, status, current),
            Kind::Tikv => status::tikv_scale_in(tc, status, current, pd.max_replicas().await?),
            Kind::Tidb => ScaleIn::Shrink,
        };
        let shrink = match step {
            ScaleIn::Shrink => true,
            ScaleIn::Wait => false,
            ScaleIn::Refuse(why) => {
                self.container.log.line(format!("FailedScaleIn: {why}"));
                false
            }
            ScaleIn::TransferLeader(to, go_on) => {
                pd.transfer_leader(&to).await?;
                go_on
            }
            ScaleIn::DeleteStore(id) => {
                pd.delete_store(&id).await?;
                false
            }
        };
        if shrink && kind == Kind::Pd {
            pd.delete_member(&status::pd_name(tc, current - 1)).await?;
        }
        Ok(if shrink { current - 1 } else { current })
    }

    async fn apply(&self, objects: Vec<Value>) -> Result<(), SyncError> {
        for object in objects {
            let object: DynamicObject = serde_json::from_value(object)?;
            let types = object.types.clone().ok_or(SyncError::Untyped)?;
            let gvk = GroupVersionKind::try_from(types).map_err(|_| SyncError::Untyped)?;
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &ApiResource::from_gvk(&gvk));
            api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await?;
        }
        Ok(())
    }
}

fn running_image(set: &StatefulSet) -> Option<String> {
    set.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.clone()
}
