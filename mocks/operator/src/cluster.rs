//! The fields of a `TidbCluster` that the operator acts on, and the names that follow from them
//! (`pingcap/tidb-operator pkg/apis/pingcap/v1alpha1/tidbcluster.go`, `pkg/controller/controller_utils.go`).
//!
//! Simplified: PD, TiKV and TiDB are the only components; TLS, PD microservices, failover replicas and heterogeneous
//! clusters without PD of their own beyond discovery are left out.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Port of PD's clients.
pub const PD_CLIENT_PORT: u16 = 2379;
/// Port of PD's peers.
pub const PD_PEER_PORT: u16 = 2380;
/// Port of a TiKV store.
pub const TIKV_PORT: u16 = 20160;
/// Port of TiDB's status.
pub const TIDB_STATUS_PORT: u16 = 10080;

/// A `TidbCluster`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TidbCluster {
    /// Name, namespace, UID, resource version.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: Spec,
    /// What is there.
    #[serde(default)]
    pub status: Status,
}

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Version of the components that name none.
    pub version: String,
    /// Whether components of other Kubernetes clusters belong to the same TiDB cluster.
    #[serde(rename = "acrossK8s")]
    pub across_k8s: bool,
    /// Domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// The cluster that this one joins; none initialises.
    pub cluster: Option<ClusterRef>,
    /// Addresses of a PD cluster to join.
    pub pd_addresses: Vec<String>,
    /// Not reconciled while set.
    pub paused: bool,
    /// PD.
    pub pd: Option<Component>,
    /// TiKV.
    pub tikv: Option<Component>,
    /// TiDB.
    pub tidb: Option<Component>,
}

/// `spec.cluster`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRef {
    /// Name of the other `TidbCluster`.
    pub name: String,
    /// Its namespace; empty for the same.
    pub namespace: String,
    /// Domain of its Kubernetes cluster.
    pub cluster_domain: String,
}

/// `spec.pd`, `spec.tikv`, `spec.tidb`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Component {
    /// Pods wanted.
    pub replicas: i32,
    /// Image without tag.
    pub base_image: String,
    /// Version, where it is not the cluster's.
    pub version: Option<String>,
    /// Requests, with the size of the claim under `storage`.
    pub requests: BTreeMap<String, serde_json::Value>,
    /// Class of the claim.
    pub storage_class_name: Option<String>,
    /// The Service for end users (TiDB).
    pub service: Option<serde_json::Value>,
    /// Configuration: a table, or text.
    pub config: Option<serde_json::Value>,
}

/// `status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Id of the PD cluster.
    #[serde(rename = "clusterID")]
    pub cluster_id: String,
    /// PD.
    pub pd: PdStatus,
    /// TiKV.
    pub tikv: TikvStatus,
    /// TiDB.
    pub tidb: TidbStatus,
    /// Conditions.
    pub conditions: Vec<serde_json::Value>,
}

/// `status.pd`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PdStatus {
    /// Whether the members were read.
    pub synced: bool,
    /// `Normal`, `Scale`, `Upgrade`.
    pub phase: String,
    /// Image of the StatefulSet.
    pub image: String,
    /// Status of the StatefulSet.
    pub stateful_set: Option<serde_json::Value>,
    /// Members of this `TidbCluster`.
    pub members: BTreeMap<String, PdMember>,
    /// Members of the others.
    pub peer_members: BTreeMap<String, PdMember>,
    /// The leader.
    pub leader: Option<PdMember>,
}

/// A PD member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PdMember {
    /// Name.
    pub name: String,
    /// Id, in decimal.
    pub id: String,
    /// First client URL.
    #[serde(rename = "clientURL")]
    pub client_url: String,
    /// Whether PD calls it healthy.
    pub health: bool,
}

/// `status.tikv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TikvStatus {
    /// Whether the stores were read.
    pub synced: bool,
    /// `Normal`, `Scale`, `Upgrade`.
    pub phase: String,
    /// Image of the StatefulSet.
    pub image: String,
    /// Status of the StatefulSet.
    pub stateful_set: Option<serde_json::Value>,
    /// Stores of this `TidbCluster`, by id.
    pub stores: BTreeMap<String, Store>,
    /// Stores of the others, by id.
    pub peer_stores: BTreeMap<String, Store>,
    /// Removed stores of this `TidbCluster`.
    pub tombstone_stores: BTreeMap<String, Store>,
}

/// A TiKV store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Store {
    /// Id, in decimal.
    pub id: String,
    /// Name of the pod.
    pub pod_name: String,
    /// Host of the address: a name, in spite of the field's.
    pub ip: String,
    /// Leaders of regions on it.
    pub leader_count: i64,
    /// `Up`, `Offline`, `Tombstone`, `Down`, `Disconnected`.
    pub state: String,
}

