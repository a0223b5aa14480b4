//! Where events go.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Event, Kind, VERSION};

/// Gets every event, in order.
pub trait Subscriber: Send {
    /// Takes an event.
    ///
    /// # Errors
    /// When it cannot go on: it gets no further events, and the run goes on without it.
    fn take(&mut self, event: &Event) -> Result<(), String>;
}

/// Where a run's events go. Cheap to clone.
#[derive(Clone)]
pub struct EventSink(Arc<Inner>);

struct Inner {
    run_id: String,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    next: u64,
    subscribers: Vec<Box<dyn Subscriber>>,
}

impl EventSink {
    /// A sink with its subscribers.
    pub fn new(run_id: &str, subscribers: Vec<Box<dyn Subscriber>>) -> Self {
        Self(Arc::new(Inner {
            run_id: run_id.to_owned(),
            began: Instant::now(),
            state: Mutex::new(State { next: 1, subscribers }),
        }))
    }

    /// Sends an event to every subscriber. One that fails is told of on standard error, once, and left out.
    pub fn emit(&self, kind: Kind) {
        let mut state = self.0.state.lock();
        let event = Event {
            version: VERSION,
            run_id: self.0.run_id.clone(),
            seq: state.next,
            at: Timestamp::now(),
            elapsed_ms: self.elapsed_ms(),
            kind,
        };
        state.next += 1;
        state.subscribers.retain_mut(|subscriber| match subscriber.take(&event) {
            Ok(()) => true,
            Err(why) => {
                anstream::eprintln!("warning: a report is incomplete: {why}");
                false
            }
        });
    }

    /// Milliseconds since the run began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
