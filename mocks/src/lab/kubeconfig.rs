//! Kubeconfigs, as eksctl writes them.

use serde_json::{Value, json};

use super::LabError;

/// User in the names of contexts, where eksctl puts the IAM user.
const USER: &str = "acrossk8s";

/// A cluster in a kubeconfig.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) endpoint: String,
}

impl Entry {
    fn cluster(&self) -> String {
        format!("{}.{}.eksctl.io", self.name, self.region)
    }

    /// Name of its context.
    pub(super) fn context(&self) -> String {
        format!("{USER}@{}", self.cluster())
    }
}

/// A kubeconfig in YAML. The emulated API asks for no credentials.
pub(super) fn write(entries: &[Entry], current: Option<&str>) -> Result<String, LabError> {
    let list = |entry: fn(&Entry) -> Value| entries.iter().map(entry).collect::<Vec<_>>();
    let mut config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": list(|it| json!({ "name": it.cluster(), "cluster": { "server": it.endpoint } })),
        "contexts": list(|it| {
            json!({ "name": it.context(), "context": { "cluster": it.cluster(), "user": it.context() } })
        }),
        "users": list(|it| json!({ "name": it.context(), "user": {} })),
    });
    if let Some(current) = current {
        config["current-context"] = current.into();
    }
    serde_saphyr::to_string(&config).map_err(|error| LabError::Kubeconfig(error.to_string()))
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    #[test]
    fn contexts_are_named_as_eksctl_names_them() {
        let entry = |name: &str, port: u16| Entry {
            name: name.to_owned(),
            region: "us-west-1".to_owned(),
            endpoint: format!("http://127.0.0.1:{port}"),
        };
        let entries = [entry("tidb-1", 1), entry("tidb-2", 2)];
        let yaml = write(&entries, Some(&entries[1].context())).expect("it can be written");
        let config = Kubeconfig::from_yaml(&yaml).expect("it can be read");
        let names: Vec<_> = config.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!(names, ["acrossk8s@tidb-1.us-west-1.eksctl.io", "acrossk8s@tidb-2.us-west-1.eksctl.io"]);
        assert_eq!(config.current_context.as_deref(), Some("acrossk8s@tidb-2.us-west-1.eksctl.io"));
        let servers: Vec<_> = config.clusters.iter().filter_map(|it| it.cluster.clone()?.server).collect();
        assert_eq!(servers, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    }
}
