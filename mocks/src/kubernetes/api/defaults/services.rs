//! Defaults of Services, and the allocation of their cluster addresses and node ports.
//!
//! Addresses and ports that nobody asked for are given out in order, from the part of the range that the real server
//! prefers for them (its lower part is kept for static ones), so that runs are alike. IPv4 single stack only.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use crate::kubernetes::api::object::{default_to, object_mut, text};

/// First and last node port.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// Node ports below are kept for those who ask: `min(max(16, size / 32), 128)` of them.
const FIRST_DYNAMIC_NODE_PORT: u16 = 30086;

/// Why a Service gets no address or port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum AllocationError {
    /// A field is wrong: path, value, what is wrong.
    Invalid(String, Value, String),
    /// The range is used up.
    Full(String),
}

pub(super) fn spec(spec: &mut Map<String, Value>) {
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            default_to(port, "protocol", "TCP");
            let number = port.get("port").cloned().unwrap_or_default();
            match port.get("targetPort") {
                None | Some(Value::Null) => {
                    port.insert("targetPort".to_owned(), number);
                }
                Some(target) if *target == json!(0) || *target == json!("") => {
                    port.insert("targetPort".to_owned(), number);
                }
                Some(_) => {}
            }
            if port.get("nodePort") == Some(&json!(0)) {
                port.shift_remove("nodePort");
            }
        }
    }
    if spec.get("sessionAffinity") == Some(&json!("ClientIP")) {
        default_to(spec, "sessionAffinityConfig", json!({ "clientIP": { "timeoutSeconds": 10800 } }));
    }
    if kind == "ExternalName" {
        return;
    }
    default_to(spec, "internalTrafficPolicy", "Cluster");
    default_to(spec, "ipFamilies", json!(["IPv4"]));
    default_to(spec, "ipFamilyPolicy", "SingleStack");
    if kind == "NodePort" || kind == "LoadBalancer" {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
    if spec.get("clusterIP") == Some(&json!("")) {
        spec.shift_remove("clusterIP");
    }
    if let Some(address) = spec.get("clusterIPs").and_then(|list| list.get(0)).cloned() {
        default_to(spec, "clusterIP", address);
    }
}

/// Carries over what a replaced Service leaves out and keeps: its cluster address and its node ports.
pub(in super::super) fn merge_previous(old: &Value, new: &mut Value) {
    let kind = text(new, "/spec/type").to_owned();
    let spec = object_mut(new, "spec");
    if kind == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.shift_remove(field);
        }
        return;
    }
    if text(old, "/spec/type") != "ExternalName"
        && let Some(address) = old.pointer("/spec/clusterIP")
    {
        default_to(spec, "clusterIP", address.clone());
    }
    let node_ports = kind == "NodePort" || kind == "LoadBalancer";
    let old_ports = old.pointer("/spec/ports").and_then(Value::as_array);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        let same = old_ports
            .into_iter()
            .flatten()
            .find(|of| of.get("port") == port.get("port") && of.get("protocol") == port.get("protocol"));
        match same.and_then(|of| of.get("nodePort")) {
            Some(number) if node_ports => default_to(port, "nodePort", number.clone()),
            Some(number) if port.get("nodePort") == Some(number) => {
                port.shift_remove("nodePort");
            }
            _ => {}
        }
    }
    if !node_ports {
        spec.shift_remove("externalTrafficPolicy");
        spec.shift_remove("allocateLoadBalancerNodePorts");
    }
}

/// Gives a Service its cluster address and node ports, or checks those it asks for. `others` are all other Services.
pub(in super::super) fn allocate<'a>(
    service: &mut Value,
    others: impl Iterator<Item = &'a Value> + Clone,
    block: Ipv4Net,
) -> Result<(), AllocationError> {
    if text(service, "/spec/type") == "ExternalName" {
        return Ok(());
    }
    let address = match service.pointer("/spec/clusterIP").and_then(Value::as_str) {
        Some("None") => "None".to_owned(),
        Some(asked) => check_address(asked, others.clone(), block)?,
        None => free_address(others.clone(), block)?,
    };
    let spec = object_mut(service, "spec");
    spec.insert("clusterIP".to_owned(), json!(address));
    spec.insert("clusterIPs".to_owned(), json!([address]));
    allocate_node_ports(service, others)
}

