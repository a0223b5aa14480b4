//! The run as lines of text: what the terminal shows, with colours where it can.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use owo_colors::OwoColorize as _;

use super::diagnosis::{is_same, known_line};
use super::{Report, diagnosis_lines, summarise};
use crate::engine::Failure;
use crate::events::{Cause, Event, Kind, Outcome, Phase, Subscriber, Verdict};

/// Turns events into lines.
#[derive(Default)]
pub struct Plain {
    events: Vec<Event>,
    titles: BTreeMap<String, (String, Vec<String>)>,
}

/// Symbols always go with a word or a place that says the same, so that nothing hangs on colour alone.
const PASS: &str = "✓";
const FAIL: &str = "✗";
const BLOCKED: &str = "○";
const NOT_APPLICABLE: &str = "–";

impl Plain {
    /// The lines of an event; none for most.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        self.events.push(event.clone());
        match &event.kind {
            Kind::RunStarted { scenario, environment, network, network_because, programs, clusters, fault } => {
                let clusters: Vec<_> = clusters.iter().map(|(name, region)| format!("{name} ({region})")).collect();
                let mut lines = vec![
                    format!("run {}: {scenario} on {environment}, {network} network", event.run_id.bold()),
                    format!("  {}", clusters.join(", ")),
                ];
                lines.extend(network_because.iter().map(|because| format!("  network: {because}")));
                if !programs.is_empty() {
                    let programs: Vec<_> = programs.iter().map(|(name, version)| format!("{name} {version}")).collect();
                    lines.push(format!("  real programs: {}", programs.join(", ")));
                }
                lines.extend(fault.iter().map(|fault| format!("  {}: {fault}", "made wrong on purpose".yellow())));
                lines
            }
            Kind::PhaseStarted { phase, tasks } => vec![String::new(), heading(*phase, *tasks)],
            Kind::TaskStarted { task, title, clusters, .. } => {
                self.titles.insert(task.clone(), (title.clone(), clusters.clone()));
                Vec::new()
            }
            Kind::TaskRetried { task, attempt, failure, .. } => {
                vec![format!("  {} {task}: attempt {attempt} failed: {failure}", "again".yellow())]
            }
            Kind::TaskSucceeded { task, duration_ms, note, .. } => {
                let (title, clusters) = self.titles.remove(task).unwrap_or_default();
                let clusters = if clusters.is_empty() { String::new() } else { format!(" [{}]", clusters.join(" ")) };
                let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                vec![format!("  {} {title}{clusters}{note} {}", PASS.green(), took(*duration_ms).dimmed())]
            }
            Kind::TaskFailed { task, duration_ms, failure } => {
                let (title, clusters) = self.titles.remove(task).unwrap_or_default();
                let mut lines = vec![format!(
                    "  {} {title} [{}] {} {}",
                    FAIL.red(),
                    clusters.join(" "),
                    "failed".red(),
                    took(*duration_ms).dimmed()
                )];
                lines.extend(failure_lines(failure));
                lines
            }
            Kind::TaskSkipped { task, because } => vec![format!("  {BLOCKED} {task} skipped: {because}")],
            Kind::Removed { resource, failure, outcome } => match failure {
                None => vec![format!("  {} {resource}: {outcome}", PASS.green())],
                Some(failure) => {
                    let mut lines = vec![format!("  {} {resource}: {}", FAIL.red(), outcome.red())];
                    lines.extend(failure_lines(failure));
                    lines
                }
            },
            Kind::InventoryTaken { remaining, failure } => match failure {
                Some(why) => vec![format!("  {} {why}", FAIL.red())],
                None if remaining.is_empty() => {
                    vec![format!("  {} nothing carries the run's tag any more", PASS.green())]
                }
                None => std::iter::once(format!("  {} still there:", FAIL.red()))
                    .chain(remaining.iter().map(|what| format!("      {what}")))
                    .collect(),
            },
            Kind::Interrupted { signal } => {
                vec![format!(
                    "{} {signal}: nothing new is started, and everything is taken down; once more stops at once",
                    "interrupted by".yellow()
                )]
            }
            Kind::Notice { message } => vec![format!("  {} {message}", "note:".yellow())],
            Kind::PhaseFinished { phase: Phase::Judge, .. } => verdict_lines(&summarise(&self.events)),
            Kind::RunFinished { exit_code, meaning, duration_ms } => {
                summary_lines(&summarise(&self.events), *exit_code, meaning, *duration_ms)
            }
            Kind::PhaseFinished { .. }
            | Kind::TaskProgress { .. }
            | Kind::ProbeFinished { .. }
            | Kind::VerdictReached(_)
            | Kind::ProbeDiagnosed(_)
            | Kind::ClauseUnchecked { .. }
            | Kind::Unknown => Vec::new(),
        }
    }
}

impl Subscriber for Plain {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        for line in self.lines(event) {
            anstream::println!("{line}");
        }
        Ok(())
    }
}

fn heading(phase: Phase, tasks: usize) -> String {
    let (name, of) = match phase {
        Phase::Provision => ("Provision", "tasks"),
        Phase::Apply => ("Apply", "tasks"),
        Phase::Observe => ("Observe", "tasks, and everything that AWS, Kubernetes and the probes say"),
        Phase::Judge => ("Judge", "verdicts"),
        Phase::Teardown => ("Tear down", "things made"),
        Phase::Prove => ("Prove", "regions to look through"),
    };
    format!("{} ({tasks} {of})", name.bold())
}

