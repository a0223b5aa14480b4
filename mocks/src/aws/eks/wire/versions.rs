//! The versions there are, on the wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Answer;
use crate::aws::eks::versions::{self, DEFAULT, VERSIONS};
use crate::aws::wire::params::Params;

/// Versions of Kubernetes, newest first, all on one page.
pub(super) fn clusters(query: &Params) -> Answer {
    let asked = query.list("clusterVersions");
    let default_only = query.get("defaultOnly") == Some("true");
    let chosen = VERSIONS.iter().rev().filter(|it| {
        (asked.is_empty() || asked.iter().any(|asked| asked == it.version)) && (!default_only || it.version == DEFAULT)
    });
    let shapes: Vec<_> = chosen
        .map(|it| {
            let (status, long) = match it.standard {
                true => ("standard-support", "STANDARD_SUPPORT"),
                false => ("extended-support", "EXTENDED_SUPPORT"),
            };
            json!({
                "clusterVersion": it.version,
                "clusterType": "eks",
                "defaultPlatformVersion": "eks.1",
                "defaultVersion": it.version == DEFAULT,
                "status": status,
                "versionStatus": long,
            })
        })
        .collect();
    Ok(json!({ "clusterVersions": shapes }))
}

/// Add-ons with their one version for each version of Kubernetes, all on one page.
pub(super) fn addons(query: &Params) -> Answer {
    let (addon, kubernetes) = (query.get("addonName"), query.get("kubernetesVersion"));
    let named = versions::addons().filter(|name| addon.is_none_or(|asked| asked == *name));
    let shapes: Vec<_> = named
        .map(|name| json!({ "addonName": name, "owner": "aws", "publisher": "eks", "addonVersions": builds(name, kubernetes) }))
        .collect();
    Ok(json!({ "addons": shapes }))
}

fn builds(name: &str, kubernetes: Option<&str>) -> Vec<Value> {
    let mut compatible: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for it in VERSIONS.iter().filter(|it| kubernetes.is_none_or(|asked| asked == it.version)) {
        let Some(build) = versions::addon(name, it.version) else { continue };
        let shape = json!({ "clusterVersion": it.version, "platformVersions": ["*"], "defaultVersion": true });
        compatible.entry(build).or_default().push(shape);
    }
    let shape = |(build, compatibilities): (String, Vec<Value>)| {
        json!({
            "addonVersion": build,
            "architecture": ["amd64", "arm64"],
            "compatibilities": compatibilities,
            "requiresConfiguration": false,
        })
    };
    compatible.into_iter().rev().map(shape).collect()
}
