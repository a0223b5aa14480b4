//! The records of the plugin `kubernetes`.
//!
//! Source: "Kubernetes DNS-Based Service Discovery", schema 1.1.0.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{PTR, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::config::KubernetesConfig;
use super::kubernetes::{Endpoint, Service, View};
use crate::workloads::dns;

/// What the plugin has to say.
pub(super) enum Found {
    /// This is the answer.
    Answer(Message),
    /// The name is in none of its zones, or goes on to the next plugin.
    NotMine,
}

/// What a name in a zone stands for.
enum Named {
    /// Records for it.
    Records(Vec<RData>),
    /// The name exists without records of that type.
    Nothing,
    /// There is no such name.
    Missing,
}

/// Looks a name up.
pub(super) fn look_up(config: &KubernetesConfig, view: &View, query: &Message, name: &str) -> Found {
    let below = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    let Some(zone) = config.zones.iter().filter(|zone| below(zone)).max_by_key(|zone| zone.len()) else {
        return Found::NotMine;
    };
    let Some(question) = query.queries.first() else { return Found::NotMine };
    let kind = question.query_type();
    let named = if zone.ends_with("in-addr.arpa") || zone.ends_with("ip6.arpa") {
        reverse(view, name, kind, &config.zones)
    } else {
        let labels: Vec<&str> =
            name.strip_suffix(zone.as_str()).unwrap_or_default().split('.').filter(|it| !it.is_empty()).collect();
        forward(config, view, &labels, kind, zone)
    };
    let falls_through = config
        .fallthrough
        .as_ref()
        .is_some_and(|zones| zones.is_empty() || zones.iter().any(|it| it == zone || below(it)));
    if matches!(named, Named::Missing) && falls_through {
        return Found::NotMine;
    }
    Found::Answer(answer(config, query, question.name(), zone, named))
}

fn answer(config: &KubernetesConfig, query: &Message, name: &Name, zone: &str, named: Named) -> Message {
    let code = if matches!(named, Named::Missing) { ResponseCode::NXDomain } else { ResponseCode::NoError };
    let mut answer = dns::answer(query, code);
    answer.metadata.authoritative = true;
    match named {
        Named::Records(records) if !records.is_empty() => {
            answer.answers.extend(records.into_iter().map(|data| Record::from_rdata(name.clone(), config.ttl, data)));
        }
        _ => {
            let zone = Name::from_ascii(format!("{zone}.")).unwrap_or_else(|_| Name::root());
            answer.authorities.push(dns::soa(&zone, config.ttl));
        }
    }
    answer
}

fn forward(config: &KubernetesConfig, view: &View, labels: &[&str], kind: RecordType, zone: &str) -> Named {
    match labels {
        [] | ["svc" | "pod"] => Named::Nothing,
        [namespace, "svc" | "pod"] if view.namespaces.contains(*namespace) => Named::Nothing,
        [address, namespace, "pod"] if config.pods_insecure && view.namespaces.contains(*namespace) => {
            match address.replace('-', ".").parse::<Ipv4Addr>() {
                Ok(address) if kind == RecordType::A => Named::Records(vec![RData::A(address.into())]),
                Ok(_) => Named::Nothing,
                Err(_) => Named::Missing,
            }
        }
        [service, namespace, "svc"] => match view.service(namespace, service) {
            Some(service) => of_service(service, kind),
            None => Named::Missing,
        },
        [port, protocol, service, namespace, "svc"] if port.starts_with('_') && protocol.starts_with('_') => match view
            .service(namespace, service)
        {
            Some(found) => srv(found, &port[1..], &protocol[1..], kind, &format!("{service}.{namespace}.svc.{zone}.")),
            None => Named::Missing,
        },
        [host, service, namespace, "svc"] => match view.service(namespace, service) {
            Some(service) => of_endpoint(service, host, kind),
            None => Named::Missing,
        },
        _ => Named::Missing,
    }
}

fn of_service(service: &Service, kind: RecordType) -> Named {
    if kind != RecordType::A {
        return Named::Nothing;
    }
    let addresses: Vec<Ipv4Addr> = match service.cluster_ip {
        Some(address) => vec![address],
        // A headless service without ready endpoints has no name.
        None if service.endpoints.is_empty() => return Named::Missing,
        None => service.endpoints.iter().map(|endpoint| endpoint.address).collect(),
    };
    Named::Records(addresses.into_iter().map(|address| RData::A(address.into())).collect())
}

/// An endpoint's name: its hostname, else its address with dashes.
fn label_of(endpoint: &Endpoint) -> String {
    endpoint.hostname.clone().unwrap_or_else(|| endpoint.address.to_string().replace('.', "-"))
}

fn of_endpoint(service: &Service, host: &str, kind: RecordType) -> Named {
    let addresses: Vec<_> =
        service.endpoints.iter().filter(|it| label_of(it) == host).map(|it| RData::A(it.address.into())).collect();
    match (addresses.is_empty(), kind) {
        (true, _) => Named::Missing,
        (false, RecordType::A) => Named::Records(addresses),
        (false, _) => Named::Nothing,
    }
}

fn srv(service: &Service, port: &str, protocol: &str, kind: RecordType, name: &str) -> Named {
    let ports: Vec<u16> = service
        .ports
        .iter()
        .filter(|it| it.name == port && it.protocol.eq_ignore_ascii_case(protocol))
        .map(|it| it.port)
        .collect();
    if ports.is_empty() {
        return Named::Missing;
    }
    if kind != RecordType::SRV {
        return Named::Nothing;
    }
    let targets: Vec<String> = match service.cluster_ip {
        Some(_) => vec![name.to_owned()],
        None => service.endpoints.iter().map(|it| format!("{}.{name}", label_of(it))).collect(),
    };
    let records = targets.iter().filter_map(|target| Name::from_ascii(target).ok()).flat_map(|target| {
        ports.iter().map(move |port| RData::SRV(SRV::new(0, 100, *port, target.clone()))).collect::<Vec<_>>()
    });
    Named::Records(records.collect())
}

fn reverse(view: &View, name: &str, kind: RecordType, zones: &[String]) -> Named {
    let Some(zone) = zones.iter().find(|zone| !zone.ends_with(".arpa")) else { return Named::Missing };
    let octets: Vec<u8> =
        name.trim_end_matches(".in-addr.arpa").split('.').rev().filter_map(|octet| octet.parse().ok()).collect();
    let Ok(octets) = <[u8; 4]>::try_from(octets) else { return Named::Missing };
    let address = Ipv4Addr::from(octets);
    let mut names = Vec::new();
    for ((namespace, name), service) in &view.services {
        if service.cluster_ip == Some(address) {
            names.push(format!("{name}.{namespace}.svc.{zone}."));
        }
        let endpoints = service.endpoints.iter().filter(|it| it.address == address);
        names.extend(endpoints.map(|it| format!("{}.{name}.{namespace}.svc.{zone}.", label_of(it))));
    }
    match (names.is_empty(), kind) {
        (true, _) => Named::Missing,
        (false, RecordType::PTR) => Named::Records(
            names.iter().filter_map(|name| Name::from_ascii(name).ok()).map(|name| RData::PTR(PTR(name))).collect(),
        ),
        (false, _) => Named::Nothing,
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
