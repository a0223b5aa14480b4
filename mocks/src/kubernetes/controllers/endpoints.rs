//! EndpointSlices and Endpoints: which pods stand behind a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort as CorePort, EndpointSubset, Endpoints, ObjectReference, Pod, Service, ServicePort,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};

use super::control_loop::{is_conflict, is_not_found};
use super::{Informers, Key, Reconcile, ReconcileError, key_of, pods};

/// Label of a slice: the Service it belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Keeps the EndpointSlices and the Endpoints of Services with a selector. A slice takes any number of endpoints here
/// (upstream splits after 100), and only IPv4 is known.
pub struct EndpointsController {
    client: Client,
    informers: Arc<Informers>,
    /// What was last written to Endpoints objects.
    written: BTreeMap<Key, Vec<EndpointSubset>>,
}

/// Ports that a group of pods resolves a Service's ports to: name, protocol, number, application protocol.
type Ports = Vec<(String, String, i32, Option<String>)>;

impl EndpointsController {
    /// A controller.
    pub fn new(client: Client, informers: Arc<Informers>) -> Self {
        Self { client, informers, written: BTreeMap::new() }
    }

    async fn sync_slices(
        &self,
        service: &Service,
        groups: &BTreeMap<Ports, Vec<Arc<Pod>>>,
    ) -> Result<(), ReconcileError> {
        let mut existing = self.slices_of(service);
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
        let mut wanted: Vec<(Ports, Vec<Endpoint>)> = Vec::new();
        for (ports, pods) in groups {
            wanted.push((ports.clone(), pods.iter().map(|pod| self.endpoint(service, pod)).collect()));
        }
        if wanted.is_empty() {
            wanted.push((Ports::new(), Vec::new()));
        }
        // Slices that keep their ports are kept first; the rest are given new ones.
        wanted.sort_by_key(|(ports, _)| !existing.iter().any(|slice| slice_ports(slice) == *ports));
        for (ports, endpoints) in wanted {
            let position = existing.iter().position(|slice| slice_ports(slice) == ports);
            let reused = position.or((!existing.is_empty()).then_some(0));
            let known = reused.map(|index| existing.remove(index));
            let slice = slice(service, &ports, endpoints);
            let written = match known {
                Some(known) if same(&known, &slice) => continue,
                Some(known) => {
                    let name = known.name_any();
                    let mut next = known.as_ref().clone();
                    (next.metadata.labels, next.ports, next.endpoints) =
                        (slice.metadata.labels, slice.ports, slice.endpoints);
                    api.replace(&name, &PostParams::default(), &next).await
                }
                None => api.create(&PostParams::default(), &slice).await,
            };
            match written {
                Ok(slice) => self.informers.slices.observe(slice),
                // The namespace or the Service is going.
                Err(error) if is_not_found(&error) || is_forbidden(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for slice in existing {
            delete(&api, &slice.name_any()).await?;
        }
        Ok(())
    }

    fn slices_of(&self, service: &Service) -> Vec<Arc<EndpointSlice>> {
        let name = service.name_any();
        let slices = self.informers.slices.list().into_iter();
        let own = slices.filter(|slice| {
            slice.namespace() == service.namespace()
                && slice.labels().get(SERVICE_NAME) == Some(&name)
                && slice.labels().get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
        });
        own.collect()
    }

    fn endpoint(&self, service: &Service, pod: &Pod) -> Endpoint {
        let serving = pods::is_ready(pod);
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let publish = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
        let zone = pods::node(pod).and_then(|name| self.informers.nodes.get("", name));
        Endpoint {
            addresses: address(pod).map(str::to_owned).into_iter().collect(),
            conditions: Some(EndpointConditions {
                ready: Some(publish || (serving && !terminating)),
                serving: Some(serving),
                terminating: Some(terminating),
            }),
            hostname: hostname(service, pod),
            node_name: pods::node(pod).map(str::to_owned),
            target_ref: Some(target(pod)),
            zone: zone.and_then(|node| node.labels().get(ZONE).cloned()),
            ..Endpoint::default()
        }
    }

    async fn sync_endpoints(
        &mut self,
        service: &Service,
        groups: &BTreeMap<Ports, Vec<Arc<Pod>>>,
    ) -> Result<(), ReconcileError> {
        let publish = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
        let mut subsets = Vec::new();
        for (ports, pods) in groups {
            let (mut ready, mut not_ready) = (Vec::new(), Vec::new());
            for pod in pods {
                if pod.metadata.deletion_timestamp.is_some() && !publish {
                    continue;
                }
                let entry = EndpointAddress {
                    ip: address(pod).unwrap_or_default().to_owned(),
                    hostname: hostname(service, pod),
                    node_name: pods::node(pod).map(str::to_owned),
                    target_ref: Some(target(pod)),
                };
                if publish || pods::is_ready(pod) { ready.push(entry) } else { not_ready.push(entry) }
            }
            if ready.is_empty() && not_ready.is_empty() {
                continue;
            }
            let port = |(name, protocol, port, app): &(String, String, i32, Option<String>)| CorePort {
                name: Some(name.clone()).filter(|name| !name.is_empty()),
                protocol: Some(protocol.clone()),
                port: *port,
                app_protocol: app.clone(),
            };
            subsets.push(EndpointSubset {
                addresses: Some(ready).filter(|list| !list.is_empty()),
                not_ready_addresses: Some(not_ready).filter(|list| !list.is_empty()),
                ports: Some(ports.iter().map(port).collect()),
            });
        }
        let key = key_of(service);
        if self.written.get(&key) == Some(&subsets) {
            return Ok(());
        }
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.0);
        let endpoints = Endpoints {
            metadata: ObjectMeta {
                name: Some(key.1.clone()),
                namespace: Some(key.0.clone()),
                labels: Some(labels(service)),
                ..ObjectMeta::default()
            },
            subsets: Some(subsets.clone()).filter(|list| !list.is_empty()),
        };
        let first = !self.written.contains_key(&key);
        let mut answer = match first {
            true => api.create(&PostParams::default(), &endpoints).await,
            false => api.replace(&key.1, &PostParams::default(), &endpoints).await,
        };
        // Left by an earlier controller, or deleted by somebody.
        match &answer {
            Err(error) if is_conflict(error) => {
                answer = api.replace(&key.1, &PostParams::default(), &endpoints).await;
            }
            Err(error) if is_not_found(error) && !first => {
                answer = api.create(&PostParams::default(), &endpoints).await;
            }
            _ => {}
        }
        match answer {
            Err(error) if is_not_found(&error) || is_forbidden(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                self.written.insert(key, subsets);
            }
        }
        Ok(())
    }
}

impl Reconcile for EndpointsController {
    const NAME: &'static str = "endpoints";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let services = self.informers.services.list();
        let all = self.informers.pods.list();
        let mut known = BTreeSet::new();
        for service in &services {
            let spec = service.spec.clone().unwrap_or_default();
            let selector = spec.selector.clone().unwrap_or_default();
            if selector.is_empty() || spec.type_.as_deref() == Some("ExternalName") {
                continue;
            }
            known.insert(key_of(service.as_ref()));
            if service.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let mut groups: BTreeMap<Ports, Vec<Arc<Pod>>> = BTreeMap::new();
            for pod in &all {
                if pod.namespace() == service.namespace()
                    && pods::selects(&selector, pod.labels())
                    && !pods::is_finished(pod)
                    && address(pod).is_some()
                {
                    groups
                        .entry(resolve(spec.ports.as_deref().unwrap_or_default(), pod))
                        .or_default()
                        .push(Arc::clone(pod));
                }
            }
            self.sync_slices(service, &groups).await?;
            self.sync_endpoints(service, &groups).await?;
        }
        // The slices of deleted Services go by their owner; Endpoints have none.
        let gone: Vec<_> = self.written.keys().filter(|key| !known.contains(key)).cloned().collect();
        for key in gone {
            delete(&Api::<Endpoints>::namespaced(self.client.clone(), &key.0), &key.1).await?;
            self.written.remove(&key);
        }
        Ok(())
    }
}

async fn delete<K>(api: &Api<K>, name: &str) -> Result<(), ReconcileError>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|address| !address.is_empty())
}