fn check_address<'a>(
    asked: &str,
    others: impl Iterator<Item = &'a Value>,
    block: Ipv4Net,
) -> Result<String, AllocationError> {
    let invalid = |why: String| AllocationError::Invalid("spec.clusterIPs".to_owned(), json!([asked]), why);
    let address: Ipv4Addr = asked
        .parse()
        .map_err(|_| invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()))?;
    if !block.contains(&address) || address == block.network() || address == block.broadcast() {
        let why = format!(
            "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {block}"
        );
        return Err(invalid(why));
    }
    let mut others = others;
    if others.any(|other| text(other, "/spec/clusterIP") == asked) {
        return Err(invalid(format!("failed to allocate IP {address}: provided IP is already allocated")));
    }
    Ok(asked.to_owned())
}

fn free_address<'a>(others: impl Iterator<Item = &'a Value>, block: Ipv4Net) -> Result<String, AllocationError> {
    let used: BTreeSet<Ipv4Addr> = others.filter_map(|other| text(other, "/spec/clusterIP").parse().ok()).collect();
    let size = 1_u64 << (32 - u32::from(block.prefix_len()));
    let fixed = size.div_euclid(16).clamp(16, 256);
    let base = u32::from(block.network());
    let at = |offset: u64| u32::try_from(offset).ok().map(|offset| Ipv4Addr::from(base.wrapping_add(offset)));
    // Neither the first address (the network's) nor the last.
    let candidates = (fixed..size.saturating_sub(1)).chain(1..fixed.min(size.saturating_sub(1)));
    let free = candidates.filter_map(at).find(|address| !used.contains(address));
    free.map(|address| address.to_string())
        .ok_or_else(|| AllocationError::Full("failed to allocate a serviceIP: range is full".to_owned()))
}

fn allocate_node_ports<'a>(
    service: &mut Value,
    others: impl Iterator<Item = &'a Value>,
) -> Result<(), AllocationError> {
    let kind = text(service, "/spec/type").to_owned();
    let wanted = match kind.as_str() {
        "NodePort" => true,
        "LoadBalancer" => service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&json!(false)),
        _ => false,
    };
    let mut used: BTreeSet<(String, u64)> = others.flat_map(node_ports).collect();
    let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let Some(port) = port.as_object_mut() else { continue };
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
        let field = format!("spec.ports[{index}].nodePort");
        let number = match port.get("nodePort").and_then(Value::as_u64) {
            Some(asked) => {
                let value = json!(asked);
                if kind != "NodePort" && kind != "LoadBalancer" {
                    let why = "may not be used when `type` is 'ClusterIP'".to_owned();
                    return Err(AllocationError::Invalid(field, value, why));
                }
                if !u16::try_from(asked).is_ok_and(|port| NODE_PORTS.contains(&port)) {
                    let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                    return Err(AllocationError::Invalid(field, value, why.to_owned()));
                }
                if used.contains(&(protocol.clone(), asked)) {
                    return Err(AllocationError::Invalid(
                        field,
                        value,
                        "provided port is already allocated".to_owned(),
                    ));
                }
                asked
            }
            None if wanted => {
                let candidates =
                    (FIRST_DYNAMIC_NODE_PORT..=*NODE_PORTS.end()).chain(*NODE_PORTS.start()..FIRST_DYNAMIC_NODE_PORT);
                let mut candidates = candidates.map(u64::from);
                // One number is not given to two protocols by itself, as in the real allocator.
                let taken = |number: &u64| used.iter().any(|(_, used)| used == number);
                candidates
                    .find(|number| !taken(number))
                    .ok_or_else(|| AllocationError::Full("failed to allocate a nodePort: range is full".to_owned()))?
            }
            None => continue,
        };
        port.insert("nodePort".to_owned(), json!(number));
        used.insert((protocol, number));
    }
    Ok(())
}

