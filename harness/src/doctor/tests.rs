//! What is told of machines of all kinds.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use acrossk8s_mocks::network::{Attempt, Trial};
use rstest::rstest;

use super::*;
use crate::environment::network::{Access, ONLY_LINUX, Settings};

fn worked() -> Trial {
    let worked = || Attempt::Worked;
    Trial { user_namespace: worked(), namespaces: worked(), links: worked(), filter: worked() }
}

fn failed(why: &str) -> Attempt {
    Attempt::Failed { why: why.to_owned() }
}

/// A machine on which an unprivileged user may have everything.
fn machine() -> Machine {
    let settings = Settings {
        unprivileged_userns_clone: Some(1),
        max_user_namespaces: Some(63_000),
        max_net_namespaces: Some(63_000),
        apparmor_restrict_unprivileged_userns: Some(0),
    };
    let not_permitted = Trial { namespaces: failed("Operation not permitted"), ..Trial::default() };
    Machine {
        user: 1000,
        access: Access { as_it_is: not_permitted, in_user_namespace: worked(), settings },
        open_files: Ok(524_288),
        loopback: Ok(()),
        runs_directory: PathBuf::from(".acrossk8s/runs"),
        runs_writable: Ok(()),
        programs: vec![
            Program { name: "coredns", version: None },
            Program { name: "curl", version: Some("curl 8.5.0".to_owned()) },
        ],
    }
}

/// Ubuntu's kernel: a user namespace can be made, and nothing be done in it.
fn ubuntu() -> Machine {
    let mut machine = machine();
    machine.access.settings.apparmor_restrict_unprivileged_userns = Some(1);
    let forbidden = failed("/proc/self/uid_map: Operation not permitted (os error 1)");
    machine.access.in_user_namespace = Trial { user_namespace: forbidden, ..Trial::default() };
    machine.open_files = Ok(4096);
    machine.access.settings.max_net_namespaces = Some(100);
    machine
}

/// Where nothing can be listened on and nothing be written.
fn locked() -> Machine {
    let mut machine = machine();
    machine.loopback = Err("Cannot assign requested address (os error 99)".to_owned());
    machine.runs_writable = Err("Permission denied (os error 13)".to_owned());
    machine.open_files = Ok(64);
    machine
}

/// Without a kernel that knows any of it.
fn macos() -> Machine {
    let mut machine = machine();
    machine.access = Access {
        as_it_is: Trial::in_vain(ONLY_LINUX),
        in_user_namespace: Trial::in_vain(ONLY_LINUX),
        settings: Settings::default(),
    };
    machine
}

#[rstest]
#[case::an_unprivileged_user("unprivileged", machine())]
#[case::ubuntu("ubuntu", ubuntu())]
#[case::locked("locked", locked())]
#[case::macos("macos", macos())]
fn what_is_told_of_a_machine(#[case] name: &str, #[case] machine: Machine) {
    let told = lines(&examine(&machine)).join("\n");
    insta::assert_snapshot!(name, anstream::adapter::strip_str(&told).to_string());
}

#[rstest]
#[case(machine(), true, "kernel")]
#[case(ubuntu(), true, "model")]
#[case(macos(), true, "model")]
#[case(locked(), false, "kernel")]
fn a_run_needs_a_port_and_a_directory_and_no_more(
    #[case] machine: Machine,
    #[case] can_run: bool,
    #[case] network: &str,
) {
    let findings = examine(&machine);
    assert_eq!((findings.can_run, findings.network.as_str()), (can_run, network));
}

#[test]
fn what_is_told_to_machines_names_every_check_once() {
    let json = serde_json::to_value(examine(&ubuntu())).unwrap();
    let sections = json["sections"].as_array().unwrap();
    let checks: Vec<_> = sections.iter().flat_map(|section| section["checks"].as_array().unwrap()).collect();
    let ids: std::collections::BTreeSet<_> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), checks.len());
    let of = |id: &str| *checks.iter().find(|check| check["id"] == id).unwrap();
    assert_eq!(of("kernel.apparmor_restrict_unprivileged_userns")["state"], "lacking");
    assert_eq!(of("user.max_user_namespaces")["state"], "fine");
    assert_eq!(of("curl")["found"], "curl 8.5.0");
}

/// Where root may have the network, it is nothing to root that others may not.
#[test]
fn what_forbids_it_to_others_is_not_lacking_for_root() {
    let mut machine = ubuntu();
    machine.access.as_it_is = Trial { user_namespace: Attempt::NotTried, ..worked() };
    let findings = examine(&machine);
    let kernel = &findings.sections[0].checks;
    assert!(kernel.iter().all(|check| check.state != State::Lacking), "{kernel:#?}");
    assert_eq!(findings.network, "kernel");
}
