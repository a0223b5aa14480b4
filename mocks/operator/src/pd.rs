//! PD's HTTP API, as the operator and discovery ask it (`pingcap/tidb-operator pkg/pdapi`).
//!
//! Simplified: every call goes through the candidates anew, first the own Service, then PD of the joined cluster, then
//! each peer; the original keeps the client that answered. No TLS.

use acrossk8s_mocks::workloads::Container;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::TidbCluster;
use crate::http::{HttpError, send};

/// `/pd/api/v1/members`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Members {
    /// Members.
    #[serde(default)]
    pub members: Vec<Member>,
    /// The leader, if there is one.
    pub leader: Option<Member>,
    /// The header, with the cluster's id.
    pub header: Option<Header>,
}

/// Header of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Header {
    /// Id of the cluster.
    pub cluster_id: u64,
}

/// A member.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Id.
    pub member_id: u64,
    /// Peer URLs.
    #[serde(default)]
    pub peer_urls: Vec<String>,
    /// Client URLs.
    #[serde(default)]
    pub client_urls: Vec<String>,
}

/// One of `/pd/api/v1/health`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Health {
    /// The member's name.
    pub name: String,
    /// Whether it is healthy.
    pub health: bool,
}

/// `/pd/api/v1/stores`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stores {
    /// Stores.
    #[serde(default)]
    pub stores: Vec<StoreInfo>,
}

/// A store and its status.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StoreInfo {
    /// The store.
    pub store: Store,
    /// Its status.
    #[serde(default)]
    pub status: StoreStatus,
}

/// A store.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Store {
    /// Id.
    pub id: u64,
    /// `host:port`.
    pub address: String,
    /// `Up` and so on.
    pub state_name: String,
}

/// Status of a store.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StoreStatus {
    /// Leaders of regions.
    #[serde(default)]
    pub leader_count: i64,
}

/// A client of the PD of a `TidbCluster`.
pub struct PdClient<'a> {
    container: &'a Container,
    candidates: Vec<String>,
}

impl<'a> PdClient<'a> {
    /// A client for these `host:port`, in this order.
    pub fn new(container: &'a Container, candidates: Vec<String>) -> Self {
        PdClient { container, candidates }
    }

    /// A client for the PD of a `TidbCluster`.
    pub fn of(container: &'a Container, tc: &TidbCluster) -> Self {
        let first = if tc.spec.pd.is_some() { Some(tc.pd_service()) } else { tc.joined_pd_service() };
        let peers = tc.status.pd.peer_members.values().map(|member| member.client_url.as_str());
        let peers = peers.map(|url| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned());
        PdClient { container, candidates: first.into_iter().chain(peers).collect() }
    }

    /// The members and the leader.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn members(&self) -> Result<Members, HttpError> {
        self.get("/pd/api/v1/members").await
    }

    /// Health of the members.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn health(&self) -> Result<Vec<Health>, HttpError> {
        self.get("/pd/api/v1/health").await
    }

    /// The stores that are not tombstones.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn stores(&self) -> Result<Stores, HttpError> {
        self.get("/pd/api/v1/stores").await
    }

    /// The stores that are tombstones.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn tombstones(&self) -> Result<Stores, HttpError> {
        self.get("/pd/api/v1/stores?state=2").await
    }

    /// `replication.max-replicas`.
    ///
    /// # Errors
    /// The last candidate's; `Body` when the configuration has no such number.
    pub async fn max_replicas(&self) -> Result<u64, HttpError> {
        #[derive(Deserialize)]
        struct Config {
            replication: Replication,
        }
        #[derive(Deserialize)]
        struct Replication {
            #[serde(rename = "max-replicas")]
            max_replicas: u64,
        }
        let config: Config = self.get("/pd/api/v1/config").await?;
        Ok(config.replication.max_replicas)
    }

    /// Removes a member.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn delete_member(&self, name: &str) -> Result<(), HttpError> {
        self.call(Method::DELETE, &format!("/pd/api/v1/members/name/{name}")).await.map(drop)
    }

    /// Makes another member the leader.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn transfer_leader(&self, name: &str) -> Result<(), HttpError> {
        self.call(Method::POST, &format!("/pd/api/v1/leader/transfer/{name}")).await.map(drop)
    }

    /// Takes a store offline.
    ///
    /// # Errors
    /// The last candidate's.
    pub async fn delete_store(&self, id: &str) -> Result<(), HttpError> {
        self.call(Method::DELETE, &format!("/pd/api/v1/store/{id}")).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, HttpError> {
        let body = self.call(Method::GET, path).await?;
        serde_json::from_slice(&body).map_err(|error| HttpError::Body(path.to_owned(), error))
    }

    async fn call(&self, method: Method, path: &str) -> Result<bytes::Bytes, HttpError> {
        let mut failure = HttpError::Authority(String::new());
        for candidate in &self.candidates {
            match send(self.container, method.clone(), candidate, path).await {
                Ok(body) => return Ok(body),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}
