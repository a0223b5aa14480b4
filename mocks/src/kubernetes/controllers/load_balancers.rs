//! Services of type LoadBalancer: the service controller of AWS's cloud provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::control_loop::is_not_found;
use super::events::{Recorder, Severity};
use super::{Informers, Key, Reconcile, ReconcileError, key_of};
use crate::aws::elbv2::{self, ServiceLoadBalancer};
use crate::aws::{Aws, AwsError};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const ANNOTATION: &str = "service.beta.kubernetes.io/aws-load-balancer-";
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const COMPONENT: &str = "service-controller";

/// Makes a Network Load Balancer in the account for each Service of type LoadBalancer that asks for one
/// (`aws-load-balancer-type: nlb`), targets the instances of all ready nodes, and deletes it with the Service. Classic Load
/// Balancers, what a Service gets without that annotation, are not emulated: the Service stays pending with an event.
pub struct LoadBalancers {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    aws: Arc<Aws>,
    /// Name, region and VPC of the cluster.
    cluster: String,
    region: String,
    vpc: String,
    /// What was ensured last.
    ensured: BTreeMap<Key, ServiceLoadBalancer>,
    /// What was complained about last.
    failed: BTreeMap<Key, String>,
}

impl LoadBalancers {
    /// A controller for a cluster in a VPC.
    pub fn new(
        client: Client,
        informers: Arc<Informers>,
        recorder: Recorder,
        aws: Arc<Aws>,
        (cluster, region, vpc): (String, String, String),
    ) -> Self {
        let (ensured, failed) = (BTreeMap::new(), BTreeMap::new());
        Self { client, informers, recorder, aws, cluster, region, vpc, ensured, failed }
    }

    async fn sync(&mut self, service: &Service) -> Result<(), ReconcileError> {
        let wants = service.metadata.deletion_timestamp.is_none() && is_ours(service);
        match (wants, service.finalizers().iter().any(|finalizer| finalizer == FINALIZER)) {
            (true, _) => self.ensure(service).await,
            (false, true) => self.clean_up(service).await,
            (false, false) => Ok(()),
        }
    }

    async fn ensure(&mut self, service: &Service) -> Result<(), ReconcileError> {
        let wanted = match self.wanted(service) {
            Ok(wanted) => wanted,
            Err(error) => return self.fail(service, error),
        };
        let key = key_of(service);
        let has_status = hostname(service).is_some();
        if self.ensured.get(&key) == Some(&wanted) && has_status {
            return Ok(());
        }
        let kind = annotation(service, "type");
        if kind != Some("nlb") {
            let message = "Classic Load Balancers are not emulated: set the annotation \
                           service.beta.kubernetes.io/aws-load-balancer-type to nlb";
            return self.fail(service, AwsError::client("NotEmulated", message));
        }
        if !service.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
            let mut finalizers = service.finalizers().to_vec();
            finalizers.push(FINALIZER.to_owned());
            self.patch(service, json!({ "metadata": { "finalizers": finalizers } })).await?;
        }
        let first = !self.ensured.contains_key(&key) && !has_status;
        if first {
            self.recorder.event(COMPONENT, service, Severity::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
        }
        let ensured =
            self.aws.with(&self.region, |state, context| elbv2::ensure_service_load_balancer(state, context, &wanted));
        let ensured = match ensured {
            Ok(ensured) => ensured,
            Err(error) => return self.fail(service, error),
        };
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": ensured.hostname }] } } });
        if hostname(service) != Some(&ensured.hostname) {
            self.patch_status(service, status).await?;
        }
        let (reason, message) = match first {
            true => ("EnsuredLoadBalancer", "Ensured load balancer"),
            false => ("UpdatedLoadBalancer", "Updated load balancer with new hosts"),
        };
        self.recorder.event(COMPONENT, service, Severity::Normal, reason, message);
        self.failed.remove(&key);
        self.ensured.insert(key, wanted);
        Ok(())
    }

    async fn clean_up(&mut self, service: &Service) -> Result<(), ReconcileError> {
        self.recorder.event(COMPONENT, service, Severity::Normal, "DeletingLoadBalancer", "Deleting load balancer");
        let (namespace, name) = key_of(service);
        let deleted = self.aws.with(&self.region, |state, context| {
            elbv2::delete_service_load_balancer(state, context, &self.cluster, &namespace, &name)
        });
        if let Err(error) = deleted {
            return self.fail(service, error);
        }
        let key = (namespace, name);
        self.ensured.remove(&key);
        self.failed.remove(&key);
        if hostname(service).is_some() && service.metadata.deletion_timestamp.is_none() {
            self.patch_status(service, json!({ "status": { "loadBalancer": null } })).await?;
        }
        let left: Vec<_> = service.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        self.recorder.event(COMPONENT, service, Severity::Normal, "DeletedLoadBalancer", "Deleted load balancer");
        self.patch(service, json!({ "metadata": { "finalizers": left } })).await
    }

    /// Says once what is wrong, and again when it is something else.
    fn fail(&mut self, service: &Service, error: AwsError) -> Result<(), ReconcileError> {
        let message = format!("Error syncing load balancer: failed to ensure load balancer: {error}");
        if self.failed.get(&key_of(service)) != Some(&message) {
            self.recorder.event(COMPONENT, service, Severity::Warning, "SyncLoadBalancerFailed", message.as_str());
            self.failed.insert(key_of(service), message);
        }
        Err(error.into())
    }

