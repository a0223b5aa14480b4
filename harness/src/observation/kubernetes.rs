//! What each cluster's Kubernetes says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node as KubeNode, Pod as KubePod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass as KubeStorageClass;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams, LogParams};

use super::{DnsService, Kubernetes, NginxService, Node, Pod, Ready, StorageClass, Unread};
use crate::procedure::{World, coredns, exec, load_balancers, nginx, probers};
use crate::topology::ClusterIndex;

/// What was read of one cluster, and what could not be.
type Reading = Result<(Kubernetes, Vec<Unread>), String>;

/// Reads every cluster, at the same time.
pub(super) async fn read(world: &Arc<World>) -> Vec<Reading> {
    join_all(world.topology.indices().map(|index| read_cluster(world, index))).await
}

async fn read_cluster(world: &World, index: ClusterIndex) -> Reading {
    let client = world.kubernetes(index).await.map_err(|failure| failure.to_string())?;
    let reader = Reader { world, index, client };
    reader.read().await
}

/// What is left of the check in each cluster, after its clean-up.
pub(super) async fn left_after_check(world: &World) -> Vec<Result<Vec<String>, String>> {
    join_all(world.topology.indices().map(|index| async move {
        let client = world.kubernetes(index).await.map_err(|failure| failure.to_string())?;
        let namespace = &world.cluster(index).namespace;
        let told = |error: kube::Error| error.to_string();
        let pod = Api::<KubePod>::namespaced(client.clone(), namespace).get_opt(nginx::POD).await.map_err(told)?;
        let service =
            Api::<Service>::namespaced(client.clone(), namespace).get_opt(nginx::SERVICE).await.map_err(told)?;
        let set = Api::<DaemonSet>::namespaced(client, namespace).get_opt(probers::DAEMON_SET).await.map_err(told)?;
        let left = [
            pod.map(|_| format!("Pod {}", nginx::POD)),
            service.map(|_| format!("Service {}", nginx::SERVICE)),
            set.map(|_| format!("DaemonSet {}", probers::DAEMON_SET)),
        ];
        Ok(left.into_iter().flatten().collect())
    }))
    .await
}

struct Reader<'a> {
    world: &'a World,
    index: ClusterIndex,
    client: kube::Client,
}

