//! Whole labs.

mod addon_updates;
mod control;
mod directory;
mod pods;
mod procedure;

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{AttachParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::kubernetes::controllers::pods::is_ready;

const ONE: (&str, &str, &str) = ("tidb-1", "us-west-2", "10.1.0.0/16");
const TWO: (&str, &str, &str) = ("tidb-2", "us-east-2", "10.2.0.0/16");

fn config((name, region, block): (&str, &str, &str)) -> String {
    format!(
        "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {{name: {name}, region: {region}}}\n\
         vpc: {{cidr: {block}}}\nnodeGroups: [{{name: admin, desiredCapacity: 2, privateNetworking: true}}]\n"
    )
}

/// A lab whose AWS takes a moment, a few of the machine's milliseconds, for what takes time.
async fn lab() -> Arc<Lab> {
    let seconds = Duration::from_secs;
    let latencies = Latencies {
        cluster_create: seconds(20),
        nodegroup_create: seconds(10),
        peering_request: seconds(2),
        peering_provision: seconds(5),
        load_balancer_provision: seconds(20),
        load_balancer_release: seconds(10),
        cluster_delete: seconds(20),
    };
    Lab::start(LabConfig { latencies, ..LabConfig::default() }).await.expect("a lab starts")
}

/// Waits until something is so; a broken lab fails here.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(result) = condition().await {
                return result;
            }
            // The conditions are asked of a lab from outside, by HTTP and DNS, where nothing notifies: the pause only
            // keeps the questions from taking the time of what they wait for.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("{what}: never"))
}

struct Side {
    client: Client,
    cluster: Arc<Cluster>,
    namespace: String,
    region: String,
}

impl Side {
    async fn new(lab: &Lab, (name, region, _): (&str, &str, &str), namespace: &str) -> Self {
        let cluster = lab.cluster(region, name).expect("it was made");
        let side =
            Self { client: cluster.client(), cluster, namespace: namespace.to_owned(), region: region.to_owned() };
        let object = json!({ "metadata": { "name": namespace } });
        side.create::<Namespace>(Api::all(side.client.clone()), object).await;
        side
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create<K>(&self, api: Api<K>, object: Value) -> K
    where
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("it is created")
    }

    /// The document's sample-nginx.
    async fn nginx(&self) -> Pod {
        let service = json!({
            "metadata": { "name": "sample-nginx-peer" },
            "spec": { "ports": [{ "port": 80 }], "selector": { "app": "sample-nginx" }, "clusterIP": "None" },
        });
        self.create::<Service>(self.api(), service).await;
        let pod = json!({
            "metadata": { "name": "sample-nginx", "labels": { "app": "sample-nginx" } },
            "spec": {
                "hostname": "sample-nginx",
                "subdomain": "sample-nginx-peer",
                "containers": [{ "name": "nginx", "image": "nginx:1.21.5", "ports": [{ "containerPort": 80 }] }],
            },
        });
        self.create::<Pod>(self.api(), pod).await;
        self.ready("sample-nginx").await
    }

    async fn ready(&self, name: &str) -> Pod {
        let api = self.api::<Pod>();
        until(name, || async { api.get(name).await.ok().filter(is_ready) }).await
    }

    /// Runs a command in sample-nginx: exit code and standard output.
    async fn exec(&self, command: &[&str]) -> (i32, String) {
        let api = self.api::<Pod>();
        let mut process =
            api.exec("sample-nginx", command.iter().copied(), &AttachParams::default()).await.expect("exec begins");
        let status = process.take_status().expect("a status is asked for");
        let mut stdout = String::new();
        process.stdout().expect("standard output").read_to_string(&mut stdout).await.expect("UTF-8");
        let status = status.await.expect("the command ends");
        let code = match status.status.as_deref() {
            Some("Success") => 0,
            _ => {
                let causes = status.details.and_then(|it| it.causes).unwrap_or_default();
                let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
                code.and_then(|cause| cause.message?.parse().ok()).unwrap_or(-1)
            }
        };
        (code, stdout)
    }

    async fn curl(&self, url: &str) -> (i32, String) {
        self.exec(&["curl", "-sS", "--max-time", "5", url]).await
    }

    async fn dns_load_balancer(&self) -> String {
        let service = json!({
            "metadata": {
                "name": "across-cluster-dns-tcp",
                "labels": { "k8s-app": "kube-dns" },
                "annotations": {
                    "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled": "true",
                    "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
                    "service.beta.kubernetes.io/aws-load-balancer-internal": "true",
                },
            },
            "spec": {
                "type": "LoadBalancer",
                "selector": { "k8s-app": "kube-dns" },
                "ports": [{ "name": "dns", "port": 53, "protocol": "TCP", "targetPort": 53 }],
            },
        });
        let api: Api<Service> = Api::namespaced(self.client.clone(), "kube-system");
        self.create(api.clone(), service).await;
        until("a hostname", || async {
            let service = api.get("across-cluster-dns-tcp").await.ok()?;
            service.status?.load_balancer?.ingress?.first()?.hostname.clone()
        })
        .await
    }

    /// Forwards a zone to servers, as the document edits the ConfigMap.
    async fn forward(&self, zone: &str, servers: &[Ipv4Addr]) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let corefile = api.get("coredns").await.expect("it exists").data.expect("data")["Corefile"].clone();
        let servers: Vec<_> = servers.iter().map(Ipv4Addr::to_string).collect();
        let block = format!(
            "{zone}:53 {{\n    errors\n    cache 30\n    forward . {} {{\n        force_tcp\n    }}\n}}\n",
            servers.join(" ")
        );
        let patch = json!({ "data": { "Corefile": corefile + &block } });
        api.patch("coredns", &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is edited");
    }
}

fn address(pod: &Pod) -> Ipv4Addr {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).expect("an address");
    address.parse().expect("an IPv4 address")
}

async fn two_clusters(lab: &Lab) -> (Side, Side) {
    let (one, two) = (config(ONE), config(TWO));
    let (one, two) = tokio::join!(lab.create_cluster(&one), lab.create_cluster(&two));
    assert_eq!(one.expect("one").context, "acrossk8s@tidb-1.us-west-2.eksctl.io");
    assert_eq!(two.expect("two").context, "acrossk8s@tidb-2.us-east-2.eksctl.io");
    tokio::join!(Side::new(lab, ONE, "ns1"), Side::new(lab, TWO, "ns2"))
}
