//! The commands that mend something, as a person's shell would carry them out.

use std::collections::BTreeMap;
use std::time::Duration;

use acrossk8s::environment::Environment as _;
use acrossk8s_aws::ec2::types::{IpPermission, IpRange, PortRange, RuleAction};
use acrossk8s_aws::elbv2::types::TargetDescription;
use acrossk8s_aws::{Clients, Regions};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::super::{Lab, documented};

/// Carries out commands against a lab.
pub(super) struct Shell {
    regions: Regions,
    kubeconfig: Kubeconfig,
    directory: std::path::PathBuf,
}

impl Shell {
    pub(super) async fn new(lab: &Lab) -> Self {
        let topology = documented();
        Self {
            regions: Regions::new(&lab.environment.access(), topology.regions()),
            kubeconfig: lab.environment.kubeconfig().await.unwrap(),
            directory: lab.directory.path.clone(),
        }
    }

    /// Carries a command out; one that is not known fails the test.
    pub(super) async fn run(&self, command: &str, advice: Option<&str>) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["aws", service, verb, ..] => self.aws(service, verb, command).await,
            ["kubectl", "--context", context, ..] => self.kubectl(context, &words[3..], advice).await,
            _ => panic!("not known: {command}"),
        }
    }

    async fn aws(&self, service: &str, verb: &str, command: &str) {
        let clients = self.regions.get(flag(command, "--region")).unwrap();
        let it = |name: &str| flag(command, name);
        let ec2 = &clients.ec2;
        match (service, verb) {
            ("ec2", "create-route") => {
                let new = ec2.create_route().route_table_id(it("--route-table-id"));
                let new = new.destination_cidr_block(it("--destination-cidr-block"));
                new.vpc_peering_connection_id(it("--vpc-peering-connection-id")).send().await.map(drop).unwrap();
            }
            ("ec2", "replace-route") => {
                let new = ec2.replace_route().route_table_id(it("--route-table-id"));
                let new = new.destination_cidr_block(it("--destination-cidr-block"));
                new.vpc_peering_connection_id(it("--vpc-peering-connection-id")).send().await.map(drop).unwrap();
            }
            ("ec2", "delete-route") => {
                let delete = ec2.delete_route().route_table_id(it("--route-table-id"));
                delete.destination_cidr_block(it("--destination-cidr-block")).send().await.map(drop).unwrap();
            }
            ("ec2", "accept-vpc-peering-connection") => {
                let accept = ec2.accept_vpc_peering_connection();
                accept.vpc_peering_connection_id(it("--vpc-peering-connection-id")).send().await.map(drop).unwrap();
                self.until_active(clients, it("--vpc-peering-connection-id")).await;
            }
            ("ec2", "authorize-security-group-ingress") => {
                let rule = ec2.authorize_security_group_ingress().group_id(it("--group-id"));
                rule.ip_permissions(all_from(it("--cidr"))).send().await.map(drop).unwrap();
            }
            ("ec2", "authorize-security-group-egress") => {
                let rule = ec2.authorize_security_group_egress().group_id(it("--group-id"));
                rule.ip_permissions(all_from(it("--cidr"))).send().await.map(drop).unwrap();
            }
            ("ec2", "create-network-acl-entry") => {
                let entry = ec2.create_network_acl_entry().network_acl_id(it("--network-acl-id"));
                let entry = entry.egress(command.contains("--egress")).protocol(it("--protocol"));
                let entry = entry.rule_number(it("--rule-number").parse().unwrap()).cidr_block(it("--cidr-block"));
                let entry = entry.rule_action(RuleAction::Allow).port_range(PortRange::builder().build());
                entry.send().await.map(drop).unwrap();
            }
            ("elbv2", "register-targets") => {
                let of = clients.elbv2.describe_target_groups().load_balancer_arn(it("--load-balancer-arn"));
                let groups = of.send().await.unwrap();
                let targets = command.split_whitespace().filter_map(|word| word.strip_prefix("Id="));
                let targets = targets.map(|id| TargetDescription::builder().id(id).build()).collect();
                let register = clients.elbv2.register_targets().set_targets(Some(targets));
                let group = groups.target_groups()[0].target_group_arn().unwrap();
                register.target_group_arn(group).send().await.map(drop).unwrap();
                self.until_healthy(clients, group).await;
            }
            ("elbv2", "modify-listener") => {
                let of = clients.elbv2.describe_listeners().load_balancer_arn(it("--load-balancer-arn"));
                let listeners = of.send().await.unwrap();
                let modify = clients.elbv2.modify_listener().port(it("--port").parse().unwrap());
                let listener = listeners.listeners()[0].listener_arn().unwrap();
                modify.listener_arn(listener).send().await.map(drop).unwrap();
            }
            _ => panic!("not known: {command}"),
        }
    }

    async fn kubectl(&self, context: &str, words: &[&str], advice: Option<&str>) {
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        match words {
            ["apply", "-f", file] => {
                let text = std::fs::read_to_string(self.directory.join(file)).unwrap();
                let object: Value = serde_saphyr::from_str(&text).unwrap();
                let api: Api<Service> = Api::namespaced(client, "kube-system");
                let name = object["metadata"]["name"].as_str().unwrap();
                api.patch(name, &PatchParams::apply("kubectl").force(), &Patch::Apply(&object)).await.unwrap();
            }
            ["create", "namespace", name] => {
                let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
                Api::all(client).create(&PostParams::default(), &object).await.map(drop).unwrap();
            }
            // Looking at it again applies it.
            ["-n", _, "apply", "-f", "sample-nginx.yaml"] => {}
            ["-n", namespace, "delete", "pod", name] => {
                let api: Api<Pod> = Api::namespaced(client, namespace);
                match api.delete(name, &DeleteParams::default()).await {
                    // The check of the procedure has cleaned up behind itself.
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    deleted => drop(deleted.unwrap()),
                }
                until("the pod is gone", async || api.get_opt(name).await.unwrap().is_none()).await;
            }
            ["-n", "kube-system", "edit", "configmap", "coredns"] => {
                let (place, block) = advice.unwrap().split_once(" put:\n").unwrap();
                assert_eq!(place, "at the end");
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
                let mut config_map = api.get("coredns").await.unwrap();
                config_map.data.as_mut().unwrap().get_mut("Corefile").unwrap().push_str(&format!("\n{block}\n"));
                let before = reloads(&client).await;
                api.replace("coredns", &PostParams::default(), &config_map).await.unwrap();
                let all = before.len();
                until("CoreDNS reloads", async || {
                    let now = reloads(&client).await;
                    now.iter().filter(|(pod, count)| before.get(*pod).is_some_and(|before| *count > before)).count()
                        == all
                })
                .await;
            }
            ["-n", "kube-system", "rollout", "restart", "deployment", "coredns"] => {
                let old: Vec<String> = reloads(&client).await.into_keys().collect();
                let api: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
                api.restart("coredns").await.unwrap();
                until("CoreDNS is made anew", async || ready(&client, &old).await == 2).await;
            }
            ["-n", "kube-system", "scale", "deployment", "coredns", "--replicas", count] => {
                let count: usize = count.parse().unwrap();
                let api: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
                let scale = Patch::Merge(json!({ "spec": { "replicas": count } }));
                api.patch("coredns", &PatchParams::default(), &scale).await.unwrap();
                until("CoreDNS is ready", async || ready(&client, &[]).await == count).await;
            }
            _ => panic!("not known: kubectl {}", words.join(" ")),
        }
    }

    async fn until_active(&self, clients: &Clients, peering: &str) {
        until("the peering is active", async || {
            let read = clients.ec2.describe_vpc_peering_connections().vpc_peering_connection_ids(peering);
            let read = read.send().await.unwrap();
            let status = read.vpc_peering_connections()[0].status().and_then(|status| status.code()).cloned();
            status.is_some_and(|code| code.as_str() == "active")
        })
        .await;
    }

    async fn until_healthy(&self, clients: &Clients, group: &str) {
        until("targets are healthy", async || {
            let read = clients.elbv2.describe_target_health().target_group_arn(group).send().await.unwrap();
            read.target_health_descriptions()
                .iter()
                .all(|it| it.target_health().and_then(|it| it.state()).is_some_and(|state| state.as_str() == "healthy"))
        })
        .await;
    }
}

