//! One pod on a node, from its binding to its end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::container::{Phase, Slot};
use super::status::{self, Transitions};
use super::volumes::{self, Files};
use super::{NodeAgent, NodeSpec, Site};
use crate::kubernetes::controllers::control_loop::{is_conflict, is_not_found};
use crate::kubernetes::controllers::events::Severity;
use crate::kubernetes::controllers::key_of;
use crate::network::Host;

/// Wait before something that failed on the node is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Runs one pod.
pub(super) struct PodWorker {
    agent: Arc<NodeAgent>,
    object: Arc<Pod>,
    slots: Vec<Slot>,
    host: OnceLock<Arc<dyn Host>>,
    started: jiff::Timestamp,
    transitions: Mutex<Transitions>,
    /// Counts changes that the status has to tell.
    revision: watch::Sender<u64>,
}

/// Why a worker stops its pod.
enum End {
    /// It is to be deleted within so many seconds.
    Delete { grace: u64 },
    /// It is gone from the API.
    Gone,
}

impl PodWorker {
    pub(super) fn new(agent: Arc<NodeAgent>, object: Arc<Pod>) -> Self {
        let spec = object.spec.clone().unwrap_or_default();
        let init = spec.init_containers.unwrap_or_default().into_iter().map(|spec| Slot::new(spec, true));
        let main = spec.containers.into_iter().map(|spec| Slot::new(spec, false));
        Self {
            agent,
            slots: init.chain(main).collect(),
            object,
            host: OnceLock::new(),
            started: jiff::Timestamp::now(),
            transitions: Mutex::default(),
            revision: watch::Sender::new(0),
        }
    }

    pub(super) fn site(&self) -> &Site {
        &self.agent.site
    }

    pub(super) fn node(&self) -> &NodeSpec {
        &self.agent.spec
    }

    pub(super) fn object(&self) -> &Pod {
        &self.object
    }

    pub(super) fn host(&self) -> Option<&Arc<dyn Host>> {
        self.host.get()
    }

    pub(super) fn is_on_host_network(&self) -> bool {
        self.object.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
    }

