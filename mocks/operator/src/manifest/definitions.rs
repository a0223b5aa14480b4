//! The CustomResourceDefinitions of release 1.6 (`pingcap/tidb-operator manifests/crd.yaml`): names, scope, columns.
//!
//! Simplified: only `TidbCluster` has a schema. It knows every field of `spec`, `spec.pd`, `spec.tikv` and `spec.tidb`;
//! below a field that nothing here acts on it takes anything. The other types take anything.

use serde_json::{Map, Value, json};

/// Group of all types.
pub const GROUP: &str = "pingcap.com";

/// Printer column: name, type, path, priority.
type Column = (&'static str, &'static str, &'static str, i32);

struct Definition {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    /// Whether `status` is a subresource.
    status: bool,
    columns: &'static [Column],
}

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", 0);
const READY: &str = ".status.conditions[?(@.type==\"Ready\")].status";
const MESSAGE: &str = ".status.conditions[?(@.type==\"Ready\")].message";

const DEFINITIONS: [Definition; 10] = [
    Definition {
        kind: "Backup",
        plural: "backups",
        short: "bk",
        status: false,
        columns: &[
            ("Type", "string", ".spec.backupType", 0),
            ("Mode", "string", ".spec.backupMode", 0),
            ("Status", "string", ".status.phase", 0),
            ("BackupPath", "string", ".status.backupPath", 0),
            ("BackupSize", "string", ".status.backupSizeReadable", 0),
            ("IncrementalBackupSize", "string", ".status.incrementalBackupSizeReadable", 10),
            ("CommitTS", "string", ".status.commitTs", 0),
            ("LogTruncateUntil", "string", ".status.logSuccessTruncateUntil", 0),
            ("Started", "date", ".status.timeStarted", 1),
            ("Completed", "date", ".status.timeCompleted", 1),
            ("TimeTaken", "string", ".status.timeTaken", 0),
            AGE,
        ],
    },
    Definition {
        kind: "BackupSchedule",
        plural: "backupschedules",
        short: "bks",
        status: false,
        columns: &[
            ("Schedule", "string", ".spec.schedule", 0),
            ("MaxBackups", "integer", ".spec.maxBackups", 0),
            ("MaxReservedTime", "string", ".spec.maxReservedTime", 0),
            ("LastBackup", "string", ".status.lastBackup", 1),
            ("LastBackupTime", "date", ".status.lastBackupTime", 1),
            AGE,
        ],
    },
    Definition {
        kind: "CompactBackup",
        plural: "compactbackups",
        short: "cpbk",
        status: false,
        columns: &[
            ("Status", "string", ".status.state", 0),
            ("EndTs", "string", ".status.endTs", 0),
            ("Progress", "string", ".status.progress", 0),
            ("Message", "string", ".status.message", 0),
        ],
    },
    Definition {
        kind: "DMCluster",
        plural: "dmclusters",
        short: "dc",
        status: false,
        columns: &[
            ("Ready", "string", READY, 0),
            ("Master", "string", ".status.master.image", 0),
            ("Storage", "string", ".spec.master.storageSize", 0),
            ("Ready", "integer", ".status.master.statefulSet.readyReplicas", 0),
            ("Desire", "integer", ".spec.master.replicas", 0),
            ("Worker", "string", ".status.worker.image", 0),
            ("Storage", "string", ".spec.worker.storageSize", 0),
            ("Ready", "string", ".status.worker.statefulSet.readyReplicas", 0),
            ("Desire", "integer", ".spec.worker.replicas", 0),
            ("Status", "string", MESSAGE, 1),
            AGE,
        ],
    },
    Definition {
        kind: "Restore",
        plural: "restores",
        short: "rt",
        status: false,
        columns: &[
            ("Status", "string", ".status.phase", 0),
            ("Started", "date", ".status.timeStarted", 1),
            ("Completed", "date", ".status.timeCompleted", 1),
            ("TimeTaken", "string", ".status.timeTaken", 0),
            ("CommitTS", "string", ".status.commitTs", 0),
            AGE,
        ],
    },
    Definition {
        kind: "TidbCluster",
        plural: "tidbclusters",
        short: "tc",
        status: false,
        columns: &[
            ("Ready", "string", READY, 0),
            ("PD", "string", ".status.pd.image", 0),
            ("Storage", "string", ".spec.pd.requests.storage", 0),
            ("Ready", "integer", ".status.pd.statefulSet.readyReplicas", 0),
            ("Desire", "integer", ".spec.pd.replicas", 0),
            ("TiKV", "string", ".status.tikv.image", 0),
            ("Storage", "string", ".spec.tikv.requests.storage", 0),
            ("Ready", "integer", ".status.tikv.statefulSet.readyReplicas", 0),
            ("Desire", "integer", ".spec.tikv.replicas", 0),
            ("TiDB", "string", ".status.tidb.image", 0),
            ("Ready", "integer", ".status.tidb.statefulSet.readyReplicas", 0),
            ("Desire", "integer", ".spec.tidb.replicas", 0),
            ("Status", "string", MESSAGE, 1),
            AGE,
        ],
    },
    Definition { kind: "TidbDashboard", plural: "tidbdashboards", short: "td", status: true, columns: &[] },
    Definition { kind: "TidbInitializer", plural: "tidbinitializers", short: "ti", status: false, columns: &[] },
    Definition { kind: "TidbMonitor", plural: "tidbmonitors", short: "tm", status: false, columns: &[] },
    Definition { kind: "TidbNGMonitoring", plural: "tidbngmonitorings", short: "tngm", status: true, columns: &[] },
];

/// Fields of `spec`, and of each component, of which anything is taken.
const SPEC: &str = "affinity annotations configUpdateStrategy discovery dnsConfig dnsPolicy enableDynamicConfiguration \
    enablePVCReplace enablePVReclaim helper hostNetwork imagePullPolicy imagePullSecrets labels nodeSelector pdms \
    podManagementPolicy podSecurityContext preferIPv6 priorityClassName pump pvReclaimPolicy recoveryMode \
    schedulerName serviceAccount services startScriptV2FeatureFlags startScriptVersion statefulSetUpdateStrategy \
    suspendAction ticdc tiflash timezone tiproxy tlsCluster tolerations topologySpreadConstraints";
const COMPONENT: &str = "additionalContainers additionalVolumeMounts additionalVolumes affinity annotations \
    automountServiceAccountToken claims config configUpdateStrategy dnsConfig dnsPolicy env envFrom hostNetwork image \
    imagePullPolicy imagePullSecrets initContainers labels limits maxFailoverCount nodeSelector podManagementPolicy \
    podSecurityContext priorityClassName readinessProbe requests schedulerName securityContext serviceAccount \
    statefulSetUpdateStrategy storageVolumes suspendAction terminationGracePeriodSeconds tolerations \
    topologySpreadConstraints volumeAttributesClassName";
const PD: &str = "dataSubDir enableDashboardInternalProxy initWaitTime mode mountClusterClientSecret service \
    spareVolReplaceReplicas startTimeout startUpScriptVersion tlsClientSecretName";
const TIKV: &str = "dataSubDir enableNamedStatusPort evictLeaderTimeout failover logTailer mountClusterClientSecret \
    privileged raftLogVolumeName recoverFailover rocksDBLogVolumeName scalePolicy separateRaftLog separateRocksDBLog \
    spareVolReplaceReplicas storeLabels waitLeaderTransferBackTimeout";
const TIDB: &str = "arguments binlogEnabled bootstrapSQLConfigMapName customizedStartupProbe initializer lifecycle \
    plugins scalePolicy separateSlowLog service slowLogTailer slowLogVolumeName tlsClient tokenBasedAuthEnabled";

/// The schema of `TidbCluster` version `v1alpha1`.
pub fn tidb_cluster_schema() -> Value {
    let string = json!({"type": "string"});
    let flag = json!({"type": "boolean"});
    let mut spec = anything(SPEC);
    for (name, schema) in [
        ("acrossK8s", flag.clone()),
        ("paused", flag),
        ("clusterDomain", string.clone()),
        ("version", string.clone()),
        ("pdAddresses", json!({"type": "array", "items": string})),
        (
            "cluster",
            json!({"type": "object", "required": ["name"],
                   "properties": {"name": string, "namespace": string, "clusterDomain": string}}),
        ),
        ("pd", component(PD)),
        ("tikv", component(TIKV)),
        ("tidb", component(TIDB)),
    ] {
        spec.insert(name.to_owned(), schema);
    }
    json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": string,
            "kind": string,
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": spec},
            "status": open("object"),
        },
    })
}

