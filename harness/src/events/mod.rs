//! The stream of events: a run's only output. Reports are subscribers, and each can be made again from a recorded stream.

mod diagnosis;
mod kind;
mod record;
mod sink;

pub use diagnosis::{Cause, Diagnosis, Hop, Leg, Resource, Way};
pub use kind::{Event, Finding, Kind, Level, Outcome, Phase, VERSION, Verdict};
pub use record::{RecordError, Recorder, read};
pub use sink::{EventSink, Subscriber};
