//! How the lists and maps of an object merge: by keys, as sets, or as a whole.
//!
//! The real server reads it from its Go types' tags (`patchMergeKey`) and OpenAPI (`x-kubernetes-list-type`). Here it is
//! a table of the built-in types' fields by name, and a custom resource's structural schema.

use serde_json::Value;

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum List {
    /// It is replaced as a whole.
    Atomic,
    /// Scalars, each once.
    Set,
    /// Objects, told apart by these fields. Strategic merge patch knows only the first.
    Map(Vec<String>),
}

/// What is known of an object's lists.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Schema<'a> {
    /// A built-in type, by its kind.
    Builtin(&'a str),
    /// A custom resource with its OpenAPI schema, if it has one.
    Custom(Option<&'a Value>),
}

impl Schema<'_> {
    /// The list at a path of field names (indices left out).
    pub(super) fn list(&self, path: &[&str]) -> List {
        if let ["metadata", field] = path {
            return match *field {
                "ownerReferences" => keys(&["uid"]),
                "finalizers" => List::Set,
                _ => List::Atomic,
            };
        }
        match self {
            Schema::Builtin(kind) => builtin(kind, path),
            Schema::Custom(schema) => match schema.and_then(|schema| node(schema, path)) {
                Some(node) => match node.get("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("set") => List::Set,
                    Some("map") => {
                        let keys = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                        let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                        List::Map(keys.map(str::to_owned).collect())
                    }
                    _ => List::Atomic,
                },
                None => List::Atomic,
            },
        }
    }

    /// Whether the map at a path is owned and replaced as a whole.
    pub(super) fn is_atomic_map(&self, path: &[&str]) -> bool {
        match self {
            Schema::Builtin(_) => matches!(path.last(), Some(&"selector" | &"nodeSelector" | &"roleRef")),
            Schema::Custom(schema) => schema
                .and_then(|schema| node(schema, path))
                .is_some_and(|node| node.get("x-kubernetes-map-type").is_some_and(|kind| kind == "atomic")),
        }
    }
}

fn keys(keys: &[&str]) -> List {
    List::Map(keys.iter().map(|key| (*key).to_owned()).collect())
}

fn builtin(kind: &str, path: &[&str]) -> List {
    let Some((field, parents)) = path.split_last() else { return List::Atomic };
    let parent = parents.last().copied().unwrap_or_default();
    match (*field, parent) {
        ("ports", "containers" | "initContainers" | "ephemeralContainers") => keys(&["containerPort", "protocol"]),
        ("ports", "spec") if kind == "Service" => keys(&["port", "protocol"]),
        ("containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env", _) => keys(&["name"]),
        ("imagePullSecrets" | "resourceClaims" | "schedulingGates" | "volumesAttached", _) => keys(&["name"]),
        ("secrets", "") => keys(&["name"]),
        ("volumeMounts", _) => keys(&["mountPath"]),
        ("volumeDevices", _) => keys(&["devicePath"]),
        ("hostAliases" | "podIPs" | "hostIPs", _) => keys(&["ip"]),
        ("topologySpreadConstraints", _) => keys(&["topologyKey", "whenUnsatisfiable"]),
        ("conditions", "status") => keys(&["type"]),
        ("addresses", "status") if kind == "Node" => keys(&["type"]),
        ("podCIDRs", _) => List::Set,
        _ => List::Atomic,
    }
}

/// The part of an OpenAPI schema for a path of field names.
fn node<'a>(schema: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |schema, field| {
        let schema = schema.get("items").unwrap_or(schema);
        schema
            .get("properties")
            .and_then(|properties| properties.get(*field))
            .or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
    })
}