/// The pod's own name under the Service: its hostname, where its subdomain names the Service.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let named = spec.subdomain.as_deref() == service.metadata.name.as_deref();
    spec.hostname.clone().filter(|name| named && !name.is_empty())
}

fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// A Service's ports on a pod. Ports with a name that the pod does not know are left out.
fn resolve(ports: &[ServicePort], pod: &Pod) -> Ports {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let named = |name: &str, protocol: &str| {
        let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
        ports
            .find(|port| port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol)
            .map(|port| port.container_port)
    };
    let resolved = ports.iter().filter_map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let number = match &port.target_port {
            None => Some(port.port),
            Some(IntOrString::Int(0)) => Some(port.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => named(name, protocol),
        };
        let name = port.name.clone().unwrap_or_default();
        number.map(|number| (name, protocol.to_owned(), number, port.app_protocol.clone()))
    });
    resolved.collect()
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

fn slice(service: &Service, ports: &Ports, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut labels = labels(service);
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name_any())),
            namespace: service.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Service".to_owned(),
                name: service.name_any(),
                uid: service.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints,
        ports: Some(
            ports
                .iter()
                .map(|(name, protocol, port, app)| EndpointPort {
                    name: Some(name.clone()),
                    protocol: Some(protocol.clone()),
                    port: Some(*port),
                    app_protocol: app.clone(),
                })
                .collect(),
        ),
    }
}

