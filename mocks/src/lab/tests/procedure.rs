//! The documented procedure, by hand.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams, Patch, PatchParams};
use serde_json::json;

use super::{ONE, Side, TWO, address, lab, two_clusters, until};
use crate::aws::State;
use crate::aws::ec2::{PeeringRequest, SecurityGroupRule};
use crate::aws::elbv2::Health;
use crate::lab::{Inventory, Lab, LabError};

/// Peers two clusters, with the routes and the rules of the document.
async fn connect(lab: &Lab, a: &Side, b: &Side) {
    let (from, to) = (a.cluster.spec().vpc.clone(), b.cluster.spec().vpc.clone());
    let request = PeeringRequest {
        requester: from,
        accepter: to,
        accepter_region: Some(b.region.clone()),
        ..PeeringRequest::default()
    };
    let peering = lab.aws().with(&a.region, |state, context| {
        let State { ids, ec2, .. } = state;
        ec2.create_peering(ids, context, request).expect("it is requested")
    });
    until("the request arrives", || async {
        lab.aws().with(&b.region, |state, context| state.ec2.accept_peering(context, &peering).ok())
    })
    .await;
    for (side, other) in [(a, TWO.2), (b, ONE.2)] {
        let block: Ipv4Net = other.parse().expect("a block");
        lab.aws().with(&side.region, |state, context| {
            let vpc = &side.cluster.spec().vpc;
            let tables: Vec<_> =
                state.ec2.route_tables.iter().filter(|(_, it)| it.vpc == *vpc).map(|(id, _)| id.clone()).collect();
            for table in tables {
                state.ec2.create_route(context, &table, block, &peering).expect("a route");
            }
            let shared = state.ec2.security_groups.iter().find(|(_, group)| {
                group.vpc == *vpc
                    && group.tags.get("Name").is_some_and(|it| it.ends_with("/ClusterSharedNodeSecurityGroup"))
            });
            let shared = shared.map(|(id, _)| id.clone()).expect("the shared group");
            let rule = SecurityGroupRule::cidr(false, "-1", (-1, -1), block);
            let State { ids, ec2, .. } = state;
            ec2.authorize(ids, context, &shared, vec![rule]).expect("a rule");
        });
    }
}

