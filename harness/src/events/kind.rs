//! What can happen.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Diagnosis;
use crate::engine::Failure;

/// Version of the events' form.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Version of the form.
    pub version: u32,
    /// Id of the run.
    pub run_id: String,
    /// Number of the event, from 1.
    pub seq: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Milliseconds since the run began.
    pub elapsed_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The clusters are made.
    Provision,
    /// The steps are applied.
    Apply,
    /// What came of it is observed.
    Observe,
    /// The invariants are judged.
    Judge,
    /// Everything is taken down.
    Teardown,
    /// That nothing is left is proven.
    Prove,
}

/// How binding a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The document says it.
    Must,
    /// It has to be true for what the document says to hold.
    Should,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Kind {
    /// The run began.
    RunStarted {
        /// Name of the scenario.
        scenario: String,
        /// Environment.
        environment: String,
        /// Network that carries the packets.
        network: String,
        /// Why it is this one, where nobody asked for it by name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network_because: Option<String>,
        /// Real programs that run in pods in the place of emulated ones, with their versions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        programs: Vec<(String, String)>,
        /// Clusters: name and region.
        clusters: Vec<(String, String)>,
        /// The deviation that is made on purpose, if any.
        fault: Option<String>,
    },
    /// A part began.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How many tasks it has.
        tasks: usize,
    },
    /// A part ended.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took.
        duration_ms: u64,
    },
    /// A task started.
    TaskStarted {
        /// Its id.
        task: String,
        /// Its step.
        step: String,
        /// What it does.
        title: String,
        /// Clusters it is about.
        clusters: Vec<String>,
        /// Heading of the document it stands under.
        heading: String,
        /// Clauses it carries out.
        clauses: Vec<String>,
        /// Why it is done although the document lacks it.
        gap: Option<String>,
    },
    /// A task says what it is doing.
    TaskProgress {
        /// Its id.
        task: String,
        /// What.
        message: String,
    },
    /// An attempt failed, and another one follows.
    TaskRetried {
        /// Its id.
        task: String,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Time until the next.
        delay_ms: u64,
    },
    /// A task succeeded.
    TaskSucceeded {
        /// Its id.
        task: String,
        /// How long it took.
        duration_ms: u64,
        /// Whether anything was changed.
        changed: bool,
        /// What it found out.
        note: Option<String>,
    },
    /// A task failed.
    TaskFailed {
        /// Its id.
        task: String,
        /// How long it took.
        duration_ms: u64,
        /// Why.
        failure: Failure,
    },
    /// A task was not started.
    TaskSkipped {
        /// Its id.
        task: String,
        /// Why.
        because: String,
    },
    /// A live request came to something.
    ProbeFinished {
        /// The task or part that made it.
        task: String,
        /// Where from.
        from: String,
        /// Where to.
        to: String,
        /// Whether it came to what was hoped for.
        ok: bool,
        /// What it came to.
        detail: String,
    },
    /// An invariant was judged.
    VerdictReached(Verdict),
    /// A probe failed, and why.
    ProbeDiagnosed(Diagnosis),
    /// A clause that no invariant checks.
    ClauseUnchecked {
        /// The clause.
        clause: String,
        /// Why.
        reason: String,
    },
    /// Something was taken down, or could not be.
    Removed {
        /// What.
        resource: String,
        /// Set when it is still there: why.
        failure: Option<Failure>,
        /// What was found: `gone`, `was gone`, `not ours`, `failed`.
        outcome: String,
    },
    /// The inventory that has to be empty.
    InventoryTaken {
        /// What still carries the run's tag.
        remaining: Vec<String>,
        /// Set when it could not be taken: why.
        failure: Option<String>,
    },
    /// A signal came.
    Interrupted {
        /// Its name.
        signal: String,
    },
    /// Something a person should know.
    Notice {
        /// What.
        message: String,
    },
    /// The run ended.
    RunFinished {
        /// Exit code of the command.
        exit_code: u8,
        /// What the code means.
        meaning: String,
        /// How long the run took.
        duration_ms: u64,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// What became of one invariant for one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Id of the invariant.
    pub invariant: String,
    /// What it demands.
    pub title: String,
    /// How binding it is.
    pub level: Level,
    /// Heading of the document it belongs to.
    pub heading: String,
    /// Clauses it comes from.
    pub clauses: Vec<String>,
    /// What it was judged for, for example `tidb-1` or `tidb-1 to tidb-2`.
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What a failure is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// What became of an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It does not hold because another one does not.
    Blocked {
        /// The other one, with its subject.
        by: String,
    },
    /// It does not apply.
    NotApplicable {
        /// Why.
        reason: String,
    },
}

/// What a failed invariant is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was seen.
    pub evidence: Vec<String>,
    /// Why it matters.
    pub explanation: String,
    /// What to do.
    pub remedy: String,
}
