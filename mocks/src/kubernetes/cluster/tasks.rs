//! Tasks that end together.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks. Cancelling the group drops each task's future where it stands; dropping the last handle does not
/// cancel. Clones are handles on the same group.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// A group of its own that is also cancelled with this one, and waited for with it.
    pub fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), tracker: self.tracker.clone() }
    }

    /// Runs a future until it ends or the group is cancelled: then its output is `None`.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                output = future => Some(output),
            }
        })
    }

    /// Cancelled when the group is.
    pub fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancels the tasks of the group.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until all tasks have ended by themselves, those of groups made by [`Tasks::child`] included.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Cancels the tasks and waits until all have ended, those of groups made by [`Tasks::child`] included. Called on a
    /// child, it waits for the whole family: only the root should.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancelling_ends_children_and_leaves_the_parent() {
        let root = Tasks::default();
        let child = root.child();
        let of_child = child.spawn(std::future::pending::<()>());
        let of_root = root.spawn(async { 7 });
        child.cancel();
        assert!(matches!(of_child.await, Ok(None)));
        assert!(matches!(of_root.await, Ok(Some(7))));
        root.spawn(std::future::pending::<()>());
        root.shutdown().await;
    }
}