impl Side {
    /// The client of the last request, as nginx has logged it.
    async fn last_client(&self) -> String {
        let parameters = LogParams { tail_lines: Some(1), ..LogParams::default() };
        let line = self.api::<Pod>().logs("sample-nginx", &parameters).await.expect("a log");
        line.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Deletes a pod and runs another like it.
    async fn recreate(&self, pod: &Pod) -> Pod {
        let name = pod.metadata.name.as_deref().expect("a name");
        let api = self.api::<Pod>();
        api.delete(name, &DeleteParams::default()).await.expect("it is deleted");
        until("it is gone", || async { api.get_opt(name).await.ok()?.is_none().then_some(()) }).await;
        let spec = json!({ "metadata": { "name": name, "labels": pod.metadata.labels }, "spec": {
            "hostname": "sample-nginx",
            "subdomain": "sample-nginx-peer",
            "containers": [{ "name": "nginx", "image": "nginx:1.21.5" }],
        } });
        self.create::<Pod>(self.api(), spec).await;
        self.ready(name).await
    }
}

fn load_balancer_addresses(lab: &Lab, hostname: &str) -> Vec<Ipv4Addr> {
    let name = hostname.split('-').next().expect("a name");
    lab.aws().read("us-west-2", |state, _| {
        let own = state.ec2.interfaces.values().filter(|it| it.description.starts_with(&format!("ELB net/{name}")));
        own.map(|it| it.addresses[0]).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_procedure_connects_two_clusters_and_deleting_them_leaves_nothing() {
    let lab = lab().await;
    assert!(lab.inventory().is_empty());
    let (one, two) = two_clusters(&lab).await;
    let (pod_1, pod_2) = tokio::join!(one.nginx(), two.nginx());
    let inside = |block: &str, pod: &Pod| block.parse::<Ipv4Net>().expect("a block").contains(&address(pod));
    assert!(inside(ONE.2, &pod_1) && inside(TWO.2, &pod_2));

    let by_address = format!("http://{}", address(&pod_2));
    let (code, _) = one.curl(&by_address).await;
    assert_ne!(code, 0, "nothing leads there yet");
    connect(&lab, &one, &two).await;
    let page = until("the peer answers", || async {
        let (code, page) = one.curl(&by_address).await;
        (code == 0).then_some(page)
    })
    .await;
    assert!(page.contains("Welcome to nginx!"));

    // The VPC CNI gives packets that leave the VPC the node's address, unless it is told not to.
    let node = pod_1.status.as_ref().and_then(|status| status.host_ip.clone()).expect("a node");
    assert_eq!(two.last_client().await, node);
    let excluded = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "aws-node", "env": [{ "name": "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "value": TWO.2 }] },
    ] } } } });
    let daemon_sets: Api<DaemonSet> = Api::namespaced(one.client.clone(), "kube-system");
    let parameters = PatchParams::default();
    daemon_sets.patch("aws-node", &parameters, &Patch::Strategic(excluded)).await.expect("it is told");
    until("the node agents know", || async {
        let known = one.cluster.informers().daemon_sets.get("kube-system", "aws-node")?;
        (known.metadata.generation > Some(1)).then_some(())
    })
    .await;
    let new = one.recreate(&pod_1).await;
    let own = address(&new);
    assert_ne!(own, address(&pod_1), "addresses are not given out again at once");
    until("the peer answers", || async { (one.curl(&by_address).await.0 == 0).then_some(()) }).await;
    assert_eq!(two.last_client().await, own.to_string());

    let (of_one, of_two) = tokio::join!(one.dns_load_balancer(), two.dns_load_balancer());
    until("all targets are healthy", || async {
        let health: Vec<Health> = lab.aws().read("us-west-2", |state, _| {
            state.elbv2.target_groups.values().flat_map(|it| it.targets.values().map(|it| it.health)).collect()
        });
        (health.len() == 4 && health.iter().all(|it| *it == Health::Healthy)).then_some(())
    })
    .await;
    let by_name = "http://sample-nginx.sample-nginx-peer.ns2.svc.cluster.local:80";
    assert_eq!(one.curl(by_name).await.0, 6, "a name that nobody knows yet");
    one.forward("ns2.svc.cluster.local", &load_balancer_addresses(&lab, &of_two)).await;
    two.forward("ns1.svc.cluster.local", &load_balancer_addresses(&lab, &of_one)).await;
    until("CoreDNS forwards", || async { (one.curl(by_name).await.0 == 0).then_some(()) }).await;
    let back = "http://sample-nginx.sample-nginx-peer.ns1.svc.cluster.local:80";
    until("CoreDNS forwards back", || async { (two.curl(back).await.0 == 0).then_some(()) }).await;

    for (_, (name, region, _)) in [(&one, ONE), (&two, TWO)] {
        let refused = lab.delete_cluster(region, name).await;
        if let Err(error) = refused {
            assert_eq!(error.status(), 409, "{error}");
        }
    }
    let peerings: Vec<_> = lab.aws().read(ONE.1, |state, _| state.ec2.peerings.keys().cloned().collect());
    for peering in peerings {
        lab.aws().with(ONE.1, |state, context| state.ec2.delete_peering(context, &peering)).expect("it is deleted");
    }
    until("the peering is gone", || async {
        let left = lab.inventory().resources.iter().any(|it| it.kind == "vpc-peering-connection");
        (!left).then_some(())
    })
    .await;
    for (name, region, _) in [ONE, TWO] {
        match lab.delete_cluster(region, name).await {
            Ok(()) | Err(LabError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(lab.inventory(), Inventory::default());
    lab.shutdown().await;
}
