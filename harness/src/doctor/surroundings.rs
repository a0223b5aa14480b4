//! What every run needs, whatever carries its packets.

use super::{Check, Machine, State};

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![loopback(machine), runs_directory(machine)]
}

fn loopback(machine: &Machine) -> Check {
    let new = |state, found| Check::new("loopback-port", "a free port on 127.0.0.1", state, found);
    match &machine.loopback {
        Ok(()) => new(State::Fine, "there is one".to_owned()),
        Err(why) => new(State::Blocking, why.clone())
            .mended_by("bring the loopback interface up (ip link set lo up), and let processes listen on it"),
    }
}

fn runs_directory(machine: &Machine) -> Check {
    let shown = machine.runs_directory.display();
    let new = |state, found| Check::new("runs-directory", "the directory of the runs", state, found);
    match &machine.runs_writable {
        Ok(()) => new(State::Fine, format!("{shown} can be written")),
        Err(why) => new(State::Blocking, format!("{shown} cannot be written: {why}"))
            .mended_by("name a writable one with --runs-dir or ACROSSK8S_RUNS_DIR"),
    }
}
