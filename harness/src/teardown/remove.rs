//! Removing one thing that a run made: only when it is the run's own, and until it is really gone.

use acrossk8s_aws::ec2::types::VpcPeeringConnectionStateReasonCode as Code;
use acrossk8s_aws::ec2::types::{Filter, IpPermission, IpRange};
use acrossk8s_aws::{Clients, ProvideErrorMetadata, Regions};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};

use crate::engine::{Condition, Failure, wait_for};
use crate::environment::{Environment, Patience};
use crate::procedure::{RUN_TAG, Resource, aws_failure, client_of, coredns, kube_failure, load_balancers, manifest};

/// What came of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It was there, and is gone.
    Gone,
    /// It was not there.
    WasGone,
    /// It is there, and does not carry the run's mark: left alone.
    NotOurs(String),
}

/// Removes what one run made.
pub struct Remover<'a> {
    /// Where the run ran.
    pub environment: &'a dyn Environment,
    /// AWS, by region.
    pub aws: &'a Regions,
    /// The run.
    pub run_id: &'a str,
    /// Clusters of the run: name and region.
    pub clusters: &'a [(String, String)],
    /// Ends the waiting.
    pub cancel: tokio_util::sync::CancellationToken,
    /// Kubernetes clients by cluster, each made once.
    pub kubernetes: parking_lot::Mutex<std::collections::BTreeMap<String, kube::Client>>,
}

