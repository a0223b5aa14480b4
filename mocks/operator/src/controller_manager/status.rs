//! Gates, the next number of replicas and conditions: pure functions of a `TidbCluster`.
//!
//! Simplified: `lastTransitionTime` is kept for conditions only; `unjoinedMembers` and `failureMembers` are left out.

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::objects::Kind;
use crate::cluster::{PdMember, Status, Store, TidbCluster};
use crate::pd::{Health, Members, Stores};

/// Puts PD's members into the status: its own, told by their client URL, and its peers.
pub fn set_members(tc: &TidbCluster, status: &mut Status, members: &Members, health: &[Health]) {
    let known = |name: &str| health.iter().any(|one| one.name == name && one.health);
    let pd = &mut status.pd;
    (pd.members, pd.peer_members) = Default::default();
    for member in &members.members {
        // A member that has not started yet has neither name nor URL.
        let Some(url) = member.client_urls.first().filter(|_| !member.name.is_empty()) else { continue };
        let entry = PdMember {
            name: member.name.clone(),
            id: member.member_id.to_string(),
            client_url: url.clone(),
            health: known(&member.name),
        };
        let own = tc.own_ordinal("pd", host(url)).is_some();
        let map = if own { &mut pd.members } else { &mut pd.peer_members };
        map.insert(member.name.clone(), entry);
    }
    let leader = members.leader.as_ref().map(|leader| &leader.name);
    pd.leader = leader.and_then(|name| pd.members.get(name).or_else(|| pd.peer_members.get(name))).cloned();
    pd.synced = true;
    if let Some(header) = &members.header {
        status.cluster_id = header.cluster_id.to_string();
    }
}

/// Puts the stores into the status: its own, told by their address, and its peers.
pub fn set_stores(tc: &TidbCluster, status: &mut Status, stores: &Stores, tombstones: &Stores) {
    let tikv = &mut status.tikv;
    (tikv.stores, tikv.peer_stores, tikv.tombstone_stores) = Default::default();
    for info in stores.stores.iter().chain(&tombstones.stores) {
        let ip = host(&info.store.address).to_owned();
        let store = Store {
            id: info.store.id.to_string(),
            pod_name: ip.split('.').next().unwrap_or_default().to_owned(),
            leader_count: info.status.leader_count,
            state: info.store.state_name.clone(),
            ip,
        };
        let own = tc.own_ordinal("tikv", &store.ip).is_some();
        let map = match (own, store.state.as_str()) {
            (true, "Tombstone") => &mut tikv.tombstone_stores,
            (false, "Tombstone") => continue,
            (true, _) => &mut tikv.stores,
            (false, _) => &mut tikv.peer_stores,
        };
        map.insert(store.id.clone(), store);
    }
    tikv.synced = true;
}

fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn ready_replicas(set: Option<&Value>) -> usize {
    set.and_then(|set| set.get("readyReplicas")).and_then(Value::as_u64).map_or(0, |ready| ready as usize)
}

/// Whether TiKV may be made: a majority of PD, peers counted, is known, healthy and ready
/// (`pingcap/tidb-operator pkg/apis/pingcap/v1alpha1/tidbcluster.go`, `PDIsAvailable`).
pub fn pd_available(tc: &TidbCluster, status: &Status) -> bool {
    let Some(pd) = &tc.spec.pd else { return true };
    let (members, peers) = (&status.pd.members, &status.pd.peer_members);
    let limit = (usize::try_from(pd.replicas).unwrap_or(0) + peers.len()) / 2 + 1;
    let healthy_peers = peers.values().filter(|member| member.health).count();
    let healthy = members.values().filter(|member| member.health).count() + healthy_peers;
    let ready = ready_replicas(status.pd.stateful_set.as_ref()) + healthy_peers;
    members.len() + peers.len() >= limit && healthy >= limit && ready >= limit
}

/// Whether TiDB may be made: a store, peers counted, is up and ready (`TiKVIsAvailable`).
pub fn tikv_available(status: &Status) -> bool {
    let up = |stores: &std::collections::BTreeMap<String, Store>| {
        stores.values().filter(|store| store.state == "Up").count()
    };
    let peers = up(&status.tikv.peer_stores);
    let ready = ready_replicas(status.tikv.stateful_set.as_ref()) + peers;
    up(&status.tikv.stores) + peers >= 1 && ready >= 1
}

/// What a component is doing.
pub fn phase(set: &StatefulSet, wanted: i32, image: &str) -> &'static str {
    let spec = set.spec.as_ref();
    let template = spec.and_then(|spec| spec.template.spec.as_ref());
    let running = template.and_then(|pod| pod.containers.first()).and_then(|container| container.image.as_deref());
    let status = set.status.as_ref();
    let rolling = status.is_some_and(|status| status.current_revision != status.update_revision);
    if running != Some(image) || rolling {
        "Upgrade"
    } else if spec.and_then(|spec| spec.replicas) != Some(wanted) {
        "Scale"
    } else {
        "Normal"
    }
}

/// Whether a component may change its image: those before it in the order are not changing theirs.
pub fn may_upgrade(kind: Kind, status: &Status) -> bool {
    let before: &[&str] = match kind {
        Kind::Pd => &[],
        Kind::Tikv => &[&status.pd.phase],
        Kind::Tidb => &[&status.pd.phase, &status.tikv.phase],
    };
    !before.contains(&"Upgrade")
}

