//! The embedded environment: emulated AWS, clusters and network, in this process or in one that outlives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acrossk8s_mocks::lab::{Inventory, Lab, LabConfig, LabError, LabHost};
use acrossk8s_mocks::network::NetworkKind;
use acrossk8s_mocks::workloads::images;
use async_trait::async_trait;
use kube::config::Kubeconfig;

use super::{Environment, EnvironmentError, Handle, LabProcess, Patience, RealPrograms};
use crate::engine::Poll;

/// How to start an embedded lab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Port of the AWS endpoint; 0 picks a free one.
    pub aws_port: u16,
    /// What carries the packets. The kernel can only where this process may make network namespaces; see
    /// [`network::choose`](super::network::choose).
    pub network: NetworkKind,
    /// Why it is this network, where nobody asked for it by name.
    pub network_because: Option<String>,
    /// Real programs in the place of those in process; they need the kernel's network.
    pub programs: RealPrograms,
    /// How long load balancers take in the lab's time, where that is not no time at all.
    pub load_balancer_provision: Option<Duration>,
    /// How long managed node groups take in the lab's time, where that is not no time at all.
    pub node_group_create: Option<Duration>,
    /// Longest wait for anything; without one, what is generous even on a machine that is busy.
    pub longest_wait: Option<Duration>,
}

impl EmbeddedOptions {
    pub(super) fn config(&self) -> LabConfig {
        let mut config = LabConfig::default();
        config.aws_listen.set_port(self.aws_port);
        config.network = self.network;
        config.images = images(&self.programs.binaries());
        if let Some(time) = self.load_balancer_provision {
            config.latencies.load_balancer_provision = time;
        }
        if let Some(time) = self.node_group_create {
            config.latencies.nodegroup_create = time;
        }
        config
    }
}

pub(super) fn not_started(error: LabError) -> EnvironmentError {
    let hint = match &error {
        LabError::Listen { .. } => "\n  to mend it: name another port with --aws-port, or none to get a free one",
        LabError::Network { .. } => {
            "\n  to mend it: `acrossk8s doctor` tells what the kernel's network needs; the in-process one, --network model, \
             needs nothing"
        }
        _ => "",
    };
    EnvironmentError::new("the embedded lab could not be started", format!("{error}{hint}"))
}

/// An embedded lab, reached over HTTP whether it lives in this process or not.
pub struct Embedded {
    handle: Handle,
    http: reqwest::Client,
    lab: Option<Arc<Lab>>,
    longest_wait: Duration,
    network_because: Option<String>,
}

impl Embedded {
    /// Starts a lab in this process.
    ///
    /// # Errors
    /// When a port cannot be listened on.
    pub async fn start(options: &EmbeddedOptions) -> Result<Self, EnvironmentError> {
        let lab = Lab::start(options.config()).await.map_err(not_started)?;
        let handle = Handle::of(&lab, false, options.programs.versions());
        let longest_wait = options.longest_wait.unwrap_or(Duration::MAX);
        let network_because = options.network_because.clone();
        Ok(Self { lab: Some(lab), longest_wait, network_because, ..Self::connect(handle) })
    }

    /// Starts a lab in a process of its own that outlives this one.
    ///
    /// # Errors
    /// When the process cannot be started or does not come up.
    pub async fn start_kept(options: &EmbeddedOptions, log: &std::path::Path) -> Result<Self, EnvironmentError> {
        let network_because = options.network_because.clone();
        Ok(Self { network_because, ..Self::connect(LabProcess::spawn(options, log).await?) })
    }

    /// Finds a lab again by its handle.
    pub fn connect(handle: Handle) -> Self {
        Self { handle, http: reqwest::Client::new(), lab: None, longest_wait: Duration::MAX, network_because: None }
    }