impl Remover<'_> {
    /// Removes a thing and waits until it is gone.
    ///
    /// # Errors
    /// When it could not be removed, or is still there when the patience ends.
    pub async fn remove(&self, resource: &Resource) -> Result<Removed, Failure> {
        match resource {
            Resource::Object { cluster, namespace, object, name } => {
                self.object(&resource.describe(), cluster, namespace.as_deref(), object, name).await
            }
            Resource::CorefileEdit { cluster, backup, .. } => self.corefile(cluster, backup).await,
            Resource::SecurityGroupRule { region, group, source } => {
                self.security_group_rule(region, group, &source.to_string()).await
            }
            Resource::Route { region, table, destination, peering } => {
                self.route(region, table, &destination.to_string(), peering).await
            }
            Resource::Peering { region, requester, accepter_region, accepter } => {
                self.peering(region, requester, accepter_region, accepter).await
            }
            Resource::Namespace { cluster, name } => self.namespace(cluster, name).await,
            Resource::Cluster { region, name } => self.cluster(region, name).await,
        }
    }

    fn patience(&self) -> Patience {
        self.environment.patience()
    }

    fn clients(&self, region: &str) -> Result<&Clients, Failure> {
        self.aws.get(region).ok_or_else(|| Failure::new(format!("there are no clients for region {region}")))
    }

    async fn wait_gone<F>(&self, what: &str, look: impl FnMut() -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<Condition<()>, Failure>>,
    {
        let patience = self.patience();
        wait_for(&format!("{what} to be gone"), patience.deletion, patience.poll, &self.cancel, look).await
    }

    /// The client of a cluster, unless the cluster is gone: what was in it is then gone too.
    async fn kubernetes(&self, cluster: &str) -> Result<Option<kube::Client>, Failure> {
        let what = format!("the Kubernetes API of {cluster} cannot be reached");
        let Some((_, region)) = self.clusters.iter().find(|(name, _)| name == cluster) else { return Ok(None) };
        let eks = &self.clients(region)?.eks;
        match eks.describe_cluster().name(cluster).send().await {
            Ok(found) => {
                let owner = found.cluster().and_then(|it| it.tags()).and_then(|tags| tags.get(RUN_TAG));
                if owner.map(String::as_str) != Some(self.run_id) {
                    return Ok(None);
                }
            }
            Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => {
                return Ok(None);
            }
            Err(error) => return Err(aws_failure(what, &error)),
        }
        if let Some(client) = self.kubernetes.lock().get(cluster) {
            return Ok(Some(client.clone()));
        }
        let kubeconfig = self.environment.kubeconfig().await.map_err(|error| Failure::new(&what).because(error))?;
        let suffix = format!("@{cluster}.{region}.eksctl.io");
        let Some(context) = kubeconfig.contexts.iter().map(|it| it.name.clone()).find(|name| name.ends_with(&suffix))
        else {
            return Ok(None);
        };
        let client = client_of(kubeconfig, context).await.map_err(|error| Failure::new(what).because(error))?;
        self.kubernetes.lock().insert(cluster.to_owned(), client.clone());
        Ok(Some(client))
    }

    async fn object(
        &self,
        what: &str,
        cluster: &str,
        namespace: Option<&str>,
        kind: &str,
        name: &str,
    ) -> Result<Removed, Failure> {
        let Some(client) = self.kubernetes(cluster).await? else { return Ok(Removed::WasGone) };
        let api = manifest::api_of(client, kind, namespace)?;
        let Some(found) = get(&api, name, what).await? else { return Ok(Removed::WasGone) };
        if let Some(other) = self.not_ours(&found.metadata.annotations) {
            return Ok(Removed::NotOurs(other));
        }
        delete(&api, name, what).await?;
        self.wait_gone(what, || async { Ok(gone(get(&api, name, what).await?.is_none())) }).await?;
        if name == load_balancers::SERVICE {
            self.load_balancer_interfaces(cluster).await?;
        }
        Ok(Removed::Gone)
    }

    /// A deleted load balancer's interfaces stay for minutes and keep the subnets from being deleted.
    async fn load_balancer_interfaces(&self, cluster: &str) -> Result<(), Failure> {
        let Some((_, region)) = self.clusters.iter().find(|(name, _)| name == cluster) else { return Ok(()) };
        let clients = self.clients(region)?;
        let what = format!("the load balancer of {cluster} and its interfaces");
        let found =
            clients.eks.describe_cluster().name(cluster).send().await.map_err(|error| aws_failure(&what, &error))?;
        let vpc = found.cluster().and_then(|it| it.resources_vpc_config()).and_then(|config| config.vpc_id());
        let Some(vpc) = vpc.map(str::to_owned) else { return Ok(()) };
        self.wait_gone(&what, || async {
            let answer = clients
                .ec2
                .describe_network_interfaces()
                .filters(Filter::builder().name("vpc-id").values(&vpc).build())
                .filters(Filter::builder().name("description").values("ELB net/*").build())
                .send()
                .await
                .map_err(|error| aws_failure(&what, &error))?;
            let left = answer.network_interfaces().len();
            Ok(if left == 0 { Condition::Ready(()) } else { Condition::NotYet(format!("{left} interfaces are there")) })
        })
        .await
    }

    fn not_ours(&self, annotations: &Option<std::collections::BTreeMap<String, String>>) -> Option<String> {
        match annotations.as_ref().and_then(|annotations| annotations.get(RUN_TAG)) {
            Some(run) if run == self.run_id => None,
            Some(run) => Some(format!("it is marked as run {run}'s")),
            None => Some("it is not marked as this run's".to_owned()),
        }
    }

    async fn namespace(&self, cluster: &str, name: &str) -> Result<Removed, Failure> {
        let Some(client) = self.kubernetes(cluster).await? else { return Ok(Removed::WasGone) };
        let what = format!("namespace {name} of {cluster}");
        let api: Api<Namespace> = Api::all(client);
        let read = |error: &kube::Error| kube_failure(format!("{what} cannot be read"), error);
        let Some(found) = api.get_opt(name).await.map_err(|error| read(&error))? else { return Ok(Removed::WasGone) };
        if let Some(other) = self.not_ours(&found.metadata.annotations) {
            return Ok(Removed::NotOurs(other));
        }
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            other => drop(other.map_err(|error| kube_failure(format!("{what} cannot be deleted"), &error))?),
        }
        self.wait_gone(&what, || async { Ok(gone(api.get_opt(name).await.map_err(|error| read(&error))?.is_none())) })
            .await?;
        Ok(Removed::Gone)
    }

    async fn corefile(&self, cluster: &str, backup: &str) -> Result<Removed, Failure> {
        let what = format!("the Corefile of {cluster} cannot be restored");
        let backup: ConfigMap = serde_saphyr::from_str(backup).map_err(|error| Failure::new(&what).because(error))?;
        let Some(client) = self.kubernetes(cluster).await? else { return Ok(Removed::WasGone) };
        let api: Api<ConfigMap> = Api::namespaced(client, load_balancers::NAMESPACE);
        let Some(mut present) = api.get_opt(coredns::CONFIG_MAP).await.map_err(|error| kube_failure(&what, &error))?
        else {
            return Ok(Removed::WasGone);
        };
        if present.data == backup.data {
            return Ok(Removed::WasGone);
        }
        present.data = backup.data;
        api.replace(coredns::CONFIG_MAP, &PostParams::default(), &present)
            .await
            .map_err(|error| kube_failure(&what, &error))?;
        Ok(Removed::Gone)
    }

    async fn security_group_rule(&self, region: &str, group: &str, source: &str) -> Result<Removed, Failure> {
        let clients = self.clients(region)?;
        let what = format!("the rule for {source} in {group} ({region}) cannot be revoked");
        let rules = clients
            .ec2
            .describe_security_group_rules()
            .filters(Filter::builder().name("group-id").values(group).build())
            .send()
            .await
            .map_err(|error| aws_failure(&what, &error))?;
        let rule = rules.security_group_rules().iter().find(|rule| {
            rule.is_egress() == Some(false) && rule.cidr_ipv4() == Some(source) && rule.ip_protocol() == Some("-1")
        });
        let Some(rule) = rule else { return Ok(Removed::WasGone) };
        if !rule.tags().iter().any(|tag| tag.key() == Some(RUN_TAG) && tag.value() == Some(self.run_id)) {
            return Ok(Removed::NotOurs("it is not tagged as this run's".to_owned()));
        }
        let permission =
            IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip(source).build()).build();
        match clients.ec2.revoke_security_group_ingress().group_id(group).ip_permissions(permission).send().await {
            Ok(_) => Ok(Removed::Gone),
            Err(error) if is_not_found(error.code()) => Ok(Removed::WasGone),
            Err(error) => Err(aws_failure(what, &error)),
        }
    }

    /// A route cannot be tagged: it is the run's own when it points to the peering connection that the run made.
    async fn route(&self, region: &str, table: &str, destination: &str, peering: &str) -> Result<Removed, Failure> {
        let clients = self.clients(region)?;
        let what = format!("the route to {destination} in {table} ({region}) cannot be deleted");
        let tables = match clients.ec2.describe_route_tables().route_table_ids(table).send().await {
            Ok(tables) => tables,
            Err(error) if is_not_found(error.code()) => return Ok(Removed::WasGone),
            Err(error) => return Err(aws_failure(what, &error)),
        };
        let routes = tables.route_tables().iter().flat_map(|table| table.routes());
        match routes.into_iter().find(|route| route.destination_cidr_block() == Some(destination)) {
            None => return Ok(Removed::WasGone),
            Some(route) if route.vpc_peering_connection_id() == Some(peering) => {}
            Some(_) => return Ok(Removed::NotOurs("it points elsewhere than where this run let it point".to_owned())),
        }
        match clients.ec2.delete_route().route_table_id(table).destination_cidr_block(destination).send().await {
            Ok(_) => Ok(Removed::Gone),
            Err(error) if is_not_found(error.code()) => Ok(Removed::WasGone),
            Err(error) => Err(aws_failure(what, &error)),
        }
    }

    async fn peering(
        &self,
        region: &str,
        requester: &str,
        accepter_region: &str,
        accepter: &str,
    ) -> Result<Removed, Failure> {
        let clients = self.clients(region)?;
        let what = format!("the peering connection of {requester} and {accepter}");
        let answer = clients
            .ec2
            .describe_vpc_peering_connections()
            .filters(Filter::builder().name("requester-vpc-info.vpc-id").values(requester).build())
            .filters(Filter::builder().name("accepter-vpc-info.vpc-id").values(accepter).build())
            .send()
            .await
            .map_err(|error| aws_failure(format!("{what} cannot be read"), &error))?;
        let live =
            answer.vpc_peering_connections().iter().find(|it| !is_over(it.status().and_then(|status| status.code())));
        let Some(live) = live else { return Ok(Removed::WasGone) };
        if !live.tags().iter().any(|tag| tag.key() == Some(RUN_TAG) && tag.value() == Some(self.run_id)) {
            return Ok(Removed::NotOurs("it is not tagged as this run's".to_owned()));
        }
        let id = live.vpc_peering_connection_id().unwrap_or_default();
        match clients.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(id).send().await {
            Ok(_) => {}
            Err(error) if is_not_found(error.code()) => return Ok(Removed::WasGone),
            Err(error) => return Err(aws_failure(format!("{what} cannot be deleted"), &error)),
        }
        for region in [region, accepter_region] {
            let clients = self.clients(region)?;
            self.wait_gone(&format!("{id} in {region}"), || async {
                match clients.ec2.describe_vpc_peering_connections().vpc_peering_connection_ids(id).send().await {
                    Ok(answer) => {
                        let found = answer
                            .vpc_peering_connections()
                            .first()
                            .and_then(|it| it.status())
                            .and_then(|it| it.code());
                        Ok(match found {
                            Some(code) if !is_over(Some(code)) || *code == Code::Deleting => {
                                Condition::NotYet(code.as_str().to_owned())
                            }
                            _ => Condition::Ready(()),
                        })
                    }
                    Err(error) if is_not_found(error.code()) => Ok(Condition::Ready(())),
                    Err(error) => Err(aws_failure(format!("{what} cannot be read"), &error)),
                }
            })
            .await?;
        }
        Ok(Removed::Gone)
    }

    async fn cluster(&self, region: &str, name: &str) -> Result<Removed, Failure> {
        let clients = self.clients(region)?;
        let what = format!("cluster {name} ({region})");
        let there = || async {
            match clients.eks.describe_cluster().name(name).send().await {
                Ok(answer) => Ok(answer.cluster),
                Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => {
                    Ok(None)
                }
                Err(error) => Err(aws_failure(format!("{what} cannot be read"), &error)),
            }
        };
        let found = there().await?;
        if let Some(cluster) = &found {
            let owner = cluster.tags().and_then(|tags| tags.get(RUN_TAG));
            if owner.map(String::as_str) != Some(self.run_id) {
                return Ok(Removed::NotOurs("it is not tagged as this run's".to_owned()));
            }
        }
        // Also when EKS knows no such cluster: a creation that broke off has left its VPC.
        self.environment
            .delete_cluster(region, name)
            .await
            .map_err(|error| Failure::new(format!("{what} cannot be deleted")).because(error.why))?;
        self.wait_gone(&what, || async { Ok(gone(there().await?.is_none())) }).await?;
        Ok(if found.is_some() { Removed::Gone } else { Removed::WasGone })
    }
}

async fn get(api: &Api<DynamicObject>, name: &str, what: &str) -> Result<Option<DynamicObject>, Failure> {
    api.get_opt(name).await.map_err(|error| kube_failure(format!("{what} cannot be read"), &error))
}

async fn delete(api: &Api<DynamicObject>, name: &str, what: &str) -> Result<(), Failure> {
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(kube_failure(format!("{what} cannot be deleted"), &error)),
    }
}

fn gone(gone: bool) -> Condition<()> {
    if gone { Condition::Ready(()) } else { Condition::NotYet("it is there".to_owned()) }
}

fn is_over(code: Option<&Code>) -> bool {
    matches!(code, None | Some(Code::Deleted | Code::Deleting | Code::Failed | Code::Rejected | Code::Expired))
}

fn is_not_found(code: Option<&str>) -> bool {
    code.is_some_and(|code| code.ends_with(".NotFound"))
}
