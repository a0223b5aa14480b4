//! Discovery: groups, versions and resources.

use serde_json::{Value, json};

use super::Shared;
use super::resources::ResourceType;

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Shared {
    /// Served types with each of their versions.
    fn served(&self) -> Vec<(std::sync::Arc<ResourceType>, String)> {
        let types = self.store.with(|state| state.types());
        types
            .into_iter()
            .flat_map(|(_, ty)| {
                let versions: Vec<String> = ty.served.iter().map(|version| version.name.to_string()).collect();
                versions.into_iter().map(move |version| (ty.clone(), version))
            })
            .collect()
    }

    /// `/apis`.
    pub(super) fn groups(&self) -> Value {
        let mut groups: indexmap::IndexMap<String, Vec<String>> = indexmap::IndexMap::new();
        for (ty, version) in self.served().into_iter().filter(|(ty, _)| !ty.group.is_empty()) {
            let versions = groups.entry(ty.group.to_string()).or_default();
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        let groups: Vec<Value> = groups.iter().map(|(group, versions)| group_of(group, versions)).collect();
        json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
    }

    /// `/apis/GROUP`.
    pub(super) fn group(&self, group: &str) -> Option<Value> {
        let mut versions = Vec::new();
        for (_, version) in self.served().into_iter().filter(|(ty, _)| ty.group == group) {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        (!versions.is_empty() && !group.is_empty()).then(|| {
            let mut found = group_of(group, &versions);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            found
        })
    }

    /// `/api/v1` and `/apis/GROUP/VERSION`.
    pub(super) fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let mut resources = Vec::new();
        for (ty, _) in self.served().into_iter().filter(|(ty, served)| ty.group == group && served == version) {
            resources.extend(resources_of(&ty, version));
        }
        let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        (!resources.is_empty()).then(|| {
            json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources })
        })
    }

    /// Groups and versions that are served, as path segments: `api/v1`, `apis/apps/v1`.
    pub(super) fn group_versions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (ty, version) in self.served() {
            let pair = (ty.group.to_string(), version);
            if !found.contains(&pair) {
                found.push(pair);
            }
        }
        found
    }
}

fn group_of(group: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    json!({ "name": group, "preferredVersion": versions.first(), "versions": versions })
}

fn resources_of(ty: &ResourceType, version: &str) -> Vec<Value> {
    let mut found = vec![json!({
        "name": ty.plural,
        "singularName": ty.singular,
        "namespaced": ty.namespaced,
        "kind": ty.kind,
        "verbs": VERBS,
        "shortNames": ty.short_names,
        "categories": ty.categories,
    })];
    let mut sub = |name: &str, kind: &str, verbs: &[&str]| {
        found.push(json!({
            "name": format!("{}/{name}", ty.plural),
            "singularName": "",
            "namespaced": ty.namespaced,
            "kind": kind,
            "verbs": verbs,
        }));
    };
    let served = ty.version(version);
    if served.is_some_and(|it| it.status) {
        sub("status", &ty.kind, &["get", "patch", "update"]);
    }
    if served.is_some_and(|it| it.scale.is_some()) {
        sub("scale", "Scale", &["get", "patch", "update"]);
    }
    for (name, kind) in ty.subresources {
        sub(name, kind, &["create", "get"]);
    }
    found
}
