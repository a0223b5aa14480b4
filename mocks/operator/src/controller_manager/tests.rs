//! The controller against an emulated API, with PD and TiDB as servers on the network.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::lease::{DURATION, Elector, NAME};
use super::status::{ScaleIn, pd_available, pd_scale_in, tikv_scale_in};
use super::sync::Syncer;
use super::{reconcile, run};
use crate::api;
use crate::cluster::{PdMember, Store, TidbCluster, sample};
use crate::testing::{Net, api_with};

const PD: &str = "tc1-pd-0.tc1-pd-peer.ns1.svc.cluster.local";

struct Bench {
    _server: acrossk8s_mocks::kubernetes::api::ApiServer,
    client: kube::Client,
    net: Net,
    syncer: Syncer,
}

impl Bench {
    async fn new(tc: &TidbCluster) -> Self {
        let (_server, client) = api_with(tc).await;
        let net = Net::new().await;
        let container = net.container([10, 0, 0, 3], Some(client.clone()));
        let syncer =
            Syncer { container, client: client.clone(), discovery_image: "pingcap/tidb-operator:v1.6.5".into() };
        Bench { _server, client, net, syncer }
    }

    async fn sync(&self) -> TidbCluster {
        let clusters = api::clusters(self.client.clone(), "ns1");
        self.syncer.sync(clusters.get("tc1").await.expect("a cluster")).await.expect("a reconciliation");
        api::read(&clusters.get("tc1").await.expect("a cluster")).expect("a cluster")
    }

    fn sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.client.clone(), "ns1")
    }

    async fn names(&self) -> Vec<String> {
        let sets = self.sets().list(&ListParams::default()).await.expect("StatefulSets");
        sets.items.into_iter().filter_map(|set| set.metadata.name).collect()
    }

    async fn set_ready(&self, name: &str) {
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1, "currentRevision": "1",
                                       "updateRevision": "1"}});
        let params = PatchParams::default();
        self.sets().patch_status(name, &params, &Patch::Merge(&status)).await.expect("a status");
    }
}

#[tokio::test]
async fn components_follow_one_another_behind_their_gates() {
    let bench = Bench::new(&sample("tc1", "ns1", 1)).await;
    let tc = bench.sync().await;
    assert_eq!(bench.names().await, ["tc1-pd"]);
    assert_eq!(tc.status.conditions[0]["reason"], "PDUnhealthy");
    let services: Api<Service> = Api::namespaced(bench.client.clone(), "ns1");
    let peer = services.get("tc1-pd-peer").await.expect("a Service").spec.expect("a spec");
    assert_eq!((peer.cluster_ip.as_deref(), peer.publish_not_ready_addresses), (Some("None"), Some(true)));

    let (answers, _) = bench.net.serve("tc1-pd.ns1.svc.cluster.local", [10, 0, 1, 1], 2379).await;
    let answer = |path: &str, body: serde_json::Value| answers.lock().insert(format!("GET {path}"), body.to_string());
    let member = |name: &str, id: u64| {
        json!({"name": name, "member_id": id, "peer_urls": [format!("http://{name}:2380")],
               "client_urls": [format!("http://{name}:2379")]})
    };
    let other = "tc2-pd-0.tc2-pd-peer.ns2.svc.cluster.local";
    answer(
        "/pd/api/v1/members",
        json!({"header": {"cluster_id": 7}, "members": [member(PD, 1), member(other, 2)], "leader": member(other, 2)}),
    );
    answer("/pd/api/v1/health", json!([{"name": PD, "health": true}, {"name": other, "health": true}]));
    answer("/pd/api/v1/stores", json!({"count": 0, "stores": []}));
    answer("/pd/api/v1/stores?state=2", json!({"count": 0, "stores": []}));
    bench.sync().await;
    assert_eq!(bench.names().await, ["tc1-pd"], "PD is not ready yet");

    bench.set_ready("tc1-pd").await;
    let tc = bench.sync().await;
    assert_eq!(bench.names().await, ["tc1-pd", "tc1-tikv"]);
    assert_eq!((tc.status.cluster_id.as_str(), tc.status.pd.phase.as_str()), ("7", "Normal"));
    assert_eq!(tc.status.pd.members.keys().collect::<Vec<_>>(), [PD]);
    assert_eq!(tc.status.pd.peer_members.keys().collect::<Vec<_>>(), [other]);
    assert_eq!(tc.status.pd.leader.map(|leader| leader.name).as_deref(), Some(other));
    assert_eq!(tc.status.conditions[0]["reason"], "TiKVStoreNotUp");

    let store = json!({"store": {"id": 4, "address": "tc1-tikv-0.tc1-tikv-peer.ns1.svc.cluster.local:20160",
                                 "state_name": "Up"}, "status": {"leader_count": 3}});
    answer("/pd/api/v1/stores", json!({"count": 1, "stores": [store]}));
    bench.set_ready("tc1-tikv").await;
    let tc = bench.sync().await;
    assert_eq!(bench.names().await, ["tc1-pd", "tc1-tidb", "tc1-tikv"]);
    assert_eq!(tc.status.tikv.stores["4"].pod_name, "tc1-tikv-0");

    bench.set_ready("tc1-tidb").await;
    assert_eq!(bench.sync().await.status.conditions[0]["reason"], "TiDBUnhealthy");
    let tidb = "tc1-tidb-0.tc1-tidb-peer.ns1.svc.cluster.local";
    let (status, _) = bench.net.serve(tidb, [10, 0, 1, 3], 10080).await;
    status.lock().insert("GET /status".to_owned(), "{}".to_owned());
    let tc = bench.sync().await;
    assert_eq!(
        (&tc.status.conditions[0]["status"], &tc.status.conditions[0]["reason"]),
        (&json!("True"), &json!("Ready"))
    );
}

