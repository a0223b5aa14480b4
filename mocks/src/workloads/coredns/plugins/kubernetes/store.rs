//! What the plugin knows of its cluster: the objects that it watches, reduced to what DNS needs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// Namespace and name.
pub(super) type Key = (String, String);

/// The view of a cluster.
#[derive(Debug, Default)]
pub(in super::super::super) struct Store {
    objects: RwLock<Objects>,
    synced: watch::Sender<Synced>,
}

/// Which kinds have been listed once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Synced {
    services: bool,
    slices: bool,
    namespaces: bool,
    pods: bool,
}

/// The objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub services: BTreeMap<Key, ServiceFacts>,
    pub slices: BTreeMap<Key, SliceFacts>,
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub pods: BTreeMap<Key, Vec<IpAddr>>,
    /// Grows with each change, for the SOA record.
    pub serial: u32,
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceFacts {
    pub external_name: Option<String>,
    /// Addresses of the service; none when it is headless.
    pub cluster_ips: Vec<IpAddr>,
    pub ports: Vec<Port>,
    pub labels: BTreeMap<String, String>,
}

/// A named port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Port {
    pub name: String,
    /// In lower case.
    pub protocol: String,
    pub port: u16,
}

/// A slice of a service's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SliceFacts {
    pub service: String,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<Port>,
}

/// A ready endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub address: IpAddr,
    pub hostname: Option<String>,
    /// Name of the object behind it, a pod's.
    pub target: Option<String>,
}

/// A kind that is watched.
pub(super) trait Watched: Sized {
    /// Takes an object in, in the place of its earlier state.
    fn put(&self, objects: &mut Objects);
    /// Takes it out.
    fn remove(&self, objects: &mut Objects);
    /// Forgets all of its kind.
    fn clear(objects: &mut Objects);
    /// Notes that all of its kind have been listed.
    fn mark(synced: &mut Synced);
}

impl Store {
    /// Takes an object in.
    pub(super) fn put<K: Watched>(&self, object: &K) {
        let mut objects = self.objects.write();
        object.put(&mut objects);
        objects.serial = objects.serial.wrapping_add(1);
    }

    /// Takes an object out.
    pub(super) fn remove<K: Watched>(&self, object: &K) {
        let mut objects = self.objects.write();
        object.remove(&mut objects);
        objects.serial = objects.serial.wrapping_add(1);
    }

    /// Replaces all objects of a kind by what a list holds.
    pub(super) fn replace<K: Watched>(&self, listed: &[K]) {
        let mut objects = self.objects.write();
        K::clear(&mut objects);
        for object in listed {
            object.put(&mut objects);
        }
        objects.serial = objects.serial.wrapping_add(1);
        drop(objects);
        self.synced.send_modify(K::mark);
    }

    /// Whether everything that answers need has been listed.
    pub fn has_synced(&self, pods: bool) -> bool {
        complete(*self.synced.borrow(), pods)
    }

    /// Waits until everything that answers need has been listed.
    pub async fn synced(&self, pods: bool) {
        // The sender lives as long as the store, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| complete(*synced, pods)).await;
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read()
    }
}

fn complete(synced: Synced, pods: bool) -> bool {
    synced.services && synced.slices && synced.namespaces && (synced.pods || !pods)
}

fn key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn port(number: i32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

impl Watched for Service {
    fn put(&self, objects: &mut Objects) {
        let spec = self.spec.clone().unwrap_or_default();
        let cluster_ips = spec.cluster_ips.unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
        let facts = ServiceFacts {
            external_name: spec.external_name.filter(|_| spec.type_.as_deref() == Some("ExternalName")),
            cluster_ips: cluster_ips.iter().filter_map(|address| address.parse().ok()).collect(),
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(|it| Port {
                    name: it.name.unwrap_or_default(),
                    protocol: it.protocol.unwrap_or_else(|| "TCP".to_owned()).to_ascii_lowercase(),
                    port: port(it.port),
                })
                .collect(),
            labels: self.metadata.labels.clone().unwrap_or_default(),
        };
        objects.services.insert(key(&self.metadata), facts);
    }

    fn remove(&self, objects: &mut Objects) {
        objects.services.remove(&key(&self.metadata));
    }

    fn clear(objects: &mut Objects) {
        objects.services.clear();
    }

    fn mark(synced: &mut Synced) {
        synced.services = true;
    }
}

impl Watched for EndpointSlice {
    fn put(&self, objects: &mut Objects) {
        let labels = self.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|labels| labels.get("kubernetes.io/service-name")) else {
            return self.remove(objects);
        };
        let mut endpoints = Vec::new();
        for endpoint in &self.endpoints {
            // Endpoints without the condition count as ready (the API's documentation of EndpointConditions).
            if endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(false) {
                continue;
            }
            endpoints.extend(endpoint.addresses.iter().filter_map(|address| {
                Some(Endpoint {
                    address: address.parse().ok()?,
                    hostname: endpoint.hostname.clone().filter(|hostname| !hostname.is_empty()),
                    target: endpoint.target_ref.as_ref().and_then(|target| target.name.clone()),
                })
            }));
        }
        let mut ports: Vec<Port> = self
            .ports
            .iter()
            .flatten()
            .map(|it| Port {
                name: it.name.clone().unwrap_or_default(),
                protocol: it.protocol.clone().unwrap_or_else(|| "TCP".to_owned()).to_ascii_lowercase(),
                port: it.port.map(port).unwrap_or_default(),
            })
            .collect();
        if ports.is_empty() {
            // A slice without ports still has addresses.
            ports.push(Port::default());
        }
        objects.slices.insert(key(&self.metadata), SliceFacts { service: service.clone(), endpoints, ports });
    }

    fn remove(&self, objects: &mut Objects) {
        objects.slices.remove(&key(&self.metadata));
    }

    fn clear(objects: &mut Objects) {
        objects.slices.clear();
    }

    fn mark(synced: &mut Synced) {
        synced.slices = true;
    }
}

impl Watched for Namespace {
    fn put(&self, objects: &mut Objects) {
        let name = self.metadata.name.clone().unwrap_or_default();
        objects.namespaces.insert(name, self.metadata.labels.clone().unwrap_or_default());
    }

    fn remove(&self, objects: &mut Objects) {
        objects.namespaces.remove(self.metadata.name.as_deref().unwrap_or_default());
    }

    fn clear(objects: &mut Objects) {
        objects.namespaces.clear();
    }

    fn mark(synced: &mut Synced) {
        synced.namespaces = true;
    }
}

impl Watched for Pod {
    fn put(&self, objects: &mut Objects) {
        let status = self.status.clone().unwrap_or_default();
        let listed = status.pod_ips.unwrap_or_default().into_iter().map(|it| it.ip);
        let mut addresses: Vec<IpAddr> =
            listed.chain(status.pod_ip).filter_map(|address| address.parse().ok()).collect();
        addresses.dedup();
        objects.pods.insert(key(&self.metadata), addresses);
    }

    fn remove(&self, objects: &mut Objects) {
        objects.pods.remove(&key(&self.metadata));
    }

    fn clear(objects: &mut Objects) {
        objects.pods.clear();
    }

    fn mark(synced: &mut Synced) {
        synced.pods = true;
    }
}
