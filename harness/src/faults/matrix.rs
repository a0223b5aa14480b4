//! The matrix of faults by invariants, for the terminal and for programs.

use std::fmt::Write as _;

use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::{Fault, Judgement};
use crate::diagnosis::Named;
use crate::invariants::invariants;

/// Widest name of a fault; a longer one has a line to itself.
const NAME: usize = 36;

/// Columns of a terminal that a line is for.
const WIDTH: usize = 120;

/// What a run with a fault came to, with the fault.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Id of the fault.
    pub fault: String,
    /// What is done wrong.
    pub title: String,
    /// Invariants that have to fail.
    pub caught_by: Vec<&'static str>,
    /// Tasks that have to fail.
    pub stops: Vec<String>,
    /// What its failed probes are to be diagnosed with.
    pub diagnosis: Vec<Named>,
    /// Why nothing need catch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub luck: Option<&'static str>,
    /// Whether it is caught by exactly what names it.
    pub exact: bool,
    /// What it came to.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Directory of the run, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

impl Row {
    /// The row of a fault.
    pub fn new(fault: &Fault, judgement: Judgement, directory: Option<String>) -> Self {
        Self {
            fault: fault.id.clone(),
            title: fault.title.clone(),
            caught_by: fault.caught_by.iter().copied().collect(),
            stops: fault.stops.iter().cloned().collect(),
            diagnosis: fault.diagnosed.causes().into_iter().collect(),
            luck: fault.luck,
            exact: judgement.is_exact(),
            judgement,
            directory,
        }
    }

    /// The line of the matrix, and lines about what a cell cannot say.
    pub fn show(&self) -> String {
        let mark = if self.exact { "✓".green().to_string() } else { "✗".red().bold().to_string() };
        let mut shown = format!("{mark} {:NAME$} ", self.fault);
        if self.fault.chars().count() > NAME {
            let _ = write!(shown, "\n  {:NAME$} ", "");
        }
        for (index, invariant) in invariants().iter().enumerate() {
            // A gap now and then lets the eye find the column.
            if index > 0 && index % 10 == 0 {
                shown.push(' ');
            }
            shown.push_str(&self.cell(invariant.id));
        }
        let it = &self.judgement;
        for (task, why) in &it.stopped {
            let why: String =
                why.lines().next().unwrap_or_default().chars().take(WIDTH.saturating_sub(14 + task.len())).collect();
            match it.surplus_stops.contains(task) {
                true => drop(write!(shown, "\n    {} {task}: {why}", "should not have stopped".red())),
                false => drop(write!(shown, "\n    {} {task}: {why}", "stops".dimmed())),
            }
        }
        if !(it.misdiagnosed.is_empty() && it.undiagnosed.is_empty() && it.not_known.is_empty()) {
            let list = |named: &mut dyn Iterator<Item = String>| named.collect::<Vec<_>>().join(", ");
            let unknown = it.not_known.iter().map(|why| format!("not known ({why})"));
            let found = list(&mut it.diagnosed.iter().map(Named::to_string).chain(unknown));
            let found = if found.is_empty() { "nothing".to_owned() } else { found };
            let due = list(&mut self.diagnosis.iter().map(Named::to_string));
            let due = if due.is_empty() { "nothing".to_owned() } else { due };
            let _ = write!(shown, "\n    {} diagnosed as {found}, expected {due}", "✗".red().bold());
        }
        let mut wrong = |what: &str, ids: Vec<&String>| {
            if !ids.is_empty() {
                let ids = ids.into_iter().cloned().collect::<Vec<_>>().join(", ");
                let _ = write!(shown, "\n    {}: {ids}", what.red());
            }
        };
        wrong("should have failed", it.missed.iter().collect());
        wrong("should not have failed", it.surplus.iter().collect());
        wrong("should have stopped", it.not_stopped.iter().collect());
        wrong("left behind", it.left.iter().collect());
        let not_left: Vec<String> = it.not_left.iter().map(|what| (*what).to_owned()).collect();
        wrong("should have been left behind", not_left.iter().collect());
        wrong("see", self.directory.iter().collect());
        shown
    }

    fn cell(&self, invariant: &str) -> String {
        let it = &self.judgement;
        if it.surplus.contains(invariant) {
            "!".red().bold().to_string()
        } else if it.failed.contains(invariant) {
            "F".yellow().bold().to_string()
        } else if it.missed.contains(invariant) {
            "?".red().bold().to_string()
        } else if it.blocked.contains(invariant) {
            "b".dimmed().to_string()
        } else if it.judged.contains(invariant) {
            "·".dimmed().to_string()
        } else {
            " ".to_owned()
        }
    }
}

/// The numbers of the columns, read downwards, and what the cells mean.
pub fn head() -> String {
    let mut head = "F fails, as it has to   b blocked by what fails   · passes   ! fails and should not   \
                    ? should fail\na blank was not judged, since a task stopped the run; the columns are listed below\n"
        .to_owned();
    for digit in [10, 1] {
        let _ = write!(head, "\n  {:NAME$} ", "");
        for index in 0..invariants().len() {
            if index > 0 && index % 10 == 0 {
                head.push(' ');
            }
            let _ = write!(head, "{}", (index + 1) / digit % 10);
        }
    }
    head
}

/// The invariants of the columns.
pub fn legend() -> String {
    let named: Vec<String> =
        invariants().iter().enumerate().map(|(index, it)| format!("{:2} {}", index + 1, it.id)).collect();
    let lines = named.len().div_ceil(3);
    let line = |line: usize| {
        let cells = [line, line + lines, line + 2 * lines].map(|at| named.get(at).map_or("", String::as_str));
        format!("  {:36} {:36} {}", cells[0], cells[1], cells[2]).trim_end().to_owned()
    };
    (0..lines).map(line).collect::<Vec<_>>().join("\n")
}
