//! HTTP around the decision (`pingcap/tidb-operator pkg/discovery/server/server.go`): port 10261.
//!
//! Simplified: no proxy to PD's dashboard on 10262, no DM, no TLS.

use std::sync::Arc;

use acrossk8s_mocks::workloads::Container;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use tokio::sync::Mutex;

use super::decision::{Arrival, Decision, DecisionError, Member, Waiting, cluster_of, verify};
use crate::api;
use crate::cluster::TidbCluster;
use crate::http::{HttpError, serve};
use crate::pd::PdClient;

/// Port of discovery.
pub const PORT: u16 = 10261;

/// Why a request is answered with status 500.
#[derive(Debug, thiserror::Error)]
enum DiscoveryError {
    #[error(transparent)]
    Decision(#[from] DecisionError),
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Cluster(#[from] serde_json::Error),
    #[error(transparent)]
    Pd(#[from] HttpError),
    #[error("failed to decode: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("failed to decode: {0}")]
    Text(#[from] std::string::FromUtf8Error),
}

struct Discovery {
    container: Container,
    client: kube::Client,
    namespace: String,
    // Held over a whole request, as the original does: PDs are answered one after the other.
    waiting: Mutex<Waiting>,
}

/// Runs discovery until its container has to stop. Returns the exit code.
pub async fn run(container: Container) -> i32 {
    let Some(client) = container.api.clone() else {
        container.log.line("failed to create Clientset: no service account");
        return 1;
    };
    let Some(namespace) = container.env.get("MY_POD_NAMESPACE").filter(|namespace| !namespace.is_empty()) else {
        container.log.line("MY_POD_NAMESPACE is not set");
        return 1;
    };
    let listener = match container.host.listen(PORT).await {
        Ok(listener) => listener,
        Err(error) => {
            container.log.line(format!("listen tcp :{PORT}: {error}"));
            return 1;
        }
    };
    container.log.line(format!("starting TiDB Discovery server, listening on 0.0.0.0:{PORT}"));
    let discovery = Arc::new(Discovery {
        namespace: namespace.clone(),
        client,
        waiting: Mutex::default(),
        container: container.clone(),
    });
    container.ready.send_replace(true);
    let handler = move |method: Method, path: String| {
        let discovery = Arc::clone(&discovery);
        async move { discovery.answer(&method, &path).await }
    };
    serve(&container, listener, Arc::new(handler)).await;
    container.ready.send_replace(false);
    0
}

impl Discovery {
    async fn answer(&self, method: &Method, path: &str) -> (StatusCode, String) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let outcome = match (method, parts.as_slice()) {
            (&Method::GET, ["new", url] | ["new", url, "pd"]) => self.discover(url).await,
            (&Method::GET, ["verify", url]) => self.verify(url).await,
            (&Method::GET, _) => return (StatusCode::NOT_FOUND, "404: Page Not Found".to_owned()),
            _ => return (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed".to_owned()),
        };
        match outcome {
            Ok(text) => {
                self.container.log.line(format!("generated args for {path}: {text}"));
                (StatusCode::OK, text)
            }
            Err(error) => {
                self.container.log.line(format!("failed to answer {path}, error: {error}"));
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }

    async fn discover(&self, url: &str) -> Result<String, DiscoveryError> {
        let mut waiting = self.waiting.lock().await;
        let arrival = Arrival::parse(&decode(url)?, &self.namespace)?;
        let tc = self.cluster(&arrival.cluster).await?;
        let candidates = match waiting.arrive(&arrival, &tc)? {
            Decision::Initialise(args) | Decision::Join(args) => return Ok(args),
            Decision::Ask(candidates) => candidates,
        };
        let members = PdClient::new(&self.container, candidates).members().await?.members;
        let members = members
            .into_iter()
            .filter_map(|member| Some(Member { peer_url: member.peer_urls.into_iter().next()?, name: member.name }));
        Ok(waiting.join(&arrival, &members.collect::<Vec<_>>()))
    }

    async fn verify(&self, url: &str) -> Result<String, DiscoveryError> {
        let endpoint = decode(url)?;
        let tc = self.cluster(cluster_of(&endpoint)).await?;
        Ok(verify(&endpoint, &tc))
    }

    async fn cluster(&self, name: &str) -> Result<TidbCluster, DiscoveryError> {
        let object = api::clusters(self.client.clone(), &self.namespace).get(name).await?;
        Ok(api::read(&object)?)
    }
}

/// A start script encodes with the newline of `echo`.
fn decode(url: &str) -> Result<String, DiscoveryError> {
    Ok(String::from_utf8(STANDARD.decode(url)?)?.trim_matches('\n').to_owned())
}
