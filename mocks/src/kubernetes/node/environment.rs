//! Environment variables and arguments of containers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt as _;

use super::{NodeSpec, Site};

/// What a pod does not know before it runs.
pub(super) struct Facts<'a> {
    pub(super) pod: &'a Pod,
    pub(super) pod_ip: String,
    pub(super) node: &'a NodeSpec,
}

/// The environment of a container, or which object is missing.
pub(super) fn environment(
    site: &Site,
    facts: &Facts<'_>,
    container: &Container,
) -> Result<BTreeMap<String, String>, String> {
    let namespace = facts.pod.namespace().unwrap_or_default();
    let mut env = BTreeMap::new();
    if let Some(service) = site.informers.services.get("default", "kubernetes") {
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.clone()).unwrap_or_default();
        env.insert("KUBERNETES_SERVICE_HOST".to_owned(), address);
        env.insert("KUBERNETES_SERVICE_PORT".to_owned(), "443".to_owned());
    }
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            let data = config_map(site, &namespace, &reference.name);
            merge(&mut env, prefix, data, reference.optional, "configmap", &reference.name)?;
        }
        if let Some(reference) = &source.secret_ref {
            let data = secret(site, &namespace, &reference.name);
            merge(&mut env, prefix, data, reference.optional, "secret", &reference.name)?;
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &env)),
            (None, Some(_)) => resolve(site, facts, &namespace, variable)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

/// The arguments: the command, where the spec overrides the image's, then the arguments, with `$(NAME)` expanded.
pub(super) fn arguments(container: &Container, env: &BTreeMap<String, String>) -> Vec<String> {
    let parts = container.command.iter().flatten().chain(container.args.iter().flatten());
    parts.map(|part| expand(part, env)).collect()
}

fn merge(
    env: &mut BTreeMap<String, String>,
    prefix: &str,
    data: Option<BTreeMap<String, String>>,
    optional: Option<bool>,
    kind: &str,
    name: &str,
) -> Result<(), String> {
    match data {
        Some(data) => env.extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value))),
        None if optional == Some(true) => {}
        None => return Err(format!("{kind} \"{name}\" not found")),
    }
    Ok(())
}

fn resolve(site: &Site, facts: &Facts<'_>, namespace: &str, variable: &EnvVar) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else { return Ok(None) };
    if let Some(field) = &source.field_ref {
        return Ok(Some(field_value(facts, &field.field_path)));
    }
    let (data, key, optional, kind, name) = if let Some(reference) = &source.config_map_key_ref {
        (config_map(site, namespace, &reference.name), &reference.key, reference.optional, "configmap", &reference.name)
    } else if let Some(reference) = &source.secret_key_ref {
        (secret(site, namespace, &reference.name), &reference.key, reference.optional, "secret", &reference.name)
    } else {
        return Ok(None);
    };
    match data {
        None if optional == Some(true) => Ok(None),
        None => Err(format!("{kind} \"{name}\" not found")),
        Some(data) => match data.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional == Some(true) => Ok(None),
            None => Err(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        },
    }
}

/// The downward API. Fields that are not known here are empty.
fn field_value(facts: &Facts<'_>, path: &str) -> String {
    let quoted = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(key) = quoted("metadata.labels['") {
        return facts.pod.labels().get(key).cloned().unwrap_or_default();
    }
    if let Some(key) = quoted("metadata.annotations['") {
        return facts.pod.annotations().get(key).cloned().unwrap_or_default();
    }
    match path {
        "metadata.name" => facts.pod.name_any(),
        "metadata.namespace" => facts.pod.namespace().unwrap_or_default(),
        "metadata.uid" => facts.pod.uid().unwrap_or_default(),
        "spec.nodeName" => facts.node.name.clone(),
        "spec.serviceAccountName" => {
            let account = facts.pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
            account.unwrap_or_else(|| "default".to_owned())
        }
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => facts.node.address.to_string(),
        _ => String::new(),
    }
}

fn config_map(site: &Site, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    site.informers.config_maps.get(namespace, name).map(|object| object.data.clone().unwrap_or_default())
}

fn secret(site: &Site, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let object = site.informers.secrets.get(namespace, name)?;
    let text = |bytes: &k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
    Some(object.data.iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect())
}

/// Expands `$(NAME)`; unknown names stay, `$$` is a dollar sign that begins no expansion.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => expanded.push_str(value),
                None => {
                    expanded.push_str("$(");
                    expanded.push_str(name);
                    expanded.push(')');
                }
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain", "plain")]
    #[case("$(A)-$(B)", "1-$(B)")]
    #[case("$$(A) costs 5$", "$(A) costs 5$")]
    #[case("$(A", "$(A")]
    fn variables_expand(#[case] text: &str, #[case] expected: &str) {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand(text, &env), expected);
    }
}