fn took(millis: u64) -> String {
    if millis < 1000 { format!("{millis} ms") } else { format!("{}.{} s", millis / 1000, millis % 1000 / 100) }
}

fn failure_lines(failure: &Failure) -> Vec<String> {
    let mut lines = vec![format!("      {}", failure.what)];
    lines.extend(failure.why.iter().map(|why| format!("      why: {why}")));
    lines.extend(failure.advice.iter().map(|advice| format!("      to mend it: {advice}")));
    lines
}

/// One line for each invariant, and everything about each failure.
fn verdict_lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heading = "";
    let mut told = Vec::new();
    let mut at = 0;
    while at < report.verdicts.len() {
        let first = &report.verdicts[at];
        let same = report.verdicts[at..].iter().take_while(|it| it.invariant == first.invariant).count();
        let group = &report.verdicts[at..at + same];
        at += same;
        if first.heading != heading {
            heading = &first.heading;
            lines.push(format!("  {}", heading.underline()));
        }
        lines.extend(group_lines(report, group, &mut told));
    }
    if !report.unchecked.is_empty() {
        lines.push(format!("  clauses without an invariant: {}; report.json says why", report.unchecked.len()));
    }
    lines
}

/// One line for an invariant, and its failures. `told` are the causes told so far, each with the subject.
fn group_lines<'a>(report: &'a Report, group: &'a [Verdict], told: &mut Vec<(&'a str, &'a Cause)>) -> Vec<String> {
    let Some(first) = group.first() else { return Vec::new() };
    let count = |wanted: fn(&Outcome) -> bool| group.iter().filter(|it| wanted(&it.outcome)).count();
    let pass = count(|it| *it == Outcome::Pass);
    let fail = count(|it| *it == Outcome::Fail);
    let blocked = count(|it| matches!(it, Outcome::Blocked { .. }));
    let not_applicable = count(|it| matches!(it, Outcome::NotApplicable { .. }));
    let symbol = match (fail, blocked, pass) {
        (1.., _, _) => FAIL.red().to_string(),
        (0, 1.., _) => BLOCKED.yellow().to_string(),
        (0, 0, 1..) => PASS.green().to_string(),
        _ => NOT_APPLICABLE.to_owned(),
    };
    let mut counts = String::new();
    for (number, word) in [(pass, "pass"), (fail, "FAIL"), (blocked, "blocked"), (not_applicable, "not applicable")] {
        if number > 0 {
            let _ = write!(counts, "{}{number} {word}", if counts.is_empty() { "" } else { ", " });
        }
    }
    let mut lines = vec![format!("  {symbol} {} {} ({counts})", first.title, first.clauses.join(" ").dimmed())];
    for verdict in group {
        match &verdict.outcome {
            Outcome::Fail => {
                lines.push(format!("      {} {}", "FAIL".red(), verdict.subject.bold()));
                if let Some(finding) = &verdict.finding {
                    lines.extend(finding.evidence.iter().map(|evidence| format!("        seen: {evidence}")));
                    lines.push(format!("        why it matters: {}", finding.explanation));
                    lines.push(format!("        to mend it: {}", finding.remedy));
                }
            }
            Outcome::Blocked { by } => lines.push(format!("      blocked {}: by {by}", verdict.subject)),
            Outcome::Pass | Outcome::NotApplicable { .. } => continue,
        }
        lines.extend(why_lines(report, verdict, told));
    }
    lines
}

/// Why the probes of a verdict failed. A cause is told whole once for each subject.
fn why_lines<'a>(report: &'a Report, verdict: &'a Verdict, told: &mut Vec<(&'a str, &'a Cause)>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut known: Vec<(&Cause, usize)> = Vec::new();
    let mut unknown = Vec::new();
    for diagnosis in report.diagnoses_of(verdict) {
        let Some(cause) = &diagnosis.cause else {
            if !unknown.contains(&&diagnosis.not_known) {
                unknown.push(&diagnosis.not_known);
                lines.extend(diagnosis_lines(diagnosis));
            }
            continue;
        };
        if !told.iter().any(|(subject, it)| *subject == verdict.subject && is_same(it, cause)) {
            told.push((&verdict.subject, cause));
            lines.extend(diagnosis_lines(diagnosis));
        } else if let Some((_, count)) = known.iter_mut().find(|(it, _)| is_same(it, cause)) {
            *count += 1;
        } else {
            known.push((cause, 1));
        }
    }
    lines.extend(known.into_iter().map(|(cause, count)| known_line(cause, count)));
    lines.into_iter().map(|line| format!("        {line}")).collect()
}

fn summary_lines(report: &Report, exit_code: u8, meaning: &str, duration_ms: u64) -> Vec<String> {
    let counts = report.counts();
    let failed = report.tasks.iter().filter(|task| task.outcome == "failed").count();
    let done = report.tasks.iter().filter(|task| task.failure.is_none() && task.outcome != "skipped").count();
    let mut lines = vec![String::new()];
    lines.push(format!(
        "{} tasks done, {failed} failed; verdicts: {} pass, {} fail, {} blocked, {} not applicable",
        done, counts.pass, counts.fail, counts.blocked, counts.not_applicable
    ));
    let result = if exit_code == 0 { meaning.green().to_string() } else { meaning.red().to_string() };
    lines.push(format!("{} (exit code {exit_code}) after {}", result.bold(), took(duration_ms)));
    lines
}
