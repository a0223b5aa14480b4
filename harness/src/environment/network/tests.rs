//! Which network is taken, for what came of trying.

#![expect(clippy::unwrap_used, reason = "tests")]

use rstest::rstest;

use super::*;

fn failed(why: &str) -> Attempt {
    Attempt::Failed { why: why.to_owned() }
}

fn worked() -> Trial {
    let worked = || Attempt::Worked;
    Trial { user_namespace: Attempt::NotTried, namespaces: worked(), links: worked(), filter: worked() }
}

fn not_permitted() -> Trial {
    Trial { namespaces: failed("Operation not permitted"), ..Trial::default() }
}

fn no_user_namespace() -> Trial {
    Trial { user_namespace: failed("No space left on device"), ..Trial::default() }
}

/// Namespaces can be made, and nftables is missing in them.
fn no_nftables() -> Trial {
    Trial { filter: failed("change nftables: Operation not supported"), ..worked() }
}

fn hardened() -> Access {
    let settings = Settings { max_user_namespaces: Some(0), max_net_namespaces: Some(100), ..Settings::default() };
    Access { as_it_is: not_permitted(), in_user_namespace: no_user_namespace(), settings }
}

#[rstest]
#[case::root(worked(), no_user_namespace(), Some(Footing::AsItIs))]
#[case::user(not_permitted(), worked(), Some(Footing::UserNamespace))]
#[case::hardened(not_permitted(), no_user_namespace(), None)]
#[case::no_modules(no_nftables(), no_nftables(), None)]
#[case::root_of_a_container(no_nftables(), worked(), Some(Footing::UserNamespace))]
fn a_process_is_changed_only_where_that_helps(
    #[case] as_it_is: Trial,
    #[case] in_user_namespace: Trial,
    #[case] expected: Option<Footing>,
) {
    let access = Access { as_it_is, in_user_namespace, settings: Settings::default() };
    assert_eq!(access.footing(), expected);
    let chosen = access.choice(Wish::Auto).unwrap().kind;
    assert_eq!(chosen, if expected.is_some() { NetworkKind::Kernel } else { NetworkKind::Model });
    assert_eq!(access.choice(Wish::Kernel).is_ok(), expected.is_some());
    assert_eq!(access.choice(Wish::Model).unwrap(), Choice { kind: NetworkKind::Model, because: None });
}

#[test]
fn the_model_takes_over_with_one_line_that_says_why() {
    let because = hardened().choice(Wish::Auto).unwrap().because.unwrap();
    let expected = "the in-process model, since user.max_user_namespaces is 0 (`acrossk8s doctor` tells more)";
    assert_eq!(because, expected);
}

#[test]
fn who_asks_for_the_kernel_is_told_what_to_enable() {
    let error = hardened().choice(Wish::Kernel).unwrap_err().to_string();
    assert!(error.contains("user.max_user_namespaces is 0"), "{error}");
    assert!(error.contains("to mend it: as root: sysctl -w user.max_user_namespaces=10000"), "{error}");
}

/// A setting that forbids user namespaces is not to blame where they are had all the same.
#[test]
fn a_missing_module_is_not_blamed_on_a_setting() {
    let settings = Settings { apparmor_restrict_unprivileged_userns: Some(1), ..Settings::default() };
    let access = Access { as_it_is: no_nftables(), in_user_namespace: no_nftables(), settings };
    assert_eq!(access.why_not(), "nftables: change nftables: Operation not supported");
    assert!(access.remedies()[0].contains("nf_tables"), "{:?}", access.remedies());
}

#[rstest]
#[case(Settings { unprivileged_userns_clone: Some(0), ..Settings::default() }, "kernel.unprivileged_userns_clone is 0")]
#[case(Settings { max_user_namespaces: Some(0), ..Settings::default() }, "user.max_user_namespaces is 0")]
#[case(Settings { max_net_namespaces: Some(0), ..Settings::default() }, "user.max_net_namespaces is 0")]
#[case(
    Settings { apparmor_restrict_unprivileged_userns: Some(1), ..Settings::default() },
    "kernel.apparmor_restrict_unprivileged_userns is 1"
)]
fn each_setting_that_forbids_is_named(#[case] settings: Settings, #[case] expected: &str) {
    let named: Vec<_> = settings.obstacles().iter().map(ToString::to_string).collect();
    assert_eq!(named, [expected]);
}

#[test]
fn settings_that_allow_it_are_no_obstacles() {
    let settings = Settings {
        unprivileged_userns_clone: Some(1),
        max_user_namespaces: Some(9000),
        max_net_namespaces: Some(9000),
        apparmor_restrict_unprivileged_userns: Some(0),
    };
    assert_eq!(settings.obstacles(), []);
}

/// unshare(2) refuses it, and nothing has changed.
#[cfg(target_os = "linux")]
#[test]
fn a_process_with_threads_is_not_taken_into_a_user_namespace() {
    std::thread::scope(|scope| {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || wait.recv());
        let before = std::fs::read_link("/proc/self/ns/user").unwrap();
        let refused = enter_user_namespace().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
        assert_eq!(std::fs::read_link("/proc/self/ns/user").unwrap(), before);
        drop(end);
    });
}
