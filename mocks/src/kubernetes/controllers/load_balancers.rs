//! The service controller of AWS's cloud provider: a Network Load Balancer for each Service of type LoadBalancer that asks
//! for one.
//!
//! Services with a `loadBalancerClass`, or without the annotation `aws-load-balancer-type: nlb`, are somebody else's or
//! would get a Classic Load Balancer, which is not emulated: an event says so.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::control_loop::is_not_found;
use super::events::{Recorder, Severity};
use super::{Informers, Reconcile, ReconcileError};
use crate::aws::elbv2::{ServiceLoadBalancer, delete_service_load_balancer, ensure_service_load_balancer};
use crate::aws::tags::Tags;
use crate::aws::{Aws, AwsError};

/// The finaliser that keeps a Service until its load balancer is gone.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";
const COMPONENT: &str = "service-controller";

/// Makes, keeps and deletes the load balancers of Services.
pub struct LoadBalancers {
    /// Client.
    pub client: Client,
    /// What exists.
    pub informers: Arc<Informers>,
    /// Writes events.
    pub recorder: Recorder,
    /// The account.
    pub aws: Arc<Aws>,
    /// Region of the cluster.
    pub region: String,
    /// Name of the cluster.
    pub cluster: String,
    /// VPC of the cluster.
    pub vpc: String,
}

impl Reconcile for LoadBalancers {
    const NAME: &'static str = "service";

    async fn reconcile(&mut self) -> Result<(), ReconcileError> {
        let instances = ready_instances(&self.informers.nodes.list());
        let mut failed = None;
        for service in self.informers.services.list() {
            if let Err(error) = self.sync(&service, &instances).await {
                self.recorder.event(
                    COMPONENT,
                    service.as_ref(),
                    Severity::Warning,
                    "SyncLoadBalancerFailed",
                    format!("Error syncing load balancer: {error}"),
                );
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl LoadBalancers {
    async fn sync(&self, service: &Service, instances: &[String]) -> Result<(), ReconcileError> {
        let held = service.finalizers().iter().any(|it| it == FINALIZER);
        let wanted = is_ours(service) && service.metadata.deletion_timestamp.is_none();
        match (wanted, held) {
            (true, _) => self.ensure(service, instances, held).await,
            (false, true) => self.delete(service).await,
            (false, false) => Ok(()),
        }
    }

    async fn ensure(&self, service: &Service, instances: &[String], held: bool) -> Result<(), ReconcileError> {
        let status = service.status.as_ref().and_then(|it| it.load_balancer.as_ref()?.ingress.as_ref()?.first());
        let known = status.and_then(|ingress| ingress.hostname.clone());
        if !held {
            self.recorder.event(COMPONENT, service, Severity::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
            let mut finalizers = service.finalizers().to_vec();
            finalizers.push(FINALIZER.to_owned());
            self.patch(service, json!({ "metadata": { "finalizers": finalizers } }), false).await?;
        }
        let wanted = self.wanted(service, instances)?;
        let ensured =
            self.aws.with(&self.region, |state, context| ensure_service_load_balancer(state, context, &wanted))?;
        if known.as_ref() != Some(&ensured.hostname) {
            let status = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": ensured.hostname }] } } });
            self.patch(service, status, true).await?;
            self.recorder.event(COMPONENT, service, Severity::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
        }
        Ok(())
    }

    fn wanted(&self, service: &Service, instances: &[String]) -> Result<ServiceLoadBalancer, AwsError> {
        let annotation = |name: &str| service.annotations().get(&format!("{PREFIX}{name}"));
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let number = |port: i32| u16::try_from(port).ok().filter(|port| *port != 0);
        Ok(ServiceLoadBalancer {
            cluster: self.cluster.clone(),
            vpc: self.vpc.clone(),
            namespace: service.namespace().unwrap_or_default(),
            service: service.name_any(),
            uid: service.uid().unwrap_or_default(),
            // Any value but "false" counts.
            internal: annotation("internal").is_some_and(|value| value != "false"),
            cross_zone: annotation("cross-zone-load-balancing-enabled").is_some_and(|value| value == "true"),
            ports: ports.filter_map(|port| Some((number(port.port)?, number(port.node_port?)?))).collect(),
            instances: instances.to_vec(),
            source_ranges: source_ranges(service)?,
            extra_tags: annotation("additional-resource-tags").map(|tags| pairs(tags)).unwrap_or_default(),
        })
    }

    async fn delete(&self, service: &Service) -> Result<(), ReconcileError> {
        self.recorder.event(COMPONENT, service, Severity::Normal, "DeletingLoadBalancer", "Deleting load balancer");
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        self.aws.with(&self.region, |state, context| {
            delete_service_load_balancer(state, context, &self.cluster, &namespace, &name)
        })?;
        self.recorder.event(COMPONENT, service, Severity::Normal, "DeletedLoadBalancer", "Deleted load balancer");
        let finalizers: Vec<_> = service.finalizers().iter().filter(|it| *it != FINALIZER).collect();
        self.patch(service, json!({ "metadata": { "finalizers": finalizers } }), false).await
    }

    async fn patch(&self, service: &Service, patch: serde_json::Value, status: bool) -> Result<(), ReconcileError> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
        let (name, params, patch) = (service.name_any(), PatchParams::default(), Patch::Merge(patch));
        let answer = if status {
            api.patch_status(&name, &params, &patch).await
        } else {
            api.patch(&name, &params, &patch).await
        };
        match answer {
            // A Service that is gone now is not looked at again: the watch will tell.
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(service) => {
                self.informers.services.observe(service);
                Ok(())
            }
        }
    }
}

/// Whether the Service asks AWS's cloud provider for a Network Load Balancer.
fn is_ours(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
        && service.annotations().get(&format!("{PREFIX}type")).is_some_and(|kind| kind == "nlb")
}

/// The clients that a Service lets in.
fn source_ranges(service: &Service) -> Result<Vec<ipnet::Ipv4Net>, AwsError> {
    let ranges = service.spec.iter().flat_map(|spec| spec.load_balancer_source_ranges.iter().flatten());
    let parse = |range: &String| {
        let message = format!("service.Spec.LoadBalancerSourceRanges: '{range}' is not an IPv4 CIDR block");
        range.trim().parse().map_err(|_| AwsError::client("SyncLoadBalancerFailed", message))
    };
    ranges.map(parse).collect()
}

/// `a=b,c=d`.
fn pairs(text: &str) -> Tags {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// Instances of the nodes that are Ready.
fn ready_instances(nodes: &[Arc<Node>]) -> Vec<String> {
    let ready = |node: &&Arc<Node>| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
    };
    let instance = |node: &Arc<Node>| {
        let id = node.spec.as_ref()?.provider_id.as_ref()?;
        id.rsplit('/').next().map(str::to_owned)
    };
    nodes.iter().filter(ready).filter_map(instance).collect()
}