/// What has to be done before a component has one pod less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScaleIn {
    /// Nothing: the StatefulSet shrinks.
    Shrink,
    /// Nothing yet: why.
    Refuse(String),
    /// The PD leader has to move to this member first; whether the scale-in goes on at once.
    TransferLeader(String, bool),
    /// This store has to become a tombstone first.
    DeleteStore(String),
    /// The store is on its way.
    Wait,
}

/// For PD (`pingcap/tidb-operator pkg/manager/member/pd_scaler.go`): the last local one stays while it is used, and the
/// leader moves away, to a healthy peer at last.
pub fn pd_scale_in(tc: &TidbCluster, status: &Status, current: i32) -> ScaleIn {
    if !status.pd.synced {
        return ScaleIn::Refuse("pd status sync failed".to_owned());
    }
    if current == 1 && !(status.tikv.stores.is_empty() && status.tidb.members.is_empty()) {
        return ScaleIn::Refuse(format!("The PD is in use by TidbCluster [{}/{}]", tc.namespace(), tc.name()));
    }
    let name = pd_name(tc, current - 1);
    if status.pd.leader.as_ref().is_none_or(|leader| leader.name != name) {
        return ScaleIn::Shrink;
    }
    if current > 1 {
        return ScaleIn::TransferLeader(pd_name(tc, 0), true);
    }
    let peer = status.pd.peer_members.values().find(|member| member.health);
    peer.map_or(ScaleIn::Shrink, |peer| ScaleIn::TransferLeader(peer.name.clone(), false))
}

/// Name of the PD member of a pod.
pub fn pd_name(tc: &TidbCluster, ordinal: i32) -> String {
    if tc.qualified() { tc.pod_domain("pd", ordinal) } else { format!("{}-pd-{ordinal}", tc.name()) }
}

/// For TiKV (`tikv_scaler.go`): stores that are up have to be more than PD's `max-replicas`.
///
/// Simplified: PD evicts the leaders itself; a pod without a store is removed at once.
pub fn tikv_scale_in(tc: &TidbCluster, status: &Status, current: i32, max_replicas: u64) -> ScaleIn {
    if !status.tikv.synced {
        return ScaleIn::Refuse("tikv status sync failed".to_owned());
    }
    let pod = format!("{}-tikv-{}", tc.name(), current - 1);
    let Some(store) = status.tikv.stores.values().find(|store| store.pod_name == pod) else { return ScaleIn::Shrink };
    if store.state == "Offline" {
        return ScaleIn::Wait;
    }
    let all = status.tikv.stores.values().chain(status.tikv.peer_stores.values());
    let up = all.filter(|store| store.state == "Up").count() as u64;
    if up <= max_replicas {
        return ScaleIn::Refuse(format!(
            "the number of stores in Up state of TidbCluster [{}/{}] is {up}, less than or equal to MaxReplicas in PD \
             configuration({max_replicas})",
            tc.namespace(),
            tc.name()
        ));
    }
    ScaleIn::DeleteStore(store.id.clone())
}

/// The condition `Ready`: status, reason, message. Only what is local counts
/// (`pkg/controller/tidbcluster/tidb_cluster_condition_updater.go`).
pub fn ready(tc: &TidbCluster, status: &Status) -> (bool, &'static str, &'static str) {
    let wanted = |kind: Kind| kind.of(tc).map(|component| usize::try_from(component.replicas).unwrap_or(0));
    let sets = [&status.pd.stateful_set, &status.tikv.stateful_set, &status.tidb.stateful_set];
    let rolling = |set: &Value| set.get("currentRevision") != set.get("updateRevision");
    let pd = wanted(Kind::Pd).is_none_or(|wanted| {
        status.pd.members.len() == wanted && status.pd.members.values().all(|member| member.health)
    });
    let tikv = wanted(Kind::Tikv).is_none_or(|wanted| {
        status.tikv.stores.len() == wanted && status.tikv.stores.values().all(|store| store.state == "Up")
    });
    let tidb = wanted(Kind::Tidb).is_none_or(|wanted| {
        status.tidb.members.len() == wanted && status.tidb.members.values().all(|member| member.health)
    });
    if sets.into_iter().flatten().any(rolling) {
        (false, "StatefulSetNotUpToDate", "Statefulset(s) are in progress")
    } else if !pd {
        (false, "PDUnhealthy", "PD(s) are not healthy")
    } else if !tikv {
        (false, "TiKVStoreNotUp", "TiKV store(s) are not up")
    } else if !tidb {
        (false, "TiDBUnhealthy", "TiDB(s) are not healthy")
    } else {
        (true, "Ready", "TiDB cluster is fully up and running")
    }
}

/// Sets the condition `Ready`; its time changes with its status.
pub fn set_ready(tc: &TidbCluster, status: &mut Status, now: &str) {
    let (ready, reason, message) = ready(tc, status);
    let value = if ready { "True" } else { "False" };
    let old = status.conditions.iter().find(|condition| condition["type"] == "Ready");
    let same = old.filter(|old| old["status"] == value);
    let since = same.map_or_else(|| json!(now), |old| old["lastTransitionTime"].clone());
    let updated =
        same.filter(|old| old["reason"] == reason).map_or_else(|| json!(now), |old| old["lastUpdateTime"].clone());
    status.conditions = vec![json!({"type": "Ready", "status": value, "reason": reason, "message": message,
                                    "lastTransitionTime": since, "lastUpdateTime": updated})];
}
