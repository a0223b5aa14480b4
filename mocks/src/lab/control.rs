//! The control port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::serve::ListenerExt as _;
use serde::Serialize;
use serde_json::json;

use super::world::World;
use super::{LabError, directory, provision};

/// Answers on a port until the world closes.
pub(super) async fn serve(world: &Arc<World>, listen: SocketAddr) -> Result<(), LabError> {
    let failed = |source| LabError::Listen { address: listen, source };
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // The first and only time that it is set.
    let _ = world.control_url.set(format!("http://{address}"));
    let router = Router::new()
        .route("/eksctl/create", post(create))
        .route("/eksctl/clusters", get(clusters))
        .route("/eksctl/clusters/{region}/{name}", delete(remove))
        .route("/kubeconfig", get(kubeconfig))
        .route("/inventory", get(inventory))
        .route("/hosts", get(hosts))
        .route("/shutdown", post(shutdown))
        .fallback(unknown)
        .with_state(Arc::clone(world));
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let closing = world.closing.clone();
    world.servers.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await {
            tracing::warn!(%error, "the control port has ended");
        }
    });
    Ok(())
}

impl IntoResponse for LabError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, json(&json!({ "error": self.to_string() }))).into_response()
    }
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

type Answer = Result<Response, LabError>;

async fn create(State(world): State<Arc<World>>, config: String) -> Answer {
    provision::create(&world, &config).await.map(|info| json(&info))
}

async fn clusters(State(world): State<Arc<World>>) -> Response {
    json(&world.infos())
}

async fn remove(State(world): State<Arc<World>>, Path((region, name)): Path<(String, String)>) -> Answer {
    provision::delete(&world, &region, &name).await.map(|()| json(&json!({})))
}

async fn kubeconfig(State(world): State<Arc<World>>) -> Answer {
    let yaml = world.kubeconfig()?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], yaml).into_response())
}

async fn inventory(State(world): State<Arc<World>>) -> Response {
    json(&world.inventory())
}

async fn hosts(State(world): State<Arc<World>>) -> Response {
    json(&directory::list(&world))
}

async fn shutdown(State(world): State<Arc<World>>) -> Response {
    // Beside this answer, which the end of the port waits for.
    tokio::spawn(async move { world.shutdown().await });
    json(&json!({}))
}

async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, json(&json!({ "error": "there is nothing here" }))).into_response()
}
