//! Events: what `kubectl describe` shows of an object's history.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

use crate::kubernetes::cluster::Tasks;

/// Writes events beside the work of those who report them, in their order. A failure to write one is only logged.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::UnboundedSender<Event>);

impl Recorder {
    /// Starts to write.
    pub fn start(client: Client, tasks: &Tasks) -> Self {
        let (sender, mut events) = mpsc::unbounded_channel::<Event>();
        tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                let namespace = event.metadata.namespace.as_deref().unwrap_or("default").to_owned();
                let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
                if let Err(error) = api.create(&PostParams::default(), &event).await {
                    tracing::debug!(%error, reason = event.reason, "event not written");
                }
            }
        });
        Self(sender)
    }

    /// Reports something about an object. `component` is the reporter, for example `kubelet`.
    pub fn event<K>(&self, component: &str, object: &K, severity: Severity, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        let meta = object.meta();
        let namespace = meta.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = meta.name.clone().unwrap_or_default();
        let now = Time(jiff::Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}.")),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: Some(name),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                ..ObjectReference::default()
            },
            type_: Some(severity.name().to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.into()),
            source: Some(EventSource { component: Some(component.to_owned()), host: None }),
            reporting_component: Some(component.to_owned()),
            reporting_instance: Some(String::new()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        // Without receiver the cluster is stopping.
        let _ = self.0.send(event);
    }
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As expected.
    Normal,
    /// A problem.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}
