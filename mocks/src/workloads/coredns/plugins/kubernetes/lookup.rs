//! From a name to services, endpoints and pods.

use std::net::IpAddr;

use super::store::{Endpoint, Objects, Port, ServiceFacts};
use super::{Options, Pods, dashed};

/// There is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing;

/// Something that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An external name.
    Alias(String),
    /// An address, with the port and the name that SRV records tell.
    Address { address: IpAddr, port: u16, name: String },
}

/// What a name of a zone stands for: nothing, where the name exists without addresses.
pub(super) fn find(objects: &Objects, options: &Options, name: &str, zone: &str) -> Result<Vec<Found>, Missing> {
    let below = if zone == "." { name } else { name.strip_suffix(zone).unwrap_or_default().trim_end_matches('.') };
    let mut labels: Vec<&str> = below.split('.').filter(|label| !label.is_empty()).collect();
    let kind = match labels.pop() {
        None => return Ok(Vec::new()),
        Some(kind @ ("svc" | "pod")) => kind,
        Some(_) => return Err(Missing),
    };
    let Some(namespace) = labels.pop() else { return Ok(Vec::new()) };
    if !exposed(objects, options, namespace) {
        return Err(Missing);
    }
    let Some(name) = labels.pop() else { return Ok(Vec::new()) };
    let place = Place { namespace, zone };
    if kind == "pod" {
        return if labels.is_empty() { pod(objects, options, name, &place) } else { Err(Missing) };
    }
    match labels.as_slice() {
        [] => service(objects, options, name, &place, &Asked::default()),
        [endpoint] => service(objects, options, name, &place, &Asked { endpoint: Some(endpoint), ..Asked::default() }),
        [port, protocol] => {
            let asked = Asked { port: Some(bare(port)), protocol: Some(bare(protocol)), endpoint: None };
            service(objects, options, name, &place, &asked)
        }
        _ => Err(Missing),
    }
}

/// The names of an address: the service whose address it is, or the endpoints that have it.
pub(super) fn names_of(objects: &Objects, options: &Options, address: IpAddr, zone: &str) -> Vec<String> {
    let listed = |namespace: &str| options.namespaces.is_empty() || exposed(objects, options, namespace);
    let service = objects
        .services
        .iter()
        .find(|((namespace, _), service)| listed(namespace) && service.cluster_ips.contains(&address));
    if let Some(((namespace, name), _)) = service {
        return vec![format!("{name}.{namespace}.svc.{zone}")];
    }
    let mut names = Vec::new();
    for ((namespace, _), slice) in objects.slices.iter().filter(|((namespace, _), _)| listed(namespace)) {
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.address == address) {
            let hostname = hostname(endpoint, options);
            let name = format!("{hostname}.{}.{namespace}.svc.{zone}", slice.service);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

struct Place<'a> {
    namespace: &'a str,
    zone: &'a str,
}

/// What stands before the service's name.
#[derive(Debug, Default)]
struct Asked<'a> {
    endpoint: Option<&'a str>,
    port: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl Asked<'_> {
    fn takes(&self, port: &Port) -> bool {
        self.port.is_none_or(|name| name.eq_ignore_ascii_case(&port.name))
            && self.protocol.is_none_or(|protocol| protocol.eq_ignore_ascii_case(&port.protocol))
    }

    fn is_service(&self) -> bool {
        self.endpoint.is_none() && self.port.is_none()
    }
}

fn exposed(objects: &Objects, options: &Options, namespace: &str) -> bool {
    (options.namespaces.is_empty() || options.namespaces.contains(namespace))
        && objects.namespaces.contains_key(namespace)
}

fn pod(objects: &Objects, options: &Options, label: &str, place: &Place<'_>) -> Result<Vec<Found>, Missing> {
    let address = dashed(label).ok_or(Missing)?;
    let known = || {
        let mut pods = objects.pods.iter();
        pods.any(|((namespace, _), addresses)| namespace == place.namespace && addresses.contains(&address))
    };
    match options.pods {
        Pods::Insecure => {}
        Pods::Verified if known() => {}
        Pods::Verified | Pods::Disabled => return Err(Missing),
    }
    let name = format!("{label}.{}.pod.{}", place.namespace, place.zone);
    Ok(vec![Found::Address { address, port: 0, name }])
}

fn service(
    objects: &Objects,
    options: &Options,
    name: &str,
    place: &Place<'_>,
    asked: &Asked<'_>,
) -> Result<Vec<Found>, Missing> {
    let service = objects.services.get(&(place.namespace.to_owned(), name.to_owned())).ok_or(Missing)?;
    if let Some(external) = &service.external_name {
        return if asked.is_service() { Ok(vec![Found::Alias(external.clone())]) } else { Err(Missing) };
    }
    let headless = service.cluster_ips.is_empty();
    let found = if headless || asked.endpoint.is_some() {
        endpoints(objects, options, name, place, asked)
    } else {
        if options.ignore_empty_service && endpoints(objects, options, name, place, &Asked::default()).is_empty() {
            return Err(Missing);
        }
        addresses(service, name, place, asked)
    };
    if found.is_empty() { Err(Missing) } else { Ok(found) }
}

fn addresses(service: &ServiceFacts, name: &str, place: &Place<'_>, asked: &Asked<'_>) -> Vec<Found> {
    let name = format!("{name}.{}.svc.{}", place.namespace, place.zone);
    let ports = service.ports.iter().filter(|port| asked.takes(port));
    ports
        .flat_map(|port| service.cluster_ips.iter().map(|address| (*address, port.port)))
        .map(|(address, port)| Found::Address { address, port, name: name.clone() })
        .collect()
}

fn endpoints(objects: &Objects, options: &Options, service: &str, place: &Place<'_>, asked: &Asked<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let slices = objects.slices.iter();
    for (_, slice) in slices.filter(|((namespace, _), slice)| namespace == place.namespace && slice.service == service)
    {
        for endpoint in &slice.endpoints {
            let hostname = hostname(endpoint, options);
            if asked.endpoint.is_some_and(|asked| !asked.eq_ignore_ascii_case(&hostname)) {
                continue;
            }
            let name = format!("{hostname}.{service}.{}.svc.{}", place.namespace, place.zone);
            found.extend(slice.ports.iter().filter(|port| asked.takes(port)).map(|port| Found::Address {
                address: endpoint.address,
                port: port.port,
                name: name.clone(),
            }));
        }
    }
    found
}

/// The label of an endpoint: its hostname, its pod's name where `endpoint_pod_names` says so, else its address.
fn hostname(endpoint: &Endpoint, options: &Options) -> String {
    if let Some(hostname) = &endpoint.hostname {
        return hostname.clone();
    }
    match &endpoint.target {
        Some(target) if options.endpoint_pod_names => target.clone(),
        _ => endpoint.address.to_string().replace(['.', ':'], "-"),
    }
}

fn bare(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}
