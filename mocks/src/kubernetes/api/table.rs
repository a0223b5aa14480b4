//! Tables for `kubectl get`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::object::{self, Object, text};
use super::request::Target;

/// A column: name, priority (above 0: only with `-o wide`), and how a cell is made.
type Column = (&'static str, i32, fn(&Value) -> Value);

/// The `meta.k8s.io/v1` Table of objects, each row with the object's metadata.
pub(super) fn of(target: &Target, objects: &[&Object], metadata: &Value) -> Bytes {
    let ty = &target.ty;
    let columns = if ty.is_builtin() { columns(&ty.group, &ty.kind) } else { NAME_AGE };
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, priority, _)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({ "name": name, "type": "string", "format": format, "description": "", "priority": priority })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let value = object.value();
            let cells: Vec<Value> = columns.iter().map(|(_, _, cell)| cell(value)).collect();
            let partial =
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"] });
            json!({ "cells": cells, "object": partial })
        })
        .collect();
    let table = json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    });
    Bytes::from(table.to_string())
}

const NAME_AGE: &[Column] = &[("Name", 0, name), ("Age", 0, age)];

fn columns(group: &str, kind: &str) -> &'static [Column] {
    match (group, kind) {
        ("", "Pod") => &[
            ("Name", 0, name),
            ("Ready", 0, pod_ready),
            ("Status", 0, pod_status),
            ("Restarts", 0, pod_restarts),
            ("Age", 0, age),
            ("IP", 1, |v| or_none(text(v, "/status/podIP"))),
            ("Node", 1, |v| or_none(text(v, "/spec/nodeName"))),
        ],
        ("", "Service") => &[
            ("Name", 0, name),
            ("Type", 0, |v| json!(text(v, "/spec/type"))),
            ("Cluster-IP", 0, |v| or_none(text(v, "/spec/clusterIP"))),
            ("External-IP", 0, service_external),
            ("Port(s)", 0, service_ports),
            ("Age", 0, age),
            ("Selector", 1, |v| pairs(&v["spec"]["selector"])),
        ],
        ("", "Node") => &[
            ("Name", 0, name),
            ("Status", 0, node_status),
            ("Roles", 0, node_roles),
            ("Age", 0, age),
            ("Version", 0, |v| json!(text(v, "/status/nodeInfo/kubeletVersion"))),
            ("Internal-IP", 1, |v| node_address(v, "InternalIP")),
            ("External-IP", 1, |v| node_address(v, "ExternalIP")),
        ],
        ("", "Namespace") => &[("Name", 0, name), ("Status", 0, |v| json!(text(v, "/status/phase"))), ("Age", 0, age)],
        ("", "ConfigMap") => &[("Name", 0, name), ("Data", 0, |v| data_count(v)), ("Age", 0, age)],
        ("", "Secret") => &[
            ("Name", 0, name),
            ("Type", 0, |v| json!(text(v, "/type"))),
            ("Data", 0, |v| data_count(v)),
            ("Age", 0, age),
        ],
        ("", "Event") => &[
            ("Last Seen", 0, |v| since(text(v, "/lastTimestamp"))),
            ("Type", 0, |v| json!(text(v, "/type"))),
            ("Reason", 0, |v| json!(text(v, "/reason"))),
            ("Object", 0, |v| {
                let kind = text(v, "/involvedObject/kind").to_lowercase();
                json!(format!("{kind}/{}", text(v, "/involvedObject/name")))
            }),
            ("Message", 0, |v| json!(text(v, "/message"))),
        ],
        ("apps", "Deployment") => &[
            ("Name", 0, name),
            ("Ready", 0, |v| json!(format!("{}/{}", number(v, "/status/readyReplicas"), number(v, "/spec/replicas")))),
            ("Up-to-date", 0, |v| json!(number(v, "/status/updatedReplicas").to_string())),
            ("Available", 0, |v| json!(number(v, "/status/availableReplicas").to_string())),
            ("Age", 0, age),
            ("Containers", 1, |v| containers(v, "/name")),
            ("Images", 1, |v| containers(v, "/image")),
        ],
        ("apps", "StatefulSet") => &[
            ("Name", 0, name),
            ("Ready", 0, |v| json!(format!("{}/{}", number(v, "/status/readyReplicas"), number(v, "/spec/replicas")))),
            ("Age", 0, age),
            ("Containers", 1, |v| containers(v, "/name")),
            ("Images", 1, |v| containers(v, "/image")),
        ],
        ("apps", "ReplicaSet") => &[
            ("Name", 0, name),
            ("Desired", 0, |v| json!(number(v, "/spec/replicas").to_string())),
            ("Current", 0, |v| json!(number(v, "/status/replicas").to_string())),
            ("Ready", 0, |v| json!(number(v, "/status/readyReplicas").to_string())),
            ("Age", 0, age),
        ],
        ("apps", "DaemonSet") => &[
            ("Name", 0, name),
            ("Desired", 0, |v| json!(number(v, "/status/desiredNumberScheduled").to_string())),
            ("Current", 0, |v| json!(number(v, "/status/currentNumberScheduled").to_string())),
            ("Ready", 0, |v| json!(number(v, "/status/numberReady").to_string())),
            ("Age", 0, age),
        ],
        ("apiextensions.k8s.io", _) => {
            &[("Name", 0, name), ("Created At", 0, |v| json!(object::meta(v, "creationTimestamp")))]
        }
        _ => NAME_AGE,
    }
}