/// `status.tidb`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TidbStatus {
    /// `Normal`, `Scale`, `Upgrade`.
    pub phase: String,
    /// Image of the StatefulSet.
    pub image: String,
    /// Status of the StatefulSet.
    pub stateful_set: Option<serde_json::Value>,
    /// Members by pod.
    pub members: BTreeMap<String, TidbMember>,
}

/// A TiDB server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TidbMember {
    /// Name of the pod.
    pub name: String,
    /// Whether its status port answers 200.
    pub health: bool,
}

impl TidbCluster {
    /// Name; empty before it is created.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace; empty where none is set.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Whether members are known by their fully qualified names.
    pub fn qualified(&self) -> bool {
        self.spec.across_k8s || !self.spec.cluster_domain.is_empty()
    }

    /// `<service>.<namespace>.svc[.<domain>]`.
    pub fn service_domain(&self, service: &str) -> String {
        format!("{service}.{}.svc{}", self.namespace(), suffix(&self.spec.cluster_domain))
    }

    /// Host of a pod: `<tc>-<component>-N.<tc>-<component>-peer.<namespace>.svc[.<domain>]`.
    pub fn pod_domain(&self, component: &str, ordinal: i32) -> String {
        let set = format!("{}-{component}", self.name());
        format!("{set}-{ordinal}.{}", self.service_domain(&format!("{set}-peer")))
    }

    /// `host:port` of the PD client Service: `<tc>-pd.<namespace>[.svc.<domain>]:2379`.
    pub fn pd_service(&self) -> String {
        let domain = &self.spec.cluster_domain;
        let svc = if domain.is_empty() { String::new() } else { format!(".svc.{domain}") };
        format!("{}-pd.{}{svc}:{PD_CLIENT_PORT}", self.name(), self.namespace())
    }

    /// `host:port` of PD of the cluster that is joined: the headless Service across Kubernetes clusters.
    pub fn joined_pd_service(&self) -> Option<String> {
        let joined = self.spec.cluster.as_ref()?;
        let namespace = if joined.namespace.is_empty() { self.namespace() } else { &joined.namespace };
        let service = if self.spec.across_k8s { "pd-peer" } else { "pd" };
        let domain = &joined.cluster_domain;
        let svc = if domain.is_empty() { String::new() } else { format!(".svc.{domain}") };
        Some(format!("{}-{service}.{namespace}{svc}:{PD_CLIENT_PORT}", joined.name))
    }

    /// Ordinal of a pod of this cluster's component from the host of an address; none for one of another cluster.
    pub fn own_ordinal(&self, component: &str, host: &str) -> Option<i32> {
        let set = format!("{}-{component}", self.name());
        let rest = host.strip_prefix(&format!("{set}-"))?;
        let (ordinal, domain) = rest.split_once('.')?;
        let unqualified = format!("{set}-peer.{}.svc", self.namespace());
        let own = domain == unqualified || domain == self.service_domain(&format!("{set}-peer"));
        (own && !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| ordinal.parse().ok())?
    }
}

fn suffix(domain: &str) -> String {
    if domain.is_empty() { String::new() } else { format!(".{domain}") }
}

#[cfg(test)]
pub(crate) fn sample(name: &str, namespace: &str, replicas: i32) -> TidbCluster {
    let component = |image: &str| Component { replicas, base_image: image.to_owned(), ..Component::default() };
    TidbCluster {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: Some("uid".to_owned()),
            resource_version: Some("1".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Spec {
            version: "v8.5.5".to_owned(),
            across_k8s: true,
            cluster_domain: "cluster.local".to_owned(),
            pd: Some(component("pingcap/pd")),
            tikv: Some(component("pingcap/tikv")),
            tidb: Some(component("pingcap/tidb")),
            ..Spec::default()
        },
        status: Status::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("tc1-pd-0.tc1-pd-peer.ns1.svc.cluster.local", Some(0))]
    #[case("tc1-pd-12.tc1-pd-peer.ns1.svc", Some(12))]
    #[case("tc1-pd-0.tc1-pd-peer.ns2.svc.cluster.local", None)]
    #[case("tc1-pd-x.tc1-pd-peer.ns1.svc.cluster.local", None)]
    #[case("tc2-pd-0.tc2-pd-peer.ns1.svc.cluster.local", None)]
    fn own_pods_are_told_from_peers(#[case] host: &str, #[case] ordinal: Option<i32>) {
        assert_eq!(sample("tc1", "ns1", 1).own_ordinal("pd", host), ordinal);
    }

    #[test]
    fn a_joined_cluster_is_asked_at_its_headless_service() {
        let mut tc = sample("tc2", "ns2", 1);
        tc.spec.cluster =
            Some(ClusterRef { name: "tc1".into(), namespace: "ns1".into(), cluster_domain: "cluster.local".into() });
        assert_eq!(tc.joined_pd_service().as_deref(), Some("tc1-pd-peer.ns1.svc.cluster.local:2379"));
        tc.spec.across_k8s = false;
        assert_eq!(tc.joined_pd_service().as_deref(), Some("tc1-pd.ns1.svc.cluster.local:2379"));
    }
}
