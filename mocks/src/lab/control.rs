//! The cluster provisioner over HTTP: what `eksctl` is to a real account.
//!
//! | request | answer |
//! |---|---|
//! | `POST /eksctl/create` with a `ClusterConfig` | the cluster, when it is up |
//! | `DELETE /eksctl/clusters/REGION/NAME` | when it is gone |
//! | `GET /eksctl/clusters` | names and regions |
//! | `GET /kubeconfig` | a context for each cluster |
//! | `GET /inventory` | everything that exists in the account |
//! | `POST /shutdown` | the lab ends |
//!
//! Errors are JSON: `{"error": "…"}`.

use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Lab, LabError};

pub(super) async fn serve(lab: Weak<Lab>, listener: tokio::net::TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route("/eksctl/create", post(create))
        .route("/eksctl/clusters", get(clusters))
        .route("/eksctl/clusters/{region}/{name}", delete(remove))
        .route("/kubeconfig", get(kubeconfig))
        .route("/inventory", get(inventory))
        .route("/shutdown", post(shutdown))
        .with_state(lab);
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::warn!(%error, "the cluster provisioner ended");
    }
}

fn json_answer(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "application/json")], body).into_response()
}

fn refused(error: &LabError) -> Response {
    let status = match error {
        LabError::Config(_) => StatusCode::BAD_REQUEST,
        LabError::Aws(error) => StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST),
        LabError::Ending => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    json_answer(status, json!({ "error": error.to_string() }).to_string())
}

fn alive(lab: &Weak<Lab>) -> Result<Arc<Lab>, Response> {
    lab.upgrade().ok_or_else(|| refused(&LabError::Ending))
}

/// What a client began goes on when the client goes: as with eksctl, a half-made cluster would be the worst outcome.
async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Response> {
    tokio::spawn(work).await.map_err(|error| {
        json_answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() }).to_string())
    })
}

async fn create(State(lab): State<Weak<Lab>>, body: String) -> Result<Response, Response> {
    let lab = alive(&lab)?;
    match detached(async move { lab.create_cluster(&body).await }).await? {
        Ok(()) => Ok(json_answer(StatusCode::OK, "{}".to_owned())),
        Err(error) => Err(refused(&error)),
    }
}

async fn remove(
    State(lab): State<Weak<Lab>>,
    Path((region, name)): Path<(String, String)>,
) -> Result<Response, Response> {
    let lab = alive(&lab)?;
    match detached(async move { lab.delete_cluster(&region, &name).await }).await? {
        Ok(()) => Ok(json_answer(StatusCode::OK, "{}".to_owned())),
        Err(error) => Err(refused(&error)),
    }
}

async fn clusters(State(lab): State<Weak<Lab>>) -> Result<Response, Response> {
    let found = alive(&lab)?.clusters().await;
    let found: Vec<_> = found.into_iter().map(|(name, region)| json!({ "name": name, "region": region })).collect();
    Ok(json_answer(StatusCode::OK, json!(found).to_string()))
}

async fn kubeconfig(State(lab): State<Weak<Lab>>) -> Result<Response, Response> {
    Ok(json_answer(StatusCode::OK, alive(&lab)?.kubeconfig().await))
}

async fn inventory(State(lab): State<Weak<Lab>>) -> Result<Response, Response> {
    Ok(json_answer(StatusCode::OK, json!(alive(&lab)?.inventory()).to_string()))
}

async fn shutdown(State(lab): State<Weak<Lab>>) -> Result<Response, Response> {
    alive(&lab)?.ended.cancel();
    Ok(json_answer(StatusCode::OK, "{}".to_owned()))
}
