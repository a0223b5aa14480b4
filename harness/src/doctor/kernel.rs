//! Whether the kernel's network can be had, how, and what forbids it.

use acrossk8s_mocks::network::Attempt;

use super::{Check, Machine, State};
use crate::environment::network::Footing;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let mut checks = vec![as_it_is(machine), in_user_namespace(machine)];
    checks.extend(settings(machine));
    checks.extend(parts(machine));
    checks
}

/// What the lack of something comes to that only the kernel's network needs.
fn lack(machine: &Machine) -> State {
    if machine.access.footing().is_some() { State::Unneeded } else { State::Lacking }
}

fn as_it_is(machine: &Machine) -> Check {
    let new = |state, found| Check::new("kernel-network", "as the user that you are", state, found);
    let trial = &machine.access.as_it_is;
    match trial.failure() {
        None if trial.worked() => new(State::Fine, format!("user {} may have it as it is", machine.user)),
        None => new(lack(machine), "not tried".to_owned()),
        Some(why) if machine.access.is_linux() => {
            new(lack(machine), why).mended_by("run it as root, unless user namespaces are allowed")
        }
        Some(why) => new(lack(machine), why),
    }
}

fn in_user_namespace(machine: &Machine) -> Check {
    let new = |state, found| Check::new("user-namespace", "in a user namespace", state, found);
    let trial = &machine.access.in_user_namespace;
    match trial.failure() {
        None if trial.worked() => new(State::Fine, "any user may have it".to_owned()),
        None => new(lack(machine), "not tried".to_owned()),
        Some(why) => {
            let check = new(lack(machine), why);
            // The last remedy is to do without.
            let mut remedies = machine.access.remedies();
            remedies.pop();
            if remedies.is_empty() { check } else { check.mended_by(remedies.join("; or ")) }
        }
    }
}

/// The kernel's settings. One that forbids something matters only where that did not work.
fn settings(machine: &Machine) -> Vec<Check> {
    let obstacles = machine.access.settings.obstacles();
    let forbidding = |name: &str| obstacles.iter().find(|obstacle| obstacle.name == name);
    let named = machine.access.settings.named();
    let present = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    present
        .map(|(name, value)| match forbidding(name) {
            None => Check::new(name, name, State::Fine, value.to_string()),
            Some(obstacle) => {
                let check = Check::new(name, name, lack(machine), format!("{value}, which forbids it"));
                check.mended_by(format!("as root: {}", obstacle.remedy))
            }
        })
        .collect()
}

/// What the network is made of, each tried by itself, in the way in which most of it works.
fn parts(machine: &Machine) -> Vec<Check> {
    let access = &machine.access;
    let as_it_is = access.footing() == Some(Footing::AsItIs) || access.as_it_is.namespaces == Attempt::Worked;
    let trial = if as_it_is { &access.as_it_is } else { &access.in_user_namespace };
    let modules = "load the kernel's module";
    [
        ("network-namespaces", "network namespaces and their settings", &trial.namespaces, String::new()),
        ("veth", "links between them (veth)", &trial.links, format!("as root: {modules} (modprobe veth)")),
        (
            "nftables",
            "nftables with NAT and connection tracking",
            &trial.filter,
            format!("as root: {modules}s (modprobe -a nf_tables nft_ct nft_masq nf_nat nf_conntrack)"),
        ),
    ]
    .into_iter()
    .map(|(id, title, attempt, remedy)| match attempt {
        Attempt::Worked => Check::new(id, title, State::Fine, "tried, and they work"),
        Attempt::NotTried => Check::new(id, title, lack(machine), "not tried, since the above does not work"),
        Attempt::Failed { why } => {
            let check = Check::new(id, title, lack(machine), why);
            if remedy.is_empty() { check } else { check.mended_by(remedy) }
        }
    })
    .collect()
}