fn name(value: &Value) -> Value {
    json!(object::name(value))
}

fn age(value: &Value) -> Value {
    since(object::meta(value, "creationTimestamp"))
}

fn since(time: &str) -> Value {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => json!(human_duration(jiff::Timestamp::now().as_second() - time.as_second())),
        Err(_) => json!("<unknown>"),
    }
}

/// Seconds as `duration.HumanDuration` writes them.
fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let with = |large: i64, unit: char, rest: i64, small: char| match rest {
        0 => format!("{large}{unit}"),
        rest => format!("{large}{unit}{rest}{small}"),
    };
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => with(minutes, 'm', seconds % 60, 's'),
        600..10800 => format!("{minutes}m"),
        10800..28800 => with(hours, 'h', minutes % 60, 'm'),
        28800..172_800 => format!("{hours}h"),
        172_800..691_200 => with(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ => with(days / 365, 'y', days % 365, 'd'),
    }
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn pairs(map: &Value) -> Value {
    let map = map.as_object().into_iter().flatten();
    let list: Vec<String> = map.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    or_none(&list.join(","))
}

fn containers(value: &Value, pointer: &str) -> Value {
    let list: Vec<&str> = items(value, "/spec/template/spec/containers").map(|c| text(c, pointer)).collect();
    json!(list.join(","))
}

fn data_count(value: &Value) -> Value {
    let count = |field: &str| value.get(field).and_then(Value::as_object).map_or(0, |map| map.len());
    json!((count("data") + count("binaryData")).to_string())
}

fn pod_ready(pod: &Value) -> Value {
    let ready = items(pod, "/status/containerStatuses").filter(|status| status["ready"] == json!(true)).count();
    json!(format!("{ready}/{}", items(pod, "/spec/containers").count()))
}

fn pod_status(pod: &Value) -> Value {
    if object::is_deleting(pod) {
        return json!("Terminating");
    }
    let reason = text(pod, "/status/reason");
    if !reason.is_empty() {
        return json!(reason);
    }
    let waiting = items(pod, "/status/containerStatuses").find_map(|status| {
        let reason = [text(status, "/state/waiting/reason"), text(status, "/state/terminated/reason")];
        reason.into_iter().find(|reason| !reason.is_empty())
    });
    json!(waiting.unwrap_or(text(pod, "/status/phase")))
}

fn pod_restarts(pod: &Value) -> Value {
    let restarts: i64 = items(pod, "/status/containerStatuses").map(|status| number(status, "/restartCount")).sum();
    json!(restarts.to_string())
}

fn service_external(service: &Value) -> Value {
    match text(service, "/spec/type") {
        "ExternalName" => json!(text(service, "/spec/externalName")),
        "LoadBalancer" => {
            let ingress = items(service, "/status/loadBalancer/ingress").map(|ingress| {
                let host = text(ingress, "/hostname");
                if host.is_empty() { text(ingress, "/ip") } else { host }
            });
            let list = ingress.collect::<Vec<_>>().join(",");
            json!(if list.is_empty() { "<pending>".to_owned() } else { list })
        }
        _ => json!("<none>"),
    }
}

fn service_ports(service: &Value) -> Value {
    let ports: Vec<String> = items(service, "/spec/ports")
        .map(|port| {
            let protocol = text(port, "/protocol");
            match number(port, "/nodePort") {
                0 => format!("{}/{protocol}", number(port, "/port")),
                node => format!("{}:{node}/{protocol}", number(port, "/port")),
            }
        })
        .collect();
    or_none(&ports.join(","))
}

fn node_status(node: &Value) -> Value {
    let ready = items(node, "/status/conditions").find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    json!(status)
}

fn node_roles(node: &Value) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles: Vec<&str> = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    or_none(&roles.join(","))
}

fn node_address(node: &Value, kind: &str) -> Value {
    let address = items(node, "/status/addresses").find(|address| text(address, "/type") == kind);
    or_none(address.map_or("", |address| text(address, "/address")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(-1, "0s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(599, "9m59s")]
    #[case(3600, "60m")]
    #[case(10_860, "3h1m")]
    #[case(86_400, "24h")]
    #[case(180_000, "2d2h")]
    #[case(864_000, "10d")]
    #[case(100_000_000, "3y62d")]
    fn durations(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(human_duration(seconds), expected);
    }

    #[test]
    fn services() {
        let service = json!({ "spec": { "type": "LoadBalancer", "ports": [
            { "port": 53, "protocol": "UDP", "nodePort": 30053 }, { "port": 80, "protocol": "TCP" }] } });
        assert_eq!(service_ports(&service), "53:30053/UDP,80/TCP");
        assert_eq!(service_external(&service), "<pending>");
    }
}
