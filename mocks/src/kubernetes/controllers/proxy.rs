//! kube-proxy: what the cluster addresses and node ports of Services lead to.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;

use super::endpoints::SERVICE_NAME;
use super::{Informers, Reconcile, ReconcileError};
use crate::network::{Network, ServiceTable, Transport};

/// Programs the Services of a cluster into the network, for all its nodes at once.
pub struct Proxy {
    informers: Arc<Informers>,
    network: Arc<dyn Network>,
    vpc: String,
    programmed: Option<ServiceTable>,
}

impl Proxy {
    /// A proxy for the nodes in a VPC.
    pub fn new(informers: Arc<Informers>, network: Arc<dyn Network>, vpc: String) -> Self {
        Self { informers, network, vpc, programmed: None }
    }
}

impl Reconcile for Proxy {
    const NAME: &'static str = "kube-proxy";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let table = table(&self.informers.services.list(), &self.informers.slices.list());
        if self.programmed.as_ref() != Some(&table) {
            self.network.program_services(&self.vpc, table.clone()).await;
            self.programmed = Some(table);
        }
        Ok(())
    }
}

/// The table for these Services and slices. A port without ready endpoints leads to those that terminate but still
/// serve (KEP-1669), or else nowhere.
pub fn table(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> ServiceTable {
    let mut table = ServiceTable::default();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let addresses = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let addresses: Vec<Ipv4Addr> = addresses.filter_map(|address| address.parse().ok()).collect();
        let name = service.name_any();
        let own = slices.iter().filter(|slice| {
            slice.namespace() == service.namespace() && slice.labels().get(SERVICE_NAME) == Some(&name)
        });
        let own: Vec<_> = own.collect();
        for port in spec.ports.iter().flatten() {
            let (Some(transport), Ok(number)) = (transport(port.protocol.as_deref()), u16::try_from(port.port)) else {
                continue;
            };
            let endpoints = endpoints(&own, port.name.as_deref().unwrap_or_default(), transport);
            for address in &addresses {
                table.cluster.insert((*address, number, transport), endpoints.clone());
            }
            if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
            {
                table.node_ports.insert((node_port, transport), endpoints);
            }
        }
    }
    table
}

fn endpoints(slices: &[&Arc<EndpointSlice>], name: &str, transport: Transport) -> Vec<SocketAddrV4> {
    let (mut ready, mut serving) = (Vec::new(), Vec::new());
    for slice in slices {
        let port = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == name
                && self::transport(port.protocol.as_deref()) == Some(transport)
        });
        let Some(port) = port.and_then(|port| port.port).and_then(|port| u16::try_from(port).ok()) else { continue };
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            let address = SocketAddrV4::new(address, port);
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if conditions.ready != Some(false) {
                ready.push(address);
            } else if conditions.serving == Some(true) && conditions.terminating == Some(true) {
                serving.push(address);
            }
        }
    }
    let mut chosen = if ready.is_empty() { serving } else { ready };
    chosen.sort();
    chosen.dedup();
    chosen
}

fn transport(protocol: Option<&str>) -> Option<Transport> {
    match protocol.unwrap_or("TCP") {
        "TCP" => Some(Transport::Tcp),
        "UDP" => Some(Transport::Udp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::ready(json!([{ "addresses": ["10.1.0.9"] }]), &["10.1.0.9:5353"])]
    #[case::ready_wins(
        json!([
            { "addresses": ["10.1.0.9"], "conditions": { "ready": false, "serving": true, "terminating": true } },
            { "addresses": ["10.1.0.8"], "conditions": { "ready": true } },
        ]),
        &["10.1.0.8:5353"]
    )]
    #[case::still_serving(
        json!([{ "addresses": ["10.1.0.9"], "conditions": { "ready": false, "serving": true, "terminating": true } }]),
        &["10.1.0.9:5353"]
    )]
    #[case::none(json!([{ "addresses": ["10.1.0.9"], "conditions": { "ready": false, "serving": false } }]), &[])]
    fn a_service_leads_to_its_endpoints(#[case] endpoints: Value, #[case] expected: &[&str]) {
        let service = json!({
            "metadata": { "name": "dns", "namespace": "kube-system" },
            "spec": { "clusterIP": "172.20.0.7", "ports": [{ "name": "dns", "port": 53, "nodePort": 30053 }] },
        });
        let slice = json!({
            "metadata": { "namespace": "kube-system", "labels": { "kubernetes.io/service-name": "dns" } },
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "name": "dns", "port": 5353, "protocol": "TCP" }],
        });
        let table = table(
            &[Arc::new(serde_json::from_value(service).expect("a service"))],
            &[Arc::new(serde_json::from_value(slice).expect("a slice"))],
        );
        let expected: Vec<SocketAddrV4> = expected.iter().map(|text| text.parse().expect("an address")).collect();
        let key = (Ipv4Addr::new(172, 20, 0, 7), 53, Transport::Tcp);
        assert_eq!(table.cluster.get(&key), Some(&expected));
        assert_eq!(table.node_ports.get(&(30053, Transport::Tcp)), Some(&expected));
    }
}
