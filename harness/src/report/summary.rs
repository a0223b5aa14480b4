//! A run as one value, made from its events alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Failure;
use crate::events::{Diagnosis, Event, Kind, Outcome, Phase, Verdict};

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of the form.
    pub version: u32,
    /// Id of the run.
    pub run_id: String,
    /// When it began.
    pub started: Option<String>,
    /// Name of the scenario.
    pub scenario: String,
    /// Environment.
    pub environment: String,
    /// Network that carried the packets.
    pub network: String,
    /// Why it was this one, where nobody asked for it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_because: Option<String>,
    /// Real programs that ran in pods in the place of emulated ones, with their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<(String, String)>,
    /// Clusters: name and region.
    pub clusters: Vec<(String, String)>,
    /// The deviation that was made on purpose, if any.
    pub fault: Option<String>,
    /// Milliseconds that each part took.
    pub phases: Vec<(Phase, u64)>,
    /// Tasks in the order in which they ended.
    pub tasks: Vec<TaskReport>,
    /// Verdicts.
    pub verdicts: Vec<Verdict>,
    /// Why each failed probe failed.
    #[serde(default)]
    pub diagnoses: Vec<Diagnosis>,
    /// Clauses that no invariant checks, with the reason.
    pub unchecked: Vec<(String, String)>,
    /// What could not be taken down.
    pub not_removed: Vec<Failure>,
    /// How many things were taken down.
    pub removed: usize,
    /// What still carried the run's tag at the end; `None` when no inventory was taken.
    pub remaining: Option<Vec<String>>,
    /// Why the inventory could not be taken.
    pub inventory_failure: Option<String>,
    /// What a person should know.
    pub notices: Vec<String>,
    /// Exit code; `None` for a run that did not end.
    pub exit_code: Option<u8>,
    /// What the exit code means.
    pub meaning: Option<String>,
    /// Milliseconds that the run took.
    pub duration_ms: u64,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskReport {
    /// Its id.
    pub task: String,
    /// What it did.
    pub title: String,
    /// Clusters it was about.
    pub clusters: Vec<String>,
    /// Heading of the document.
    pub heading: String,
    /// Clauses.
    pub clauses: Vec<String>,
    /// Why it was done although the document lacks it.
    pub gap: Option<String>,
    /// `changed`, `unchanged`, `failed` or `skipped`.
    pub outcome: String,
    /// What it found out, or why it was skipped.
    pub note: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How long it took.
    pub duration_ms: u64,
}

/// How many verdicts there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hold.
    pub pass: usize,
    /// Do not hold.
    pub fail: usize,
    /// Do not hold because another does not.
    pub blocked: usize,
    /// Do not apply.
    pub not_applicable: usize,
}

impl Report {
    /// Diagnoses of the probes that a verdict is about.
    pub fn diagnoses_of<'a>(&'a self, verdict: &'a Verdict) -> impl Iterator<Item = &'a Diagnosis> {
        self.diagnoses.iter().filter(|it| it.invariant == verdict.invariant && it.subject == verdict.subject)
    }

    /// Counts the verdicts.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for verdict in &self.verdicts {
            match verdict.outcome {
                Outcome::Pass => counts.pass += 1,
                Outcome::Fail => counts.fail += 1,
                Outcome::Blocked { .. } => counts.blocked += 1,
                Outcome::NotApplicable { .. } => counts.not_applicable += 1,
            }
        }
        counts
    }
}

/// Makes a report of a stream of events.
pub fn summarise(events: &[Event]) -> Report {
    let mut report = Report { version: crate::events::VERSION, ..Report::default() };
    let mut open: Vec<TaskReport> = Vec::new();
    for event in events {
        report.run_id.clone_from(&event.run_id);
        apply(&mut report, &mut open, event);
    }
    report
}

fn apply(report: &mut Report, open: &mut Vec<TaskReport>, event: &Event) {
    match event.kind.clone() {
        Kind::RunStarted { scenario, environment, network, network_because, programs, clusters, fault } => {
            report.started = Some(event.at.to_string());
            (report.scenario, report.environment) = (scenario, environment);
            (report.network, report.network_because) = (network, network_because);
            (report.programs, report.clusters, report.fault) = (programs, clusters, fault);
        }
        Kind::PhaseFinished { phase, duration_ms } => report.phases.push((phase, duration_ms)),
        Kind::TaskStarted { task, title, clusters, heading, clauses, gap, .. } => open.push(TaskReport {
            task,
            title,
            clusters,
            heading,
            clauses,
            gap,
            outcome: String::new(),
            note: None,
            failure: None,
            duration_ms: 0,
        }),
        Kind::TaskSucceeded { task, duration_ms, changed, note } => {
            let outcome = if changed { "changed" } else { "unchanged" };
            close(report, open, &task, outcome, note, None, duration_ms);
        }
        Kind::TaskFailed { task, duration_ms, failure } => {
            close(report, open, &task, "failed", None, Some(failure), duration_ms);
        }
        Kind::TaskSkipped { task, because } => close(report, open, &task, "skipped", Some(because), None, 0),
        Kind::VerdictReached(verdict) => report.verdicts.push(verdict),
        Kind::ProbeDiagnosed(diagnosis) => report.diagnoses.push(diagnosis),
        Kind::ClauseUnchecked { clause, reason } => report.unchecked.push((clause, reason)),
        Kind::Removed { failure: Some(failure), .. } => report.not_removed.push(failure),
        Kind::Removed { .. } => report.removed += 1,
        Kind::InventoryTaken { remaining, failure } => {
            report.inventory_failure = failure;
            report.remaining = Some(remaining);
        }
        Kind::Notice { message } => report.notices.push(message),
        Kind::RunFinished { exit_code, meaning, duration_ms } => {
            (report.exit_code, report.meaning, report.duration_ms) = (Some(exit_code), Some(meaning), duration_ms);
        }
        Kind::PhaseStarted { .. }
        | Kind::TaskProgress { .. }
        | Kind::TaskRetried { .. }
        | Kind::ProbeFinished { .. }
        | Kind::Interrupted { .. }
        | Kind::Unknown => {}
    }
}

fn close(
    report: &mut Report,
    open: &mut Vec<TaskReport>,
    task: &str,
    outcome: &str,
    note: Option<String>,
    failure: Option<Failure>,
    duration_ms: u64,
) {
    // A skipped task never started.
    let mut ended = match open.iter().position(|it| it.task == task) {
        Some(at) => open.remove(at),
        None => TaskReport {
            task: task.to_owned(),
            title: String::new(),
            clusters: Vec::new(),
            heading: String::new(),
            clauses: Vec::new(),
            gap: None,
            outcome: String::new(),
            note: None,
            failure: None,
            duration_ms: 0,
        },
    };
    ended.outcome = outcome.to_owned();
    (ended.note, ended.failure, ended.duration_ms) = (note, failure, duration_ms);
    report.tasks.push(ended);
}
