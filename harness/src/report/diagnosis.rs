//! A diagnosis as lines of text.

use owo_colors::OwoColorize as _;

use crate::events::{Cause, Diagnosis, Leg, Way};

/// A diagnosis with its path: a line for each leg that was passed, and the hops of the one where it was stopped.
pub fn diagnosis_lines(diagnosis: &Diagnosis) -> Vec<String> {
    let mut lines = vec![format!("{} {} ({})", heading(diagnosis).bold(), diagnosis.probe, diagnosis.result)];
    for leg in &diagnosis.path {
        lines.extend(leg_lines(leg).into_iter().map(|line| format!("  {line}")));
    }
    match (&diagnosis.cause, &diagnosis.not_known) {
        (Some(cause), _) => lines.extend(cause_lines(cause).into_iter().map(|line| format!("  {line}"))),
        (None, Some(reason)) => lines.push(format!("  {} {reason}", "? not known:".yellow())),
        (None, None) => {}
    }
    lines
}

/// Diagnoses of which the cause was told before.
pub(super) fn known_line(cause: &Cause, count: usize) -> String {
    let probes = if count == 1 { "1 probe".to_owned() } else { format!("{count} probes") };
    format!("{} {probes}: {}, as above", "why:".bold(), cause.code)
}

/// Whether two causes are one to a reader: the same kind of thing, mended by the same.
pub(super) fn is_same(a: &Cause, b: &Cause) -> bool {
    let commands = |cause: &Cause| cause.commands.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    a.code == b.code && a.advice == b.advice && commands(a) == commands(b)
}

/// What a cause is, in short.
fn name(cause: &Cause) -> String {
    let resource = cause.resources.first().map(|it| format!(" at {} {}", it.kind, it.id)).unwrap_or_default();
    format!("{}{resource}", cause.code)
}

const fn arrow(way: Way) -> &'static str {
    match way {
        Way::Forward => "->",
        Way::Return => "<-",
    }
}

fn leg_lines(leg: &Leg) -> Vec<String> {
    if leg.passed {
        // Of a Corefile the server block says more than the title.
        let block = leg.hops.iter().find(|hop| hop.through.starts_with("server block"));
        let passed = block.map_or_else(|| format!("{}, and back", leg.title), |block| block.through.clone());
        return vec![format!("{} {passed}", "✓".green())];
    }
    let hops = leg.hops.iter().map(|hop| format!("  {} {} {}", "✓".green(), arrow(hop.way), hop.through));
    std::iter::once(format!("{}:", leg.title)).chain(hops).collect()
}

fn cause_lines(cause: &Cause) -> Vec<String> {
    let mut lines = vec![format!("  {} {} {}: {}", "✗".red(), arrow(cause.way), name(cause).red(), cause.explanation)];
    let mend = cause.commands.iter().chain(&cause.advice).flat_map(|text| text.lines());
    for (at, line) in mend.enumerate() {
        lines.push(format!("{:12}{line}", if at == 0 { "to mend it:" } else { "" }));
    }
    lines
}

/// What the path is shown for: why a probe failed, or how it got through.
const fn heading(diagnosis: &Diagnosis) -> &'static str {
    if diagnosis.cause.is_none() && diagnosis.not_known.is_none() { "how:" } else { "why:" }
}