/// Waits until a StatefulSet is there.
async fn appears(sets: Api<StatefulSet>, name: &str) {
    let found = await_condition(sets, name, |set: Option<&StatefulSet>| set.is_some());
    tokio::time::timeout(Duration::from_secs(20), found).await.expect(name).expect("a watch");
}

#[tokio::test]
async fn the_program_leads_and_reconciles_until_it_is_stopped() {
    let bench = Bench::new(&sample("tc1", "ns1", 1)).await;
    let mut container = bench.net.container([10, 0, 0, 4], Some(bench.client.clone()));
    container.env.insert("NAMESPACE".to_owned(), "ns1".to_owned());
    let stop = container.stop.clone();
    let running = tokio::spawn(run(container));
    appears(bench.sets(), "tc1-pd").await;
    let leases: Api<Lease> = Api::namespaced(bench.client.clone(), "ns1");
    let holder = leases.get(NAME).await.expect("a Lease").spec.and_then(|spec| spec.holder_identity);
    assert_eq!(holder.as_deref(), Some("pod-1"));
    stop.cancel();
    assert_eq!(running.await.expect("an exit code"), 0);
}

/// The clock stands still, and no TidbCluster is in sight: what follows, follows from the StatefulSet.
#[tokio::test]
async fn a_change_of_a_stateful_set_is_followed_without_a_resync() {
    let bench = Bench::new(&sample("tc1", "ns1", 1)).await;
    let (answers, _) = bench.net.serve("tc1-pd.ns1.svc.cluster.local", [10, 0, 1, 1], 2379).await;
    let member = json!({"name": PD, "member_id": 1, "peer_urls": [], "client_urls": [format!("http://{PD}:2379")]});
    for (path, body) in [
        ("members", json!({"header": {"cluster_id": 7}, "members": [member], "leader": member})),
        ("health", json!([{"name": PD, "health": true}])),
    ] {
        answers.lock().insert(format!("GET /pd/api/v1/{path}"), body.to_string());
    }
    bench.sync().await;
    let none = api::clusters(bench.client.clone(), "default");
    tokio::select! {
        () = reconcile(&bench.syncer, &none, bench.sets()) => panic!("it ends"),
        () = async {
            bench.set_ready("tc1-pd").await;
            appears(bench.sets(), "tc1-tikv").await;
        } => {}
    }
}

