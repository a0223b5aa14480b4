//! OpenAPI, as much as clients need to know that the server validates fields itself: the PATCH operation of each
//! resource with its kind and its parameter `fieldValidation`. There are no schemas of the built-in types.

use serde_json::{Value, json};

use super::Shared;

impl Shared {
    /// `/openapi/v3`: where the document of each group and version is.
    pub(super) fn openapi_index(&self) -> Value {
        let paths = self.group_versions().into_iter().map(|(group, version)| {
            let path = path(&group, &version);
            let url = format!("/openapi/v3/{path}?hash=1");
            (path, json!({ "serverRelativeURL": url }))
        });
        json!({ "paths": paths.collect::<serde_json::Map<_, _>>() })
    }

    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.
    pub(super) fn openapi(&self, wanted: &str) -> Option<Value> {
        let (group, version) =
            self.group_versions().into_iter().find(|(group, version)| path(group, version) == wanted)?;
        let types = self.store.with(|state| state.types());
        let paths =
            types.iter().filter(|(_, ty)| ty.group == group && ty.version(&version).is_some()).map(|(_, ty)| {
                let scope = if ty.namespaced { "/namespaces/{namespace}" } else { "" };
                let kind = json!({ "group": group, "version": version, "kind": ty.kind });
                let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
                let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
                let operation = json!({
                    "operationId": format!("patch{}", ty.kind),
                    "parameters": parameters,
                    "responses": { "200": { "description": "OK" } },
                    "x-kubernetes-action": "patch",
                    "x-kubernetes-group-version-kind": kind,
                });
                (format!("/{wanted}{scope}/{}/{{name}}", ty.plural), json!({ "patch": operation }))
            });
        let paths: serde_json::Map<_, _> = paths.collect();
        let info = json!({ "title": "Kubernetes", "version": self.config.version });
        Some(json!({ "openapi": "3.0.0", "info": info, "paths": paths, "components": { "schemas": {} } }))
    }
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}
