//! Every single task left out, generated from the steps: of each step the first task stands for all of its kind.

use super::Fault;
use crate::procedure::{STEPS, Step, task_id};
use crate::topology::Topology;

/// Omissions that people know by another name than that of the step.
const KNOWN_AS: [(&str, &str); 3] = [
    ("add-routes", "missing-route"),
    ("accept-peering", "peering-not-accepted"),
    ("allow-traffic", "missing-security-group-rule"),
];

/// The omissions of a topology.
pub(super) fn faults(topology: &Topology) -> Vec<Fault> {
    STEPS.iter().filter_map(|step| omission(topology, step)).collect()
}

/// The id of the omission of a step.
pub(super) fn id_of(step: &str) -> String {
    match KNOWN_AS.iter().find(|(known, _)| *known == step) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("without-{step}"),
    }
}

fn omission(topology: &Topology, step: &'static Step) -> Option<Fault> {
    let scope = step.each.scopes(topology).into_iter().next()?;
    let names = scope.names(topology).join(" to ");
    let of = if names.is_empty() { String::new() } else { format!(" [{names}]") };
    let mut fault =
        Fault::new(id_of(step.id), format!("left out: {}{of}", step.title), (step.omission.diagnosed)(topology, scope))
            .leaves_out(task_id(step.id, scope))
            .caught_by(step.omission.caught_by);
    fault.stops =
        (step.omission.stops)(topology, scope).into_iter().map(|(step, scope)| task_id(step, scope)).collect();
    if topology.clusters.len() > 2 {
        fault.caught_by.extend(step.omission.caught_by_others);
    }
    if let Some(undone) = step.omission.undoes {
        fault = fault.counts_on(&task_id(undone, scope));
    }
    fault.luck = step.omission.luck;
    fault.may_fail.extend(step.omission.may_fail);
    Some(fault)
}
