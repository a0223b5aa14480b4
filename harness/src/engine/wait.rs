//! Waiting for a condition: with a deadline, a poll that backs off with jitter, and the last thing seen in the error.

use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::Failure;

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poll {
    /// Time until the second look.
    pub initial: Duration,
    /// Longest time between two looks: each wait is half as long again as the one before.
    pub max: Duration,
    /// Share of a wait that chance adds or takes away, 0 to 1, so that many waiters do not look at once.
    pub jitter: f64,
}

impl Poll {
    fn next(&self, after: Duration) -> Duration {
        after.mul_f64(1.5).min(self.max)
    }

    fn jittered(&self, wait: Duration) -> Duration {
        wait.mul_f64(1.0 + rand::rng().random_range(-1.0..=1.0) * self.jitter.clamp(0.0, 1.0))
    }
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition<T> {
    /// It holds.
    Ready(T),
    /// It does not hold yet; what is the case instead.
    NotYet(String),
}

/// Looks until the condition holds.
///
/// # Errors
/// What a look fails with; that the deadline has passed, with the last thing seen; or that `cancel` was cancelled.
pub async fn wait_for<T, F>(
    what: &str,
    deadline: Duration,
    poll: Poll,
    cancel: &CancellationToken,
    mut look: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<Condition<T>, Failure>>,
{
    let began = Instant::now();
    let mut wait = poll.initial;
    loop {
        let last_seen = match look().await? {
            Condition::Ready(value) => return Ok(value),
            Condition::NotYet(last_seen) => last_seen,
        };
        if began.elapsed() >= deadline {
            let waited = began.elapsed().as_secs_f64();
            return Err(Failure::new(format!("waited {waited:.1} s in vain for {what}")).because(last_seen));
        }
        tokio::select! {
            // AWS does not notify, so a condition there is awaited by looking: this only bounds how late it is seen.
            () = tokio::time::sleep(poll.jittered(wait)) => {}
            () = cancel.cancelled() => {
                return Err(Failure::new(format!("interrupted while waiting for {what}")).because(last_seen));
            }
        }
        wait = poll.next(wait);
    }
}