/// What follows a flag.
fn flag<'a>(command: &'a str, name: &str) -> &'a str {
    let mut words = command.split(|c: char| c.is_whitespace() || c == ')');
    words.find(|word| *word == name).unwrap_or_else(|| panic!("{command} has no {name}"));
    words.next().unwrap()
}

fn all_from(block: &str) -> IpPermission {
    IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip(block).build()).build()
}

async fn reloads(client: &kube::Client) -> BTreeMap<String, usize> {
    let api: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let mut reloads = BTreeMap::new();
    for pod in api.list(&ListParams::default().labels("k8s-app=kube-dns")).await.unwrap() {
        let name = pod.metadata.name.unwrap();
        let log = api.logs(&name, &kube::api::LogParams::default()).await.unwrap_or_default();
        reloads.insert(name, log.matches("Reloading complete").count());
    }
    reloads
}

/// How many CoreDNS pods are ready, but for some.
async fn ready(client: &kube::Client, but: &[String]) -> usize {
    let api: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let pods = api.list(&ListParams::default().labels("k8s-app=kube-dns")).await.unwrap();
    let is_ready = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
        conditions.is_some_and(|it| it.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
    };
    let new = pods.iter().filter(|pod| pod.metadata.name.as_ref().is_some_and(|name| !but.contains(name)));
    new.filter(is_ready).count()
}

/// Waits until something is so. Nothing notifies whoever asks by HTTP; the pause keeps the questions apart.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{what}: never"));
}
