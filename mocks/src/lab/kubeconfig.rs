//! The kubeconfig that eksctl writes, for plain HTTP.

use serde_json::{Value, json};

/// Who is calling, as the emulated STS says.
const USER: &str = "acrossk8s";

/// A kubeconfig with a context `<user>@<cluster>.<region>.eksctl.io` for each cluster, given by region, name and URL.
pub(super) fn of<'a>(clusters: impl Iterator<Item = (&'a str, &'a str, String)>) -> String {
    let (mut entries, mut contexts, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (region, name, url) in clusters {
        let cluster = format!("{name}.{region}.eksctl.io");
        let user = format!("{USER}@{cluster}");
        entries.push(json!({ "name": cluster, "cluster": { "server": url } }));
        contexts.push(json!({ "name": user, "context": { "cluster": cluster, "user": user } }));
        users.push(json!({ "name": user, "user": {} }));
    }
    let current: Value = contexts.first().map(|it| it["name"].clone()).unwrap_or_default();
    // JSON is YAML, and every reader of a kubeconfig takes it.
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": entries,
        "contexts": contexts,
        "users": users,
        "current-context": if current.is_null() { json!("") } else { current },
    })
    .to_string()
}
