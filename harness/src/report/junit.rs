//! The report as JUnit XML: a test suite for the tasks under each heading of the document, one for its invariants, and
//! one for the proof that nothing is left.

use std::time::Duration;

use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};

use super::{Report, TaskReport, diagnosis_lines};
use crate::events::{Finding, Outcome, Verdict};

/// The report as JUnit XML.
///
/// # Errors
/// When it cannot be written as XML.
pub fn to_junit(report: &Report) -> Result<String, String> {
    let mut suites: IndexMap<String, TestSuite> = IndexMap::new();
    let mut add = |suite: String, case: TestCase| {
        suites.entry(suite).or_insert_with_key(|name| TestSuite::new(name.as_str())).add_test_case(case);
    };
    for task in &report.tasks {
        let heading = if task.heading.is_empty() { "Not started" } else { &task.heading };
        add(format!("Tasks: {heading}"), task_case(task));
    }
    for verdict in &report.verdicts {
        add(format!("Invariants: {}", verdict.heading), verdict_case(report, verdict));
    }
    for (clause, reason) in &report.unchecked {
        let status = skipped(reason);
        add("Clauses without an invariant".to_owned(), TestCase::new(clause.as_str(), status));
    }
    add("Teardown".to_owned(), teardown_case(report));
    let mut junit = JUnit::new(format!("acrossk8s {}", report.scenario));
    junit.set_time(Duration::from_millis(report.duration_ms));
    junit.add_test_suites(suites.into_values());
    junit.to_string().map_err(|error| error.to_string())
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn task_case(task: &TaskReport) -> TestCase {
    let status = match (&task.failure, task.outcome.as_str()) {
        (Some(failure), _) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(&failure.what).set_description(failure.to_string());
            status
        }
        (None, "skipped") => skipped(task.note.as_deref().unwrap_or_default()),
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(task.task.as_str(), status);
    case.set_classname(task.clauses.join(" ")).set_time(Duration::from_millis(task.duration_ms));
    case
}

fn verdict_case(report: &Report, verdict: &Verdict) -> TestCase {
    let status = match &verdict.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(&verdict.title);
            let parts = verdict.finding.as_ref().map(describe).into_iter().chain(why(report, verdict));
            let text = parts.collect::<Vec<_>>().join("\n\n");
            if !text.is_empty() {
                status.set_description(text);
            }
            status
        }
        Outcome::Blocked { by } => {
            let mut status = skipped(&format!("blocked by {by}"));
            if let Some(why) = why(report, verdict) {
                status.set_description(why);
            }
            status
        }
        Outcome::NotApplicable { reason } => skipped(&format!("not applicable: {reason}")),
    };
    let mut case = TestCase::new(format!("{} [{}]", verdict.invariant, verdict.subject), status);
    case.set_classname(verdict.clauses.join(" "));
    case
}

/// Whether everything is gone: a run that leaves something behind must not look green.
fn teardown_case(report: &Report) -> TestCase {
    let mut left: Vec<_> = report.not_removed.iter().map(ToString::to_string).collect();
    left.extend(report.inventory_failure.iter().cloned());
    left.extend(report.remaining.iter().flatten().map(|what| format!("still there: {what}")));
    let status = if !left.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("something was left behind").set_description(left.join("\n"));
        status
    } else if report.remaining.is_some() {
        TestCaseStatus::success()
    } else {
        skipped("no inventory was taken")
    };
    TestCase::new("nothing is left", status)
}

/// Why the probes of a verdict failed: each cause once, with the path of the first probe that it stops.
fn why(report: &Report, verdict: &Verdict) -> Option<String> {
    let mut told = Vec::new();
    let mut lines = Vec::new();
    for diagnosis in report.diagnoses_of(verdict) {
        let conclusion = (&diagnosis.cause, &diagnosis.not_known);
        if !told.contains(&conclusion) {
            told.push(conclusion);
            lines.extend(diagnosis_lines(diagnosis));
        }
    }
    (!lines.is_empty()).then(|| anstream::adapter::strip_str(&lines.join("\n")).to_string())
}

fn describe(finding: &Finding) -> String {
    format!("{}\n\nseen: {}\n\nto mend it: {}", finding.explanation, finding.evidence.join("\n      "), finding.remedy)
}