    fn wanted(&self, service: &Service) -> Result<ServiceLoadBalancer, AwsError> {
        let spec = service.spec.clone().unwrap_or_default();
        let is = |name: &str| annotation(service, name).is_some_and(|value| value == "true");
        let ports = spec.ports.unwrap_or_default();
        let ports = ports.iter().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
        let number = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let tags = annotation(service, "additional-resource-tags").unwrap_or_default();
        let tags = tags.split(',').filter_map(|pair| pair.trim().split_once('='));
        let ranges = spec.load_balancer_source_ranges.unwrap_or_default();
        let range = |range: &String| {
            let message = format!("service.Spec.LoadBalancerSourceRanges: '{range}' is not an IPv4 CIDR block");
            range.trim().parse().map_err(|_| AwsError::client("SyncLoadBalancerFailed", message))
        };
        Ok(ServiceLoadBalancer {
            cluster: self.cluster.clone(),
            vpc: self.vpc.clone(),
            namespace: service.namespace().unwrap_or_default(),
            service: service.name_any(),
            uid: service.uid().unwrap_or_default(),
            // Any value but "false" makes it internal.
            internal: annotation(service, "internal").is_some_and(|value| value != "false"),
            cross_zone: is("cross-zone-load-balancing-enabled"),
            ports: ports.filter_map(|port| Some((number(Some(port.port))?, number(port.node_port)?))).collect(),
            instances: self.informers.nodes.list().iter().filter_map(|node| target(node)).collect(),
            source_ranges: ranges.iter().map(range).collect::<Result<_, _>>()?,
            extra_tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        })
    }

    async fn patch(&self, service: &Service, patch: Value) -> Result<(), ReconcileError> {
        let api = self.api(service);
        self.take(api.patch(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    async fn patch_status(&self, service: &Service, patch: Value) -> Result<(), ReconcileError> {
        let api = self.api(service);
        self.take(api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    fn take(&self, answer: Result<Service, kube::Error>) -> Result<(), ReconcileError> {
        match answer {
            Ok(service) if service.metadata.deletion_timestamp.is_none() => self.informers.services.observe(service),
            // Removing the last finaliser deletes the object: the watch says so.
            Ok(_) => {}
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn api(&self, service: &Service) -> Api<Service> {
        Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default())
    }
}

impl Reconcile for LoadBalancers {
    const NAME: &'static str = "service";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let mut result = Ok(());
        let services = self.informers.services.list();
        for service in &services {
            if let Err(error) = self.sync(service).await {
                result = Err(error);
            }
        }
        let exists = |key: &Key| services.iter().any(|service| key_of(service.as_ref()) == *key);
        self.ensured.retain(|key, _| exists(key));
        self.failed.retain(|key, _| exists(key));
        result
    }
}

/// Whether the cloud provider cares for the Service: not where the AWS Load Balancer Controller is asked to.
fn is_ours(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
        && spec.and_then(|spec| spec.load_balancer_class.as_ref()).is_none()
        && !matches!(annotation(service, "type"), Some("external" | "nlb-ip"))
}

fn annotation<'a>(service: &'a Service, name: &str) -> Option<&'a str> {
    service.annotations().get(&format!("{ANNOTATION}{name}")).map(String::as_str)
}

fn hostname(service: &Service) -> Option<&String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.hostname.as_ref()
}

/// The instance of a node that may be a target.
fn target(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if !ready || node.metadata.deletion_timestamp.is_some() || node.labels().contains_key(EXCLUDE) {
        return None;
    }
    node.spec.as_ref()?.provider_id.as_ref()?.rsplit('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ready(json!([{ "type": "Ready", "status": "True" }]), json!({}), Some("i-1"))]
    #[case::not_ready(json!([{ "type": "Ready", "status": "False" }]), json!({}), None)]
    #[case::unknown(json!([]), json!({}), None)]
    #[case::excluded(json!([{ "type": "Ready", "status": "True" }]), json!({ EXCLUDE: "" }), None)]
    fn ready_nodes_are_targets(#[case] conditions: Value, #[case] labels: Value, #[case] expected: Option<&str>) {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": "n", "labels": labels },
            "spec": { "providerID": "aws:///us-west-2a/i-1" },
            "status": { "conditions": conditions },
        }))
        .expect("a node");
        assert_eq!(target(&node).as_deref(), expected);
    }

    #[rstest]
    #[case(json!({ "type": "LoadBalancer" }), json!({}), true)]
    #[case(json!({ "type": "ClusterIP" }), json!({}), false)]
    #[case(json!({ "type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb" }), json!({}), false)]
    #[case(
        json!({ "type": "LoadBalancer" }),
        json!({ "service.beta.kubernetes.io/aws-load-balancer-type": "external" }),
        false
    )]
    fn others_load_balancers_are_left_alone(#[case] spec: Value, #[case] annotations: Value, #[case] expected: bool) {
        let service: Service =
            serde_json::from_value(json!({ "metadata": { "name": "s", "annotations": annotations }, "spec": spec }))
                .expect("a service");
        assert_eq!(is_ours(&service), expected);
    }
}
