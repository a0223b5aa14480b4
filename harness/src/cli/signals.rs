//! SIGINT and SIGTERM: the first stops starting and takes down, the second stops at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CommandError;
use crate::events::{EventSink, Kind};

/// What signals cancel.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Cancelled by the first.
    pub interrupt: CancellationToken,
    /// Cancelled by the second.
    pub abort: CancellationToken,
}

impl Signals {
    /// Listens for signals until the process ends, and tells of the first in the events.
    ///
    /// # Errors
    /// When the system allows no handlers.
    pub fn listen(sink: Option<EventSink>) -> Result<Self, CommandError> {
        let signals = Self::default();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::unexpected)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::unexpected)?;
        let (first, second) = (signals.interrupt.clone(), signals.abort.clone());
        tokio::spawn(async move {
            for token in [first, second] {
                let name = tokio::select! {
                    Some(()) = interrupt.recv() => "SIGINT",
                    Some(()) = terminate.recv() => "SIGTERM",
                    else => return,
                };
                token.cancel();
                if let Some(sink) = &sink {
                    sink.emit(Kind::Interrupted { signal: name.to_owned() });
                }
            }
        });
        Ok(signals)
    }
}
