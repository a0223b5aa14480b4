//! `acrossk8s plan`.

use super::args::PlanArgs;
use super::{CommandError, topology};
use crate::exit::ExitCode;
use crate::procedure::{self, Task};
use crate::topology::Topology;

/// Prints the tasks, in the order of the document, with its commands and the API calls.
pub fn plan(args: &PlanArgs) -> Result<ExitCode, CommandError> {
    anstream::print!("{}", text(&topology(&args.scenario)?));
    Ok(ExitCode::Passed)
}

/// The plan of a topology.
pub fn text(topology: &Topology) -> String {
    let tasks = procedure::tasks(topology);
    let mut lines = vec![format!("{}: {} clusters, {} tasks", topology.name, topology.clusters.len(), tasks.len())];
    let mut heading = "";
    for step in procedure::STEPS {
        if step.heading != heading {
            heading = step.heading;
            lines.push(format!("\n{heading}"));
        }
        let clauses = if step.clauses.is_empty() { String::new() } else { format!(" ({})", step.clauses.join(", ")) };
        lines.push(format!("\n  {}{clauses}", step.title));
        if let Some(gap) = step.gap {
            lines.push(format!("    not in the document: {gap}"));
        }
        if !step.calls.is_empty() {
            lines.push(format!("    calls: {}", step.calls.join(", ")));
        }
        for task in tasks.iter().filter(|task| task.step.id == step.id) {
            lines.extend(task_lines(topology, task));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn task_lines(topology: &Topology, task: &Task) -> Vec<String> {
    let after = if task.needs.is_empty() { String::new() } else { format!(" after {}", task.needs.join(", ")) };
    let mut lines = vec![format!("    - {}{after}", task.id())];
    lines.extend((task.step.commands)(topology, task.scope).iter().map(|command| format!("        {command}")));
    lines
}
