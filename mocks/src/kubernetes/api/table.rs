//! Tables: what `kubectl get` shows.

use serde_json::{Value, json};

use super::object::{self, text};
use super::resources::ResourceType;

type Cells = fn(&Value) -> Vec<Value>;

/// Columns (name and priority: 1 for `-o wide` only) and cells of a type.
fn layout(ty: &ResourceType) -> (Vec<(&'static str, u8)>, Cells) {
    match (&*ty.group, &*ty.kind) {
        ("", "Pod") => {
            (vec![("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1)], pod)
        }
        ("", "Service") => (
            vec![
                ("Name", 0),
                ("Type", 0),
                ("Cluster-IP", 0),
                ("External-IP", 0),
                ("Port(s)", 0),
                ("Age", 0),
                ("Selector", 1),
            ],
            service,
        ),
        ("", "Node") => {
            (vec![("Name", 0), ("Status", 0), ("Roles", 0), ("Age", 0), ("Version", 0), ("Internal-IP", 1)], node)
        }
        ("", "Namespace") => (vec![("Name", 0), ("Status", 0), ("Age", 0)], |it| {
            vec![name(it), json!(text(it, "/status/phase")), age(it)]
        }),
        ("", "ConfigMap") => (vec![("Name", 0), ("Data", 0), ("Age", 0)], |it| {
            let data = |key: &str| it.get(key).and_then(Value::as_object).map_or(0, serde_json::Map::len);
            vec![name(it), json!(data("data") + data("binaryData")), age(it)]
        }),
        ("apps", "Deployment") => {
            (vec![("Name", 0), ("Ready", 0), ("Up-to-date", 0), ("Available", 0), ("Age", 0)], |it| {
                let count = |pointer: &str| it.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
                let ready = format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"));
                let (updated, available) = (count("/status/updatedReplicas"), count("/status/availableReplicas"));
                vec![name(it), json!(ready), json!(updated), json!(available), age(it)]
            })
        }
        ("", "Event") => (vec![("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Message", 0)], |it| {
            let of =
                format!("{}/{}", text(it, "/involvedObject/kind").to_lowercase(), text(it, "/involvedObject/name"));
            let seen = text(it, "/lastTimestamp");
            vec![json!(since(seen)), it["type"].clone(), it["reason"].clone(), json!(of), it["message"].clone()]
        }),
        _ => (vec![("Name", 0), ("Age", 0)], |it| vec![name(it), age(it)]),
    }
}

/// The table of some objects.
pub(super) fn of(ty: &ResourceType, objects: &[&Value], revision: &str, next: Option<String>) -> Value {
    let (columns, cells) = layout(ty);
    let columns: Vec<Value> = columns
        .into_iter()
        .map(|(name, priority)| {
            let format = if name == "Name" { "name" } else { "" };
            json!({ "name": name, "type": "string", "format": format, "description": name, "priority": priority })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|it| {
            let object =
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": it["metadata"] });
            json!({ "cells": cells(it), "object": object })
        })
        .collect();
    let mut metadata = json!({ "resourceVersion": revision });
    if let Some(next) = next {
        metadata["continue"] = json!(next);
    }
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows })
}

fn name(value: &Value) -> Value {
    json!(object::name(value))
}

fn age(value: &Value) -> Value {
    json!(since(object::meta(value, "creationTimestamp")))
}

/// Time since a moment, as kubectl shortens it.
fn since(time: &str) -> String {
    let Ok(then) = time.parse::<jiff::Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = jiff::Timestamp::now().duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

fn pod(pod: &Value) -> Vec<Value> {
    let statuses: Vec<&Value> =
        pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten().collect();
    let ready = statuses.iter().filter(|it| it["ready"] == true).count();
    let total = pod.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
    let restarts: i64 = statuses.iter().filter_map(|it| it["restartCount"].as_i64()).sum();
    let waiting = statuses.iter().map(|it| text(it, "/state/waiting/reason")).find(|reason| !reason.is_empty());
    let status = match (object::is_deleting(pod), waiting) {
        (true, _) => "Terminating",
        (false, Some(reason)) => reason,
        (false, None) => text(pod, "/status/phase"),
    };
    let shown = |pointer: &str| match text(pod, pointer) {
        "" => json!("<none>"),
        found => json!(found),
    };
    vec![
        name(pod),
        json!(format!("{ready}/{total}")),
        json!(status),
        json!(restarts),
        age(pod),
        shown("/status/podIP"),
        shown("/spec/nodeName"),
    ]
}

fn service(service: &Value) -> Vec<Value> {
    let ports: Vec<String> = service
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|port| match port.get("nodePort").and_then(Value::as_i64) {
            Some(node) => format!("{}:{node}/{}", port["port"], text(port, "/protocol")),
            None => format!("{}/{}", port["port"], text(port, "/protocol")),
        })
        .collect();
    let external = match (text(service, "/status/loadBalancer/ingress/0/hostname"), text(service, "/spec/type")) {
        ("", "LoadBalancer") => "<pending>",
        ("", _) => "<none>",
        (hostname, _) => hostname,
    };
    let selector = service.pointer("/spec/selector").and_then(Value::as_object).into_iter().flatten();
    let selector: Vec<String> =
        selector.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    vec![
        name(service),
        json!(text(service, "/spec/type")),
        json!(text(service, "/spec/clusterIP")),
        json!(external),
        json!(ports),
        age(service),
        json!(selector.join(",")),
    ]
}

fn node(node: &Value) -> Vec<Value> {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
    let internal = addresses.into_iter().find(|it| it["type"] == "InternalIP").map(|it| it["address"].clone());
    vec![
        name(node),
        json!(if ready { "Ready" } else { "NotReady" }),
        json!("<none>"),
        age(node),
        json!(text(node, "/status/nodeInfo/kubeletVersion")),
        internal.unwrap_or_default(),
    ]
}
