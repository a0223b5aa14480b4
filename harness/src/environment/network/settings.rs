//! The settings of the Linux kernel that forbid user namespaces or network namespaces.

use std::fmt;
use std::path::Path;

/// What is set. A setting that the kernel does not have is `None`, and forbids nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// `kernel.unprivileged_userns_clone`, of Debian's and other hardened kernels.
    pub unprivileged_userns_clone: Option<u64>,
    /// `user.max_user_namespaces` (namespaces(7)): how many there may be.
    pub max_user_namespaces: Option<u64>,
    /// `user.max_net_namespaces`: how many network namespaces there may be.
    pub max_net_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu from 23.10: who makes a user namespace may do nothing
    /// in it.
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
}

/// A setting that forbids something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// What to do about it, as root.
    pub remedy: String,
}

impl Settings {
    /// What is set here.
    pub fn read() -> Self {
        let setting = |name: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()?;
            text.trim().parse().ok()
        };
        Self {
            unprivileged_userns_clone: setting("kernel.unprivileged_userns_clone"),
            max_user_namespaces: setting("user.max_user_namespaces"),
            max_net_namespaces: setting("user.max_net_namespaces"),
            apparmor_restrict_unprivileged_userns: setting("kernel.apparmor_restrict_unprivileged_userns"),
        }
    }

    /// Each with its name.
    pub fn named(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("kernel.unprivileged_userns_clone", self.unprivileged_userns_clone),
            ("user.max_user_namespaces", self.max_user_namespaces),
            ("user.max_net_namespaces", self.max_net_namespaces),
            ("kernel.apparmor_restrict_unprivileged_userns", self.apparmor_restrict_unprivileged_userns),
        ]
    }

    /// Those that keep a user without rights from a network of their own.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let forbids =
            |name: &str, value: u64| value == u64::from(name == "kernel.apparmor_restrict_unprivileged_userns");
        let present = self.named().into_iter().filter_map(|(name, value)| Some((name, value?)));
        present
            .filter(|(name, value)| forbids(name, *value))
            .map(|(name, value)| Obstacle { name, value, remedy: remedy(name) })
            .collect()
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.value)
    }
}

/// What to do about a setting that forbids something, as root.
fn remedy(name: &str) -> String {
    match name {
        "kernel.unprivileged_userns_clone" => format!("sysctl -w {name}=1"),
        "kernel.apparmor_restrict_unprivileged_userns" => {
            format!("sysctl -w {name}=0, or give acrossk8s an AppArmor profile with `userns,`")
        }
        _ => format!("sysctl -w {name}=10000"),
    }
}
