//! What a machine allows, what it lacks for a run, and what to do about it: [`Machine`] holds what was looked up, and the
//! checks are pure functions of it.
//!
//! A check of something new is a function from a [`Machine`] to [`Check`]s in the file of its subject, listed in
//! [`SECTIONS`]. What it looks at becomes a field of [`Machine`].

mod kernel;
mod limits;
mod machine;
mod programs;
mod show;
mod surroundings;

use serde::Serialize;

pub use machine::{Machine, Program};
pub use show::lines;

use crate::environment::network::Wish;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is as it should be.
    Fine,
    /// It is not there, and not needed.
    Unneeded,
    /// It is not there, and a run does without it or with less.
    Lacking,
    /// It is not there, and no run can do without it.
    Blocking,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name for machines.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How much it matters.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_mend: Option<String>,
}

impl Check {
    fn new(id: &str, title: &str, state: State, found: impl Into<String>) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), state, found: found.into(), to_mend: None }
    }

    fn mended_by(self, what: impl Into<String>) -> Self {
        Self { to_mend: Some(what.into()), ..self }
    }
}

/// Findings about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The subject.
    pub title: &'static str,
    /// What was found.
    pub checks: Vec<Check>,
}

/// Every subject, with what looks into it.
type Look = fn(&Machine) -> Vec<Check>;
const SECTIONS: &[(&str, Look)] = &[
    ("The kernel's network", kernel::checks),
    ("Limits", limits::checks),
    ("Surroundings", surroundings::checks),
    ("Real programs", programs::checks),
];

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Version of the form.
    pub version: u32,
    /// Whether `acrossk8s run` can go through in some way.
    pub can_run: bool,
    /// The network that it would take: `kernel` or `model`.
    pub network: String,
    /// Why.
    pub network_because: String,
    /// By subject.
    pub sections: Vec<Section>,
}

/// Judges a machine.
pub fn examine(machine: &Machine) -> Findings {
    let sections: Vec<_> = SECTIONS.iter().map(|(title, look)| Section { title, checks: look(machine) }).collect();
    let can_run = sections.iter().flat_map(|section| &section.checks).all(|check| check.state != State::Blocking);
    let (network, network_because) = match machine.access.choice(Wish::Auto) {
        Ok(choice) => (choice.kind.to_string(), choice.because.unwrap_or_default()),
        Err(error) => ("none".to_owned(), error.to_string()),
    };
    Findings { version: 1, can_run, network, network_because, sections }
}

#[cfg(test)]
mod tests;