    /// The name that its programs see.
    pub(super) fn hostname(&self) -> String {
        match self.object.spec.as_ref().and_then(|spec| spec.hostname.clone()) {
            Some(hostname) => hostname,
            None if self.is_on_host_network() => self.node().name.clone(),
            None => self.object.name_any(),
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn restart_policy(&self) -> &str {
        self.object.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
    }

    pub(super) fn changed(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn event(&self, severity: Severity, reason: &str, message: impl Into<String>) {
        self.site().recorder.event("kubelet", self.object.as_ref(), severity, reason, message);
    }

    /// Runs the pod until it is deleted.
    pub(super) async fn run(self: Arc<Self>, mut object: watch::Receiver<Option<Arc<Pod>>>) {
        let stop = self.site().tasks.token().child_token();
        let end = {
            // Subscribed before anything can change.
            let mut publish = pin!(self.publish(self.revision.subscribe()));
            let mut live = pin!(self.live(&stop));
            let end = tokio::select! {
                end = ends(&mut object) => Some(end),
                () = &mut live => None,
                () = &mut publish => None,
            };
            match end {
                Some(End::Gone) => End::Gone,
                Some(End::Delete { grace }) => {
                    stop.cancel();
                    let overdue = self.site().clock.sleep(Duration::from_secs(grace));
                    tokio::select! {
                        () = live => {}
                        () = overdue => {}
                        () = gone(&mut object) => {}
                        () = publish => {}
                    }
                    End::Delete { grace }
                }
                // All its containers have ended for good: it stays until somebody deletes it, without its address.
                None => {
                    self.disconnect().await;
                    tokio::select! {
                        end = ends(&mut object) => end,
                        () = publish => End::Gone,
                    }
                }
            }
        };
        stop.cancel();
        self.disconnect().await;
        if let End::Delete { .. } = end {
            self.delete().await;
        }
        self.agent.forget(&key_of(self.object.as_ref()));
    }

    async fn disconnect(&self) {
        if let Some(host) = self.host.get() {
            self.agent.disconnect_pod(host.address()).await;
        }
    }

    /// Starts the pod and lives until its containers have ended for good.
    async fn live(&self, stop: &CancellationToken) {
        let start = async { (self.mount().await, self.connect().await) };
        let Some((volumes, host)) = stop.run_until_cancelled(start).await else { return };
        let publish = |now: Arc<BTreeMap<String, Files>>| {
            self.slots.iter().for_each(|slot| slot.mount(&now, &volumes));
        };
        let volumes_sync = volumes::sync(self.site(), &self.object, Arc::clone(&volumes), publish);
        let containers = async {
            for slot in self.slots.iter().filter(|slot| slot.init) {
                if !slot.run(self, &host, stop).await {
                    return;
                }
            }
            join_all(self.slots.iter().filter(|slot| !slot.init).map(|slot| slot.run(self, &host, stop))).await;
        };
        tokio::select! {
            () = containers => {}
            () = volumes_sync => {}
        }
    }

    /// Mounts the volumes as soon as everything that they need exists.
    async fn mount(&self) -> Arc<BTreeMap<String, Files>> {
        let site = self.site();
        let mut objects = [site.informers.config_maps.subscribe(), site.informers.secrets.subscribe()];
        let mut reported = String::new();
        loop {
            for object in &mut objects {
                object.borrow_and_update();
            }
            match volumes::contents(site, &self.object) {
                Ok(contents) => {
                    self.slots.iter().for_each(|slot| slot.mount(&contents, &contents));
                    return Arc::new(contents);
                }
                Err(missing) if missing != reported => {
                    self.event(Severity::Warning, "FailedMount", missing.as_str());
                    reported = missing;
                    self.changed();
                }
                Err(_) => {}
            }
            let [config_maps, secrets] = &mut objects;
            tokio::select! {
                _ = config_maps.changed() => {}
                _ = secrets.changed() => {}
            }
        }
    }

    async fn connect(&self) -> Arc<dyn Host> {
        loop {
            match self.agent.connect_pod(&self.object).await {
                Ok(host) => return Arc::clone(self.host.get_or_init(|| host)),
                Err(error) => {
                    self.event(
                        Severity::Warning,
                        "FailedCreatePodSandBox",
                        format!("Failed to create pod sandbox: {error}"),
                    );
                    self.changed();
                    self.site().clock.sleep(RETRY).await;
                }
            }
        }
    }

    /// Writes the status whenever it has changed, for as long as the pod exists.
    async fn publish(&self, mut changes: watch::Receiver<u64>) {
        let api: Api<Pod> = self.api();
        let mut written = Value::Null;
        loop {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            let status = self.status();
            if status == written {
                continue;
            }
            let patch = Patch::Merge(json!({ "metadata": { "uid": self.object.uid() }, "status": status }));
            match api.patch_status(&self.object.name_any(), &PatchParams::default(), &patch).await {
                Ok(pod) => {
                    self.site().informers.pods.observe(pod);
                    written = status;
                }
                // Gone, or another of this name: the watch will tell.
                Err(error) if is_not_found(&error) || is_conflict(&error) => {}
                Err(error) => {
                    tracing::debug!(pod = self.object.name_any(), %error, "status not written");
                    self.site().clock.sleep(RETRY).await;
                    self.changed();
                }
            }
        }
    }

    fn status(&self) -> Value {
        let known =
            self.site().informers.pods.get(&self.object.namespace().unwrap_or_default(), &self.object.name_any());
        status::status(status::Input {
            known: known.as_deref().unwrap_or(&self.object),
            slots: &self.slots,
            restart_policy: self.restart_policy(),
            address: self.host.get().map(|host| host.address()),
            node: self.agent.spec.address,
            started: self.started,
            transitions: &mut self.transitions.lock(),
        })
    }

    async fn delete(&self) {
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.object.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = self.object.name_any();
        loop {
            match self.api().delete(&name, &parameters).await {
                Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
                    tracing::debug!(pod = name, %error, "not deleted");
                    self.site().clock.sleep(RETRY).await;
                }
                _ => return,
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.site().client.clone(), &self.object.namespace().unwrap_or_default())
    }

    /// The reason why a container does not run, for messages.
    pub(super) fn waiting_reason(slot: &Slot) -> String {
        match &slot.state.lock().phase {
            Phase::Waiting { reason, .. } => (*reason).to_owned(),
            Phase::Running { .. } => "Running".to_owned(),
            Phase::Terminated(_) => "Completed".to_owned(),
        }
    }
}

/// Waits until the pod is to be deleted, or gone.
async fn ends(object: &mut watch::Receiver<Option<Arc<Pod>>>) -> End {
    let is_ending =
        |object: &Option<Arc<Pod>>| object.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    match object.wait_for(is_ending).await.as_deref() {
        Ok(Some(pod)) => {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            End::Delete { grace: u64::try_from(grace).unwrap_or(0) }
        }
        _ => End::Gone,
    }
}

async fn gone(object: &mut watch::Receiver<Option<Arc<Pod>>>) {
    // Without sender the agent is gone, and its pods with it.
    let _ = object.wait_for(Option::is_none).await;
}