#[tokio::test]
async fn one_pd_less_is_removed_from_pd_before_the_set_shrinks() {
    let bench = Bench::new(&sample("tc1", "ns1", 3)).await;
    bench.sync().await;
    let clusters = api::clusters(bench.client.clone(), "ns1");
    let one = json!({"spec": {"pd": {"replicas": 1}}});
    clusters.patch("tc1", &PatchParams::default(), &Patch::Merge(&one)).await.expect("a patch");
    let replicas = async || bench.sets().get("tc1-pd").await.expect("a set").spec.and_then(|spec| spec.replicas);
    bench.sync().await;
    assert_eq!(replicas().await, Some(3), "PD does not answer");

    let (answers, asked) = bench.net.serve("tc1-pd.ns1.svc.cluster.local", [10, 0, 1, 1], 2379).await;
    let last = "tc1-pd-2.tc1-pd-peer.ns1.svc.cluster.local";
    let leader = json!({"name": last, "member_id": 3, "client_urls": [format!("http://{last}:2379")]});
    let transfer = format!("POST /pd/api/v1/leader/transfer/{PD}");
    let delete = format!("DELETE /pd/api/v1/members/name/{last}");
    for (request, body) in [
        ("GET /pd/api/v1/members", json!({"members": [leader], "leader": leader})),
        ("GET /pd/api/v1/health", json!([])),
        (&transfer, json!(null)),
        (&delete, json!(null)),
    ] {
        answers.lock().insert(request.to_owned(), body.to_string());
    }
    bench.sync().await;
    assert_eq!(replicas().await, Some(2));
    let asked: Vec<String> = asked.lock().iter().filter(|request| !request.starts_with("GET")).cloned().collect();
    assert_eq!(asked, [transfer, delete]);
}

#[rstest::rstest]
#[case::too_few(3, false)]
#[case::enough(4, true)]
fn a_store_goes_only_while_more_are_up_than_replicas(#[case] up: usize, #[case] goes: bool) {
    let tc = sample("tc1", "ns1", 0);
    let mut status = tc.status.clone();
    status.tikv.synced = true;
    let store = |id: usize, pod: &str| Store {
        id: id.to_string(),
        pod_name: pod.into(),
        state: "Up".into(),
        ..Store::default()
    };
    status.tikv.stores.insert("0".into(), store(0, "tc1-tikv-0"));
    (1..up).for_each(|id| drop(status.tikv.peer_stores.insert(id.to_string(), store(id, "other"))));
    let step = tikv_scale_in(&tc, &status, 1, 3);
    assert_eq!(step == ScaleIn::DeleteStore("0".into()), goes, "{step:?}");
    assert_eq!(matches!(step, ScaleIn::Refuse(_)), !goes, "{step:?}");
}

#[test]
fn the_last_pd_stays_while_it_is_used_and_hands_leadership_to_a_peer() {
    let tc = sample("tc1", "ns1", 0);
    let mut status = tc.status.clone();
    status.pd.synced = true;
    status.pd.leader = Some(PdMember { name: PD.into(), ..PdMember::default() });
    status.pd.peer_members.insert("p".into(), PdMember { name: "p".into(), health: true, ..PdMember::default() });
    assert_eq!(pd_scale_in(&tc, &status, 1), ScaleIn::TransferLeader("p".into(), false));
    status.tikv.stores.insert("1".into(), Store::default());
    assert!(matches!(pd_scale_in(&tc, &status, 1), ScaleIn::Refuse(_)));
}

#[test]
fn pd_is_available_by_majority_with_its_peers() {
    let tc = sample("tc1", "ns1", 1);
    let mut status = tc.status.clone();
    let member = |health| PdMember { health, ..PdMember::default() };
    status.pd.members.insert("own".into(), member(true));
    status.pd.stateful_set = Some(json!({"readyReplicas": 1}));
    assert!(pd_available(&tc, &status));
    status.pd.peer_members.extend([("a".to_owned(), member(false)), ("b".to_owned(), member(false))]);
    assert!(!pd_available(&tc, &status));
    status.pd.peer_members.insert("a".into(), member(true));
    assert!(pd_available(&tc, &status));
}

#[tokio::test]
async fn a_lease_is_taken_over_when_it_is_no_longer_renewed() {
    let (_server, client) = api_with(&sample("tc1", "ns1", 1)).await;
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("tidb-admin".to_owned());
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    let (mut first, mut second) =
        (Elector::new(client.clone(), "tidb-admin", "a"), Elector::new(client, "tidb-admin", "b"));
    let at = Duration::from_secs;
    assert!(first.hold(at(0)).await);
    assert!(!second.hold(at(1)).await);
    assert!(first.hold(at(10)).await);
    assert!(!second.hold(at(1) + DURATION).await, "it was renewed");
    assert!(second.hold(at(2) + DURATION * 2).await);
    assert!(!first.hold(at(3) + DURATION * 2).await);
}