    /// Everything that exists in the lab's account, by kind: what an outsider sees, whatever the run says of itself.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub async fn inventory(&self) -> Result<BTreeMap<String, Vec<String>>, EnvironmentError> {
        let what = "the lab's inventory cannot be read";
        let json = self.send(what, self.http.get(self.control("inventory"))).await?;
        let inventory: Inventory = serde_json::from_str(&json).map_err(|error| EnvironmentError::new(what, error))?;
        Ok(inventory.by_type())
    }

    /// Who is on the lab's network, and where the kernel keeps each.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub async fn hosts(&self) -> Result<Vec<LabHost>, EnvironmentError> {
        let what = "the hosts of the lab cannot be read";
        let json = self.send(what, self.http.get(self.control("hosts"))).await?;
        serde_json::from_str(&json).map_err(|error| EnvironmentError::new(what, error))
    }

    fn runs(&self, program: &str) -> bool {
        self.programs().iter().any(|(name, _)| name == program)
    }

    fn control(&self, path: &str) -> String {
        let Handle::Embedded { control_url, .. } = &self.handle;
        format!("{}/{path}", control_url.trim_end_matches('/'))
    }

    async fn send(&self, what: &str, request: reqwest::RequestBuilder) -> Result<String, EnvironmentError> {
        let answer = request.send().await.map_err(|error| EnvironmentError::new(what, error))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| EnvironmentError::new(what, error))?;
        if status.is_success() {
            return Ok(body);
        }
        let why = serde_json::from_str::<serde_json::Value>(&body)
            .ok()
            .and_then(|value| value.get("error")?.as_str().map(str::to_owned))
            .unwrap_or(body);
        Err(EnvironmentError::new(what, why))
    }
}

#[async_trait]
impl Environment for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn network(&self) -> &str {
        let Handle::Embedded { network, .. } = &self.handle;
        network
    }

    fn network_because(&self) -> Option<&str> {
        self.network_because.as_deref()
    }

    fn programs(&self) -> Vec<(String, String)> {
        let Handle::Embedded { programs, .. } = &self.handle;
        programs.clone()
    }

    fn access(&self) -> acrossk8s_aws::Access {
        let Handle::Embedded { aws_url, .. } = &self.handle;
        acrossk8s_aws::Access::emulated(aws_url.clone())
    }

    /// Real time: the lab's clock runs a thousand times as fast as AWS's, so a few seconds are hours there. Real programs
    /// do not follow that clock: CoreDNS looks at its Corefile every 30 seconds, 15 more or less, and remembers for 30
    /// seconds that a name does not exist.
    fn patience(&self) -> Patience {
        let seconds = |seconds| Duration::from_secs(seconds).min(self.longest_wait);
        let coredns = |emulated, real| seconds(if self.runs("coredns") { real } else { emulated });
        Patience {
            poll: Poll { initial: Duration::from_millis(2), max: Duration::from_millis(50), jitter: 0.2 },
            peering: seconds(5),
            load_balancer: seconds(10),
            target_health: seconds(10),
            coredns_reload: coredns(2, 90),
            name: coredns(2, 60),
            pod: seconds(10),
            deletion: seconds(10),
        }
    }

    fn handle(&self) -> Handle {
        self.handle.clone()
    }

    async fn create_cluster(&self, config: &str) -> Result<(), EnvironmentError> {
        let request = self.http.post(self.control("eksctl/create")).body(config.to_owned());
        self.send("the cluster could not be created", request).await.map(drop)
    }

    async fn delete_cluster(&self, region: &str, name: &str) -> Result<(), EnvironmentError> {
        let request = self.http.delete(self.control(&format!("eksctl/clusters/{region}/{name}")));
        match self.send(&format!("cluster {name} in {region} could not be deleted"), request).await {
            Err(error) if error.why.contains("ResourceNotFoundException") => Ok(()),
            other => other.map(drop),
        }
    }

    async fn kubeconfig(&self) -> Result<Kubeconfig, EnvironmentError> {
        let what = "the kubeconfig could not be read";
        let yaml = self.send(what, self.http.get(self.control("kubeconfig"))).await?;
        Kubeconfig::from_yaml(&yaml).map_err(|error| EnvironmentError::new(what, error))
    }

    async fn alive(&self) -> bool {
        self.send("", self.http.get(self.control("eksctl/clusters"))).await.is_ok()
    }

    async fn shutdown(&self) {
        if let Some(lab) = &self.lab {
            lab.shutdown().await;
        } else if let Err(error) =
            self.send("the lab could not be ended", self.http.post(self.control("shutdown"))).await
        {
            tracing::debug!(%error, "the lab was gone before it was told to end");
        }
    }
}
