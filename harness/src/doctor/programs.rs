//! Real programs that may stand for what the pods run.

use super::{Check, Machine, State};

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let check = |name: &str, version: &Option<String>| match version {
        Some(version) => Check::new(name, name, State::Fine, version),
        None => Check::new(name, name, State::Unneeded, "not on the PATH; the emulated one does"),
    };
    machine.programs.iter().map(|program| check(program.name, &program.version)).collect()
}
