//! The fields of a `ClusterConfig`, from eksctl's JSON schema (`v1alpha5`).

use serde_json::Value;

use super::ConfigError;

/// What is known about the fields of one kind of object.
struct Object {
    /// Fields that count here.
    emulated: &'static [(&'static str, Shape)],
    /// Fields that eksctl knows and that change nothing that is emulated.
    ignored: &'static [&'static str],
    /// Fields that eksctl knows and that would change what is made: nobody should believe that they did.
    refused: &'static [&'static str],
}

enum Shape {
    /// A value; its type is checked where it is read.
    Value,
    One(&'static Object),
    List(&'static Object),
}

use Shape::{List, One, Value as V};

const CLUSTER_CONFIG: Object = Object {
    emulated: &[
        ("apiVersion", V),
        ("kind", V),
        ("metadata", One(&METADATA)),
        ("kubernetesNetworkConfig", One(&NETWORK)),
        ("vpc", One(&VPC)),
        ("availabilityZones", V),
        ("nodeGroups", List(&NODE_GROUP)),
        ("managedNodeGroups", List(&MANAGED_NODE_GROUP)),
        ("addons", List(&ADDON)),
        ("addonsConfig", One(&ADDONS)),
        ("autoModeConfig", One(&AUTO_MODE)),
    ],
    ignored: &[
        "accessConfig",
        "capabilities",
        "cloudWatch",
        "controlPlaneScalingConfig",
        "gitops",
        "iam",
        "iamIdentityMappings",
        "identityProviders",
        "kubeAPIServerConfig",
        "kubeControllerManagerConfig",
        "kubeSchedulerConfig",
        "secretsEncryption",
        "upgradePolicy",
        "zonalShiftConfig",
    ],
    refused: &["fargateProfiles", "karpenter", "localZones", "outpost", "privateCluster", "remoteNetworkConfig"],
};

const METADATA: Object = Object {
    emulated: &[("name", V), ("region", V), ("version", V), ("tags", V)],
    ignored: &["annotations", "forceUpdateVersion", "rollbackConfig"],
    refused: &[],
};

const NETWORK: Object =
    Object { emulated: &[("serviceIPv4CIDR", V), ("ipFamily", V)], ignored: &[], refused: &["serviceIPv6CIDR"] };

const VPC: Object = Object {
    emulated: &[("cidr", V), ("nat", One(&NAT)), ("manageSharedNodeSecurityGroupRules", V)],
    ignored: &["clusterEndpoints", "controlPlaneEgressMode", "hostnameType", "publicAccessCIDRs"],
    refused: &[
        "autoAllocateIPv6",
        "controlPlaneOnPrivateSubnets",
        "controlPlaneSecurityGroupIDs",
        "controlPlaneSubnetIDs",
        "extraCIDRs",
        "extraIPv6CIDRs",
        "id",
        "ipv6Cidr",
        "ipv6Pool",
        "securityGroup",
        "sharedNodeSecurityGroup",
        "subnets",
    ],
};

const NAT: Object = Object { emulated: &[("gateway", V)], ignored: &[], refused: &[] };

const NODE_GROUP: Object = Object {
    emulated: &[
        ("name", V),
        ("desiredCapacity", V),
        ("minSize", V),
        ("maxSize", V),
        ("instanceType", V),
        ("privateNetworking", V),
        ("availabilityZones", V),
        ("labels", V),
        ("taints", V),
        ("tags", V),
        ("securityGroups", One(&SECURITY_GROUPS)),
        ("ssh", One(&SSH)),
    ],
    ignored: &[
        "additionalVolumes",
        "ami",
        "amiFamily",
        "asgMetricsCollection",
        "asgSuspendProcesses",
        "bottlerocket",
        "capacityReservation",
        "clusterDNS",
        "containerRuntime",
        "cpuCredits",
        "disableIMDSv1",
        "disablePodIMDS",
        "ebsOptimized",
        "enableDetailedMonitoring",
        "enclaveEnabled",
        "iam",
        "instanceMarketOptions",
        "instanceName",
        "instancePrefix",
        "kubeletExtraConfig",
        "maxInstanceLifetime",
        "maxPodsPerNode",
        "overrideBootstrapCommand",
        "placement",
        "preBootstrapCommands",
        "propagateASGTags",
        "updateConfig",
        "volumeEncrypted",
        "volumeIOPS",
        "volumeKmsKeyID",
        "volumeName",
        "volumeSize",
        "volumeThroughput",
        "volumeType",
    ],
    refused: &[
        "classicLoadBalancerNames",
        "efaEnabled",
        "instanceSelector",
        "instancesDistribution",
        "localZones",
        "outpostARN",
        "subnets",
        "targetGroupARNs",
    ],
};

const MANAGED_NODE_GROUP: Object = Object {
    emulated: &[
        ("name", V),
        ("desiredCapacity", V),
        ("minSize", V),
        ("maxSize", V),
        ("instanceType", V),
        ("instanceTypes", V),
        ("privateNetworking", V),
        ("availabilityZones", V),
        ("labels", V),
        ("taints", V),
        ("tags", V),
        ("securityGroups", One(&SECURITY_GROUPS)),
        ("ssh", One(&SSH)),
    ],
    ignored: &[
        "additionalVolumes",
        "ami",
        "amiFamily",
        "asgSuspendProcesses",
        "bottlerocket",
        "capacityReservation",
        "disableIMDSv1",
        "disablePodIMDS",
        "ebsOptimized",
        "enableDetailedMonitoring",
        "iam",
        "instanceMarketOptions",
        "instanceName",
        "instancePrefix",
        "maxPodsPerNode",
        "nodeRepairConfig",
        "overrideBootstrapCommand",
        "placement",
        "preBootstrapCommands",
        "propagateASGTags",
        "releaseVersion",
        "spot",
        "updateConfig",
        "volumeEncrypted",
        "volumeIOPS",
        "volumeKmsKeyID",
        "volumeName",
        "volumeSize",
        "volumeThroughput",
        "volumeType",
    ],
    refused: &["efaEnabled", "instanceSelector", "launchTemplate", "outpostARN", "subnets"],
};

const SECURITY_GROUPS: Object =
    Object { emulated: &[("attachIDs", V), ("withLocal", V), ("withShared", V)], ignored: &[], refused: &[] };

const SSH: Object = Object {
    emulated: &[("allow", V)],
    ignored: &["enableSsm", "publicKey", "publicKeyName", "publicKeyPath", "sourceSecurityGroupIds"],
    refused: &[],
};

const ADDON: Object = Object {
    emulated: &[("name", V), ("version", V), ("configurationValues", V), ("tags", V)],
    ignored: &[
        "attachPolicy",
        "attachPolicyARNs",
        "namespaceConfig",
        "owners",
        "permissionsBoundary",
        "podIdentityAssociations",
        "publishers",
        "resolveConflicts",
        "serviceAccountRoleARN",
        "types",
        "useDefaultPodIdentityAssociations",
        "wellKnownPolicies",
    ],
    refused: &[],
};

const ADDONS: Object =
    Object { emulated: &[("disableDefaultAddons", V)], ignored: &["autoApplyPodIdentityAssociations"], refused: &[] };

const AUTO_MODE: Object = Object {
    emulated: &[("enabled", V)],
    ignored: &["nodePools", "nodeRoleARN", "permissionsBoundaryARN"],
    refused: &[],
};

/// Checks that there is no field that eksctl does not know or that is not emulated.
///
/// # Errors
/// With the path of the first one.
pub(super) fn check(document: &Value) -> Result<(), ConfigError> {
    walk(document, "", &CLUSTER_CONFIG)
}

fn walk(value: &Value, path: &str, object: &Object) -> Result<(), ConfigError> {
    // What is no mapping where one belongs is told by the reader, with the type that belongs there.
    let Some(members) = value.as_object() else { return Ok(()) };
    for (name, value) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if object.ignored.contains(&name.as_str()) {
            continue;
        }
        if object.refused.contains(&name.as_str()) {
            if value.is_null() {
                continue;
            }
            return Err(ConfigError(format!("{path}: eksctl knows this field, but it is not emulated")));
        }
        match object.emulated.iter().find(|(known, _)| known == name) {
            None => return Err(ConfigError(format!("json: unknown field \"{path}\""))),
            Some((_, Shape::Value)) => {}
            Some((_, Shape::One(object))) => walk(value, &path, object)?,
            Some((_, Shape::List(object))) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    walk(item, &format!("{path}[{index}]"), object)?;
                }
            }
        }
    }
    Ok(())
}