fn component(fields: &str) -> Value {
    let mut properties = anything(COMPONENT);
    properties.extend(anything(fields));
    for name in ["baseImage", "version", "storageClassName"] {
        properties.insert(name.to_owned(), json!({"type": "string"}));
    }
    properties.insert("replicas".to_owned(), json!({"type": "integer", "minimum": 0}));
    json!({"type": "object", "required": ["replicas"], "properties": properties})
}

fn anything(names: &str) -> Map<String, Value> {
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    names.split_whitespace().map(|name| (name.to_owned(), any.clone())).collect()
}

fn open(kind: &str) -> Value {
    json!({"type": kind, "x-kubernetes-preserve-unknown-fields": true})
}

/// The definitions, as manifests.
pub fn definitions() -> Vec<Value> {
    DEFINITIONS.iter().map(manifest).collect()
}

fn manifest(definition: &Definition) -> Value {
    let Definition { kind, plural, short, status, columns } = definition;
    let columns = columns.iter().map(|(name, kind, path, priority)| {
        let mut column = json!({"name": name, "type": kind, "jsonPath": path});
        if *priority > 0 {
            column["priority"] = json!(priority);
        }
        column
    });
    let schema = if *kind == "TidbCluster" { tidb_cluster_schema() } else { open("object") };
    let subresources = if *status { json!({"status": {}}) } else { json!({}) };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                      "singular": kind.to_lowercase(), "shortNames": [short]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": subresources, "additionalPrinterColumns": columns.collect::<Vec<_>>(),
            }],
        },
    })
}
