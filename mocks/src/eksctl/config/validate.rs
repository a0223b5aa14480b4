//! What eksctl checks before it makes anything.

use std::collections::BTreeSet;

use super::{ClusterConfig, ConfigError, NodeGroup};
use crate::aws::eks::versions::{VERSIONS, kubernetes};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn refuse(message: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError(message.into()))
}

pub(super) fn check(config: &ClusterConfig) -> Result<(), ConfigError> {
    if config.api_version != "eksctl.io/v1alpha5" || config.kind != "ClusterConfig" {
        return refuse(format!("no kind \"{}\" is registered for version \"{}\"", config.kind, config.api_version));
    }
    metadata(config)?;
    network(config)?;
    if config.auto_mode_config.enabled {
        return refuse(
            "autoModeConfig.enabled: EKS Auto Mode runs no CoreDNS pods that could be configured, and is not emulated",
        );
    }
    zones(config)?;
    let mut names = BTreeSet::new();
    for (path, group, managed) in config.groups_by_path() {
        if group.name.is_empty() {
            return refuse(format!("{path}.name must be set"));
        }
        if !names.insert(&group.name) {
            return refuse(format!("{path}.name \"{}\" is not unique", group.name));
        }
        node_group(config, &path, group, managed)?;
    }
    let mut names = BTreeSet::new();
    for (index, addon) in config.addons.iter().enumerate() {
        if addon.name.is_empty() {
            return refuse(format!("addons[{index}].name must be set"));
        }
        if !names.insert(&addon.name) {
            return refuse(format!("addons[{index}].name \"{}\" is not unique", addon.name));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn metadata(config: &ClusterConfig) -> Result<(), ConfigError> {
    let metadata = &config.metadata;
    if metadata.name.is_empty() || metadata.region.is_empty() {
        return refuse("metadata.name and metadata.region must be set");
    }
    if !is_name(&metadata.name) {
        return refuse(format!(
            "validation for {} failed, name must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
            metadata.name
        ));
    }
    if metadata.name.len() > 100 {
        return refuse("metadata.name: cluster name must not be longer than 100 characters");
    }
    if kubernetes(&metadata.version).is_none() {
        let known: Vec<_> = VERSIONS.iter().map(|it| it.version).collect();
        return refuse(format!(
            "metadata.version: invalid version {}, supported values: {}",
            metadata.version,
            known.join(", ")
        ));
    }
    Ok(())
}

fn network(config: &ClusterConfig) -> Result<(), ConfigError> {
    let length = config.cidr_block().prefix_len();
    if !(16..=24).contains(&length) {
        return refuse(format!("vpc.cidr: VPC CIDR prefix must be between /16 and /24, not /{length}"));
    }
    if config.vpc.manage_shared_node_security_group_rules == Some(false) {
        return refuse(
            "vpc.manageSharedNodeSecurityGroupRules must be enabled when using eksctl-managed security groups",
        );
    }
    match config.kubernetes_network_config.ip_family.as_deref() {
        None | Some("IPv4") => Ok(()),
        Some("IPv6") => refuse("kubernetesNetworkConfig.ipFamily: IPv6 clusters are not emulated"),
        Some(other) => refuse(format!("invalid value \"{other}\" for ipFamily; allowed are IPv4 and IPv6")),
    }
}

fn zones(config: &ClusterConfig) -> Result<(), ConfigError> {
    let zones = &config.availability_zones;
    foreign_zone(config, "availabilityZones", zones)?;
    if zones.len() == 1 {
        return refuse("availabilityZones: only 1 zone specified, at least 2 are required (can be non-unique)");
    }
    if zones.iter().collect::<BTreeSet<_>>().len() < zones.len() {
        return refuse("availabilityZones: a zone that is named twice is not emulated");
    }
    Ok(())
}

fn foreign_zone(config: &ClusterConfig, path: &str, zones: &[String]) -> Result<(), ConfigError> {
    let region = &config.metadata.region;
    let of_region = |zone: &str| {
        let letter = zone.strip_prefix(region.as_str()).unwrap_or_default();
        letter.len() == 1 && letter.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    match zones.iter().find(|zone| !of_region(zone)) {
        Some(zone) => refuse(format!("{path}: {zone} is not an availability zone of {region}")),
        None => Ok(()),
    }
}

fn node_group(config: &ClusterConfig, path: &str, group: &NodeGroup, managed: bool) -> Result<(), ConfigError> {
    if !is_name(&group.name) || group.name.len() > 63 {
        return refuse(format!(
            "{path}.name: validation for {} failed, name must satisfy regular expression pattern: \
             [a-zA-Z][-a-zA-Z0-9]* and have 63 characters at most",
            group.name
        ));
    }
    foreign_zone(config, &format!("{path}.availabilityZones"), &group.availability_zones)?;
    let (min, desired, max) = group.size();
    if desired < min {
        return refuse(format!("{path}: desiredCapacity ({desired}) cannot be lower than minSize ({min})"));
    }
    if desired > max {
        return refuse(format!("{path}: desiredCapacity ({desired}) cannot be greater than maxSize ({max})"));
    }
    if group.instance_type.is_some() && !group.instance_types.is_empty() {
        return refuse(format!("only one of instanceType or instanceTypes can be specified ({path})"));
    }
    let groups = &group.security_groups;
    if managed && (groups.with_local.is_some() || groups.with_shared.is_some()) {
        return refuse(format!(
            "securityGroups.withLocal and securityGroups.withShared are not supported for managed nodegroups \
             ({path}.securityGroups)"
        ));
    }
    if group.ssh.allow {
        return refuse(format!("{path}.ssh.allow: SSH access, with its security group rules, is not emulated"));
    }
    labels(path, group)?;
    taints(path, group)
}

fn labels(path: &str, group: &NodeGroup) -> Result<(), ConfigError> {
    for (key, value) in &group.labels {
        if !is_qualified(key) {
            return refuse(format!("{path}.labels: label \"{key}\" is invalid"));
        }
        if !is_label_value(value) {
            return refuse(format!("{path}.labels: label \"{key}\" has invalid value \"{value}\""));
        }
    }
    let reserved: Vec<&str> = group.labels.keys().map(String::as_str).filter(|key| is_reserved(key)).collect();
    if !reserved.is_empty() {
        return refuse(format!(
            "{path}.labels: the following nodegroup labels are disallowed as they have reserved prefixes \
             [kubernetes.io/, k8s.io/]: {}",
            reserved.join(", ")
        ));
    }
    Ok(())
}

fn taints(path: &str, group: &NodeGroup) -> Result<(), ConfigError> {
    for taint in group.taints() {
        if taint.key.is_empty() {
            return refuse(format!("{path}.taints: taint key must be non-empty"));
        }
        if !is_qualified(&taint.key) {
            return refuse(format!("{path}.taints: invalid taint key: {}", taint.key));
        }
        if !is_label_value(&taint.value) {
            return refuse(format!("{path}.taints: invalid taint value: {}", taint.value));
        }
        if !EFFECTS.contains(&taint.effect.as_str()) {
            return refuse(format!(
                "{path}.taints: invalid taint effect: {}, unsupported taint effect. Valid taint effects are: {}",
                taint.effect,
                EFFECTS.join(", ")
            ));
        }
    }
    Ok(())
}

/// A label value of Kubernetes's: 63 letters, digits, `-`, `_` and `.` at most, the first and last a letter or digit.
fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63 && value.chars().all(inner) && ends(value.chars().next()) && ends(value.chars().next_back())
}

/// A name with a DNS domain before a slash in front of it, or without one.
fn is_qualified(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !name.is_empty()
        && is_label_value(name)
        && domain.is_none_or(|domain| domain.len() <= 253 && domain.split('.').all(label))
}

/// Whether a label is Kubernetes's own, and none that a kubelet may set on its node.
///
/// Source: Kubernetes, `k8s.io/kubelet/pkg/apis/well_known_labels.go`.
fn is_reserved(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return false };
    let within = |suffix: &str| domain == suffix || domain.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    let own = within("kubernetes.io") || within("k8s.io");
    let allowed = [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
    ];
    own && !within("kubelet.kubernetes.io") && !within("node.kubernetes.io") && !allowed.contains(&key)
}