impl Reader<'_> {
    async fn read(&self) -> Reading {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespaces = namespaces.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let uid = namespaces
            .iter()
            .find(|namespace| namespace.metadata.name.as_deref() == Some("kube-system"))
            .and_then(|namespace| namespace.metadata.uid.clone())
            .unwrap_or_default();
        let mut seen = Kubernetes {
            context: self.world.known(self.index).context.unwrap_or_default(),
            endpoint: self.endpoint().await.unwrap_or_default(),
            uid,
            namespaces: namespaces.iter().filter_map(|namespace| namespace.metadata.name.clone()).collect(),
            ..Kubernetes::default()
        };
        let mut unread = Vec::new();
        macro_rules! part {
            ($what:literal, $read:expr, $field:ident) => {
                match $read.await {
                    Ok(value) => seen.$field = value,
                    Err(error) => unread.push(Unread {
                        cluster: Some(self.index.0),
                        what: $what.to_owned(),
                        why: error.to_string(),
                    }),
                }
            };
        }
        part!("nodes", self.nodes(), nodes);
        part!("the Corefile", self.corefile(), corefile);
        part!("the CoreDNS pods", self.coredns_pods(), coredns_pods);
        part!("the logs of CoreDNS", self.coredns_running(&seen.coredns_pods), coredns_running);
        part!("the Service kube-dns", self.kube_dns(), kube_dns);
        part!("the Service across-cluster-dns-tcp", self.dns_service(), dns_service);
        part!("the nginx pod", self.nginx(), nginx);
        part!("the nginx Service", self.nginx_service(), nginx_service);
        part!("the DaemonSet aws-node", self.aws_node_env(), aws_node_env);
        part!("the probers", self.probers(), probers);
        part!("the DaemonSet ebs-csi-node", self.ebs_csi_nodes(), ebs_csi_nodes);
        part!("the storage classes", self.storage_classes(), storage_classes);
        if seen.nginx.as_ref().is_some_and(|pod| pod.ready) {
            part!("the pod's resolv.conf", self.resolv_conf(), resolv_conf);
        }
        Ok((seen, unread))
    }

    async fn endpoint(&self) -> Option<String> {
        let kubeconfig = self.world.environment.kubeconfig().await.ok()?;
        let context = self.world.known(self.index).context?;
        let context = kubeconfig.contexts.iter().find(|it| it.name == context)?.context.as_ref()?.cluster.clone();
        kubeconfig.clusters.into_iter().find(|it| it.name == context)?.cluster?.server
    }

    async fn nodes(&self) -> kube::Result<Vec<Node>> {
        let nodes: Api<KubeNode> = Api::all(self.client.clone());
        Ok(nodes.list(&ListParams::default()).await?.into_iter().filter_map(node).collect())
    }

    async fn corefile(&self) -> kube::Result<Option<String>> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let found = config_maps.get_opt(coredns::CONFIG_MAP).await?;
        Ok(found.and_then(|it| it.data).and_then(|mut data| data.remove(coredns::COREFILE)))
    }

    async fn coredns_pods(&self) -> kube::Result<Vec<Pod>> {
        let pods: Api<KubePod> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let found = pods.list(&ListParams::default().labels(coredns::SELECTOR)).await?;
        Ok(found.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(pod).collect())
    }

    /// Source: CoreDNS, plugin reload: the fingerprint that it logs at its start and after each reload.
    async fn coredns_running(&self, pods: &[Pod]) -> kube::Result<BTreeMap<String, String>> {
        let api: Api<KubePod> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let mut running = BTreeMap::new();
        for pod in pods.iter().filter(|pod| pod.ready) {
            let log = api.logs(&pod.name, &LogParams::default()).await?;
            running.extend(running_configuration(&log).map(|sha512| (pod.name.clone(), sha512)));
        }
        Ok(running)
    }

    async fn kube_dns(&self) -> kube::Result<Option<std::net::Ipv4Addr>> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let found = services.get_opt("kube-dns").await?;
        Ok(found.and_then(|service| service.spec?.cluster_ip?.parse().ok()))
    }

    async fn dns_service(&self) -> kube::Result<Option<DnsService>> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let Some(service) = services.get_opt(load_balancers::SERVICE).await? else { return Ok(None) };
        let spec = service.spec.unwrap_or_default();
        let ports = spec.ports.into_iter().flatten().map(|port| {
            let target = match port.target_port {
                Some(IntOrString::Int(number)) => number.to_string(),
                Some(IntOrString::String(name)) => name,
                None => port.port.to_string(),
            };
            let protocol = port.protocol.unwrap_or_else(|| "TCP".to_owned());
            (port.name.unwrap_or_default(), u16::try_from(port.port).unwrap_or_default(), protocol, target)
        });
        Ok(Some(DnsService {
            labels: service.metadata.labels.unwrap_or_default(),
            annotations: service.metadata.annotations.unwrap_or_default(),
            kind: spec.type_.unwrap_or_default(),
            selector: spec.selector.unwrap_or_default(),
            ports: ports.collect(),
            hostname: service.status.and_then(|status| status.load_balancer?.ingress?.into_iter().next()?.hostname),
            ready_endpoints: self.ready_endpoints().await?,
            warnings: self.warnings().await?,
        }))
    }

    async fn ready_endpoints(&self) -> kube::Result<BTreeSet<std::net::Ipv4Addr>> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let selector = format!("kubernetes.io/service-name={}", load_balancers::SERVICE);
        let found = slices.list(&ListParams::default().labels(&selector)).await?;
        Ok(found
            .into_iter()
            .flat_map(|slice| slice.endpoints)
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|it| it.ready) != Some(false))
            .flat_map(|endpoint| endpoint.addresses)
            .filter_map(|address| address.parse().ok())
            .collect())
    }

    async fn warnings(&self) -> kube::Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let selector = format!("involvedObject.name={}", load_balancers::SERVICE);
        let found = events.list(&ListParams::default().fields(&selector)).await?;
        Ok(found
            .into_iter()
            .filter(|event| event.type_.as_deref() == Some("Warning"))
            .map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect())
    }

    fn namespace(&self) -> &str {
        &self.world.cluster(self.index).namespace
    }

    async fn nginx(&self) -> kube::Result<Option<Pod>> {
        let pods: Api<KubePod> = Api::namespaced(self.client.clone(), self.namespace());
        Ok(pods.get_opt(nginx::POD).await?.map(pod))
    }

    async fn nginx_service(&self) -> kube::Result<Option<NginxService>> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), self.namespace());
        let found = services.get_opt(nginx::SERVICE).await?;
        Ok(found.map(|service| {
            let spec = service.spec.unwrap_or_default();
            NginxService {
                headless: spec.cluster_ip.as_deref() == Some("None"),
                selector: spec.selector.unwrap_or_default(),
                ports: spec.ports.into_iter().flatten().filter_map(|port| u16::try_from(port.port).ok()).collect(),
            }
        }))
    }

    async fn probers(&self) -> kube::Result<Vec<Pod>> {
        let pods: Api<KubePod> = Api::namespaced(self.client.clone(), self.namespace());
        Ok(pods.list(&probers::selected()).await?.into_iter().map(pod).collect())
    }

    async fn ebs_csi_nodes(&self) -> kube::Result<Option<Ready>> {
        let daemon_sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let status = daemon_sets.get_opt("ebs-csi-node").await?.map(|it| it.status.unwrap_or_default());
        let count = |count: i32| u32::try_from(count).unwrap_or_default();
        Ok(status.map(|it| Ready { wanted: count(it.desired_number_scheduled), ready: count(it.number_ready) }))
    }

    /// Source of the annotation: Kubernetes, "Default StorageClass".
    async fn storage_classes(&self) -> kube::Result<Vec<StorageClass>> {
        let classes: Api<KubeStorageClass> = Api::all(self.client.clone());
        let is_default = |class: &KubeStorageClass| {
            let annotations = class.metadata.annotations.as_ref();
            annotations
                .and_then(|it| it.get("storageclass.kubernetes.io/is-default-class"))
                .is_some_and(|it| it == "true")
        };
        Ok(classes
            .list(&ListParams::default())
            .await?
            .into_iter()
            .map(|class| StorageClass {
                default: is_default(&class),
                name: class.metadata.name.unwrap_or_default(),
                provisioner: class.provisioner,
            })
            .collect())
    }

    async fn aws_node_env(&self) -> kube::Result<BTreeMap<String, String>> {
        let daemon_sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), load_balancers::NAMESPACE);
        let found = daemon_sets.get_opt("aws-node").await?;
        Ok(found
            .and_then(|it| it.spec?.template.spec)
            .into_iter()
            .flat_map(|spec| spec.containers)
            .flat_map(|container| container.env.into_iter().flatten())
            .filter_map(|variable| Some((variable.name, variable.value?)))
            .collect())
    }

    async fn resolv_conf(&self) -> Result<Option<String>, exec::ExecError> {
        let pods: Api<KubePod> = Api::namespaced(self.client.clone(), self.namespace());
        let output = exec::exec(&pods, nginx::POD, &["cat", "/etc/resolv.conf"].map(str::to_owned)).await?;
        Ok((output.code == 0).then_some(output.stdout))
    }
}

