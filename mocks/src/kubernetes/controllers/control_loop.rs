//! The loop of a controller: look at everything whenever something changed, and again after a failure.

use std::future::Future;
use std::time::Duration;

use futures::future::select_all;
use tokio::sync::watch;

use crate::clock::Clock;

/// First and longest wait after a failure, in emulated time (client-go's workqueue: 5 ms doubling to 1000 s; the service
/// controller: 5 s to 5 min).
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A level-triggered controller: it compares what is with what should be, whatever happened.
pub trait Reconcile: Send + 'static {
    /// Name for messages.
    const NAME: &'static str;

    /// Brings everything closer to what should be.
    fn reconcile(&mut self) -> impl Future<Output = Result<(), ReconcileError>> + Send;
}

/// Why a controller has to try again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server refused, or another was faster.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// An object could not be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// AWS refused.
    #[error(transparent)]
    Aws(#[from] crate::aws::AwsError),
}

/// Runs a controller for ever.
pub async fn run<R: Reconcile>(mut controller: R, clock: Clock, mut changes: Vec<watch::Receiver<u64>>) {
    let mut backoff = BACKOFF.0;
    loop {
        for change in &mut changes {
            change.borrow_and_update();
        }
        let failed = match controller.reconcile().await {
            Ok(()) => false,
            Err(error) => {
                tracing::debug!(controller = R::NAME, %error, "trying again");
                true
            }
        };
        let changed = select_all(changes.iter_mut().map(|change| Box::pin(change.changed())));
        if failed {
            tokio::select! {
                _ = changed => {}
                () = clock.sleep(backoff) => backoff = BACKOFF.1.min(backoff * 2),
            }
        } else {
            backoff = BACKOFF.0;
            // An error means that an informer is gone, and with it the whole cluster.
            if changed.await.0.is_err() {
                return;
            }
        }
    }
}

/// Whether an error says that the object is not there (any more).
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether an error says that the object exists or has changed meanwhile.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