fn slice_ports(slice: &EndpointSlice) -> Ports {
    let ports = slice.ports.iter().flatten().map(|port| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (text(&port.name), text(&port.protocol), port.port.unwrap_or(0), port.app_protocol.clone())
    });
    ports.collect()
}

fn same(a: &EndpointSlice, b: &EndpointSlice) -> bool {
    a.metadata.labels == b.metadata.labels && slice_ports(a) == slice_ports(b) && a.endpoints == b.endpoints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "sample-nginx" },
            "spec": {
                "hostname": "sample-nginx",
                "subdomain": "sample-nginx-peer",
                "containers": [{ "name": "nginx", "ports": [{ "name": "http", "containerPort": 8080 }] }],
            },
        }))
        .expect("a pod")
    }

    #[test]
    fn ports_resolve_by_number_by_name_and_by_default() {
        let ports: Vec<ServicePort> = serde_json::from_value(json!([
            { "name": "a", "port": 80 },
            { "name": "b", "port": 81, "targetPort": "http" },
            { "name": "c", "port": 82, "targetPort": 8082 },
            { "name": "d", "port": 83, "targetPort": "unknown" },
            { "name": "e", "port": 84, "targetPort": "http", "protocol": "UDP" },
        ]))
        .expect("ports");
        let numbers: Vec<_> = resolve(&ports, &pod()).into_iter().map(|(name, _, number, _)| (name, number)).collect();
        assert_eq!(numbers, [("a".to_owned(), 80), ("b".to_owned(), 8080), ("c".to_owned(), 8082)]);
    }

    #[test]
    fn a_pod_has_a_name_of_its_own_only_under_the_service_of_its_subdomain() {
        let service = |name: &str| -> Service {
            serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a service")
        };
        assert_eq!(hostname(&service("sample-nginx-peer"), &pod()).as_deref(), Some("sample-nginx"));
        assert_eq!(hostname(&service("other"), &pod()), None);
    }
}