/// The fingerprint of the Corefile that runs, by the log of CoreDNS: the one of its start, or of its last reload that was
/// completed. A Corefile without the plugin `reload` has none.
fn running_configuration(log: &str) -> Option<String> {
    let (mut running, mut next, mut reloading) = (None, None, false);
    for line in log.lines() {
        if let Some((_, sha512)) = line.split_once("Running configuration SHA512 = ") {
            let told = Some(sha512.trim().to_owned());
            if reloading { next = told } else { running = told }
        } else if line.ends_with("[INFO] Reloading complete") {
            (running, reloading) = (next.take(), false);
        } else if line.ends_with("[INFO] Reloading") {
            (next, reloading) = (None, true);
        } else if line.contains("reload failed") {
            (next, reloading) = (None, false);
        }
    }
    running
}

fn node(node: KubeNode) -> Option<Node> {
    let status = node.status.unwrap_or_default();
    let ready =
        status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let address = status
        .addresses
        .iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP")
        .and_then(|address| address.address.parse().ok())?;
    let instance = node.spec.and_then(|spec| spec.provider_id).and_then(|id| Some(id.rsplit('/').next()?.to_owned()));
    Some(Node { name: node.metadata.name.unwrap_or_default(), address, ready, instance })
}

fn pod(pod: KubePod) -> Pod {
    let ready = nginx::is_ready(&pod);
    let spec = pod.spec.unwrap_or_default();
    Pod {
        name: pod.metadata.name.unwrap_or_default(),
        node: spec.node_name.unwrap_or_default(),
        address: pod.status.and_then(|status| status.pod_ip?.parse().ok()),
        ready,
        image: spec.containers.into_iter().next().and_then(|container| container.image).unwrap_or_default(),
        hostname: spec.hostname,
        subdomain: spec.subdomain,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::running_configuration;

    #[rstest]
    #[case::never("", None)]
    #[case::start(".:53\n[INFO] plugin/reload: Running configuration SHA512 = a\nCoreDNS-1.13.2\n", Some("a"))]
    #[case::reloaded(
        "SHA512 = 0\nRunning configuration SHA512 = a\n[INFO] Reloading\n.:53\nRunning configuration SHA512 = b\n[INFO] Reloading complete\n",
        Some("b")
    )]
    #[case::without_reload(
        "Running configuration SHA512 = a\n[INFO] Reloading\n.:53\n[INFO] Reloading complete\n",
        None
    )]
    #[case::refused(
        "Running configuration SHA512 = a\n[INFO] Reloading\n[ERROR] plugin/reload: Corefile changed but reload failed: x\n",
        Some("a")
    )]
    #[case::under_way(
        "Running configuration SHA512 = a\n[INFO] Reloading\nRunning configuration SHA512 = b\n",
        Some("a")
    )]
    fn the_configuration_that_runs(#[case] log: &str, #[case] expected: Option<&str>) {
        assert_eq!(running_configuration(log).as_deref(), expected);
    }
}
