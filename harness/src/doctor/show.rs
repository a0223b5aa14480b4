//! Findings as lines of text.

use owo_colors::OwoColorize as _;

use super::{Check, Findings, State};

/// The lines. Symbols go with words that say the same.
pub fn lines(findings: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    for section in &findings.sections {
        lines.push(section.title.bold().to_string());
        lines.extend(section.checks.iter().flat_map(check_lines));
        lines.push(String::new());
    }
    lines.push(if findings.can_run {
        format!("{}; network: {}", "`acrossk8s run` can go through".green(), findings.network_because)
    } else {
        "`acrossk8s run` cannot go through".red().to_string()
    });
    lines
}

fn check_lines(check: &Check) -> Vec<String> {
    let symbol = match check.state {
        State::Fine => "✓".green().to_string(),
        State::Unneeded => "–".to_owned(),
        State::Lacking => "!".yellow().to_string(),
        State::Blocking => "✗".red().to_string(),
    };
    let word = match check.state {
        State::Fine => "",
        State::Unneeded => " (not needed)",
        State::Lacking => " (lacking)",
        State::Blocking => " (nothing runs without it)",
    };
    let mut lines = vec![format!("  {symbol} {}: {}{word}", check.title, check.found)];
    // What is not needed need not be mended.
    let remedy = check.to_mend.iter().filter(|_| check.state != State::Unneeded);
    lines.extend(remedy.map(|remedy| format!("      to mend it: {remedy}")));
    lines
}