fn node_ports(service: &Value) -> Vec<(String, u64)> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    ports.filter_map(|port| Some((text(port, "/protocol").to_owned(), port.get("nodePort")?.as_u64()?))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rstest::rstest;

    use super::*;

    fn service(spec_value: Value) -> Value {
        let mut object = json!({ "spec": spec_value });
        spec(object_mut(&mut object, "spec"));
        object
    }

    fn block() -> Ipv4Net {
        "10.100.0.0/16".parse().unwrap()
    }

    #[test]
    fn addresses_and_ports_are_given_out_in_order_and_once() {
        let mut first = service(
            json!({ "type": "LoadBalancer", "ports": [{ "port": 53, "protocol": "UDP", "name": "u" }, { "port": 53, "name": "t" }] }),
        );
        allocate(&mut first, std::iter::empty(), block()).unwrap();
        assert_eq!(first["spec"]["clusterIP"], "10.100.1.0");
        assert_eq!(first["spec"]["ports"][0]["nodePort"], 30086);
        assert_eq!(first["spec"]["ports"][1]["nodePort"], 30087);
        let mut second = service(json!({ "ports": [{ "port": 80 }] }));
        allocate(&mut second, [&first].into_iter(), block()).unwrap();
        assert_eq!(second["spec"]["clusterIP"], "10.100.1.1");
        assert!(second["spec"]["ports"][0].get("nodePort").is_none());
    }

    #[rstest]
    #[case(json!({ "clusterIP": "10.100.0.10" }), "already allocated")]
    #[case(json!({ "clusterIP": "10.99.0.10" }), "not in the valid range")]
    #[case(json!({ "clusterIP": "x" }), "must be a valid IP address")]
    #[case(json!({ "type": "NodePort", "ports": [{ "port": 1, "nodePort": 30001 }] }), "already allocated")]
    #[case(json!({ "type": "NodePort", "ports": [{ "port": 1, "nodePort": 80 }] }), "not in the valid range")]
    #[case(json!({ "ports": [{ "port": 1, "nodePort": 30002 }] }), "may not be used")]
    fn wrong_requests(#[case] asked: Value, #[case] why: &str) {
        let mut dns = service(
            json!({ "type": "NodePort", "clusterIP": "10.100.0.10", "ports": [{ "port": 1, "nodePort": 30001 }] }),
        );
        allocate(&mut dns, std::iter::empty(), block()).unwrap();
        match allocate(&mut service(asked), [&dns].into_iter(), block()).unwrap_err() {
            AllocationError::Invalid(_, _, found) => assert!(found.contains(why), "{found}"),
            AllocationError::Full(found) => panic!("{found}"),
        }
    }

    #[test]
    fn a_small_block_is_used_up_to_its_last_address() {
        let block: Ipv4Net = "10.0.0.0/29".parse().unwrap();
        let mut services: Vec<Value> = Vec::new();
        for _ in 0..6 {
            let mut next = service(json!({ "ports": [{ "port": 80 }] }));
            allocate(&mut next, services.clone().iter(), block).unwrap();
            services.push(next);
        }
        let mut next = service(json!({ "ports": [{ "port": 80 }] }));
        assert!(matches!(allocate(&mut next, services.iter(), block), Err(AllocationError::Full(_))));
    }

    #[test]
    fn a_replaced_service_keeps_what_it_had() {
        let mut old = service(json!({ "type": "NodePort", "ports": [{ "port": 80 }] }));
        allocate(&mut old, std::iter::empty(), block()).unwrap();
        let mut new = service(json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
        merge_previous(&old, &mut new);
        assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30086);
        let mut internal = old.clone();
        internal["spec"]["type"] = json!("ClusterIP");
        merge_previous(&old, &mut internal);
        assert!(internal["spec"]["ports"][0].get("nodePort").is_none());
    }
}
