//! `errors`: logs the errors of the plugins behind it.

use async_trait::async_trait;

use super::super::query::{Next, Outcome, Plugin, Query};
use crate::workloads::Log;

/// The plugin. Its option `consolidate` is taken and does nothing: each error has a line.
pub(in super::super) struct Errors(pub Log);

#[async_trait]
impl Plugin for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    async fn serve(&self, query: &Query, next: Next<'_>) -> Outcome {
        let outcome = next.run(query).await;
        if let Outcome::Failed { code, error: Some(error) } = &outcome {
            self.0.line(format!(
                "[ERROR] plugin/errors: {} {} {}: {error}",
                u16::from(*code),
                query.logged_name(),
                query.qtype
            ));
        }
        outcome
    }
}
