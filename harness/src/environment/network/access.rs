//! Whether the kernel's network can be had here, and how.

use acrossk8s_mocks::network::{Attempt, NetworkKind, Trial};

use super::{Choice, ONLY_LINUX, Obstacle, Settings, Wish, try_elsewhere};
use crate::environment::EnvironmentError;

/// How a process has the kernel's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// As it is: as root, or with the capabilities `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
    AsItIs,
    /// In a user namespace of its own.
    UserNamespace,
}

/// What was found out about the kernel's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// What came of trying it as the process is.
    pub as_it_is: Trial,
    /// What came of trying it in a user namespace.
    pub in_user_namespace: Trial,
    /// Settings of the kernel that have a say in it.
    pub settings: Settings,
}

impl Access {
    /// Finds out as much as is needed to choose: nothing more is tried when the network is had as the process is.
    pub fn find_out() -> Self {
        let as_it_is = try_elsewhere(Footing::AsItIs);
        let in_user_namespace =
            if as_it_is.worked() { Trial::default() } else { try_elsewhere(Footing::UserNamespace) };
        Self { as_it_is, in_user_namespace, settings: Settings::read() }
    }

    /// Finds out everything.
    pub fn find_out_all() -> Self {
        Self {
            as_it_is: try_elsewhere(Footing::AsItIs),
            in_user_namespace: try_elsewhere(Footing::UserNamespace),
            settings: Settings::read(),
        }
    }

    /// How the kernel's network is had; `None` where it is not.
    pub fn footing(&self) -> Option<Footing> {
        if self.as_it_is.worked() {
            Some(Footing::AsItIs)
        } else if self.in_user_namespace.worked() {
            Some(Footing::UserNamespace)
        } else {
            None
        }
    }

    /// The network that fulfils a wish.
    ///
    /// # Errors
    /// When the kernel's is asked for and not had.
    pub fn choice(&self, wish: Wish) -> Result<Choice, EnvironmentError> {
        let (kind, because) = match (wish, self.footing()) {
            (Wish::Model, _) => (NetworkKind::Model, None),
            (_, Some(Footing::AsItIs)) => {
                (NetworkKind::Kernel, Some("the Linux kernel's, which this process may use as it is".to_owned()))
            }
            (_, Some(Footing::UserNamespace)) => {
                (NetworkKind::Kernel, Some("the Linux kernel's, in a user namespace of its own".to_owned()))
            }
            (Wish::Auto, None) => {
                let why = self.why_not();
                let because = format!("the in-process model, since {why} (`acrossk8s doctor` tells more)");
                (NetworkKind::Model, Some(because))
            }
            (Wish::Kernel, None) => {
                let what = "the kernel's network cannot be used";
                let why = format!("{}\n  to mend it: {}", self.why_not(), self.remedies().join("\n  or: "));
                return Err(EnvironmentError::new(what, why));
            }
        };
        Ok(Choice { kind, because })
    }

    /// Whether there is anything here to try.
    pub fn is_linux(&self) -> bool {
        self.as_it_is != Trial::in_vain(ONLY_LINUX)
    }

    /// The settings that forbid it. They do not where namespaces could be made and something else was missing in them.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        match self.in_user_namespace.namespaces {
            Attempt::Worked => Vec::new(),
            Attempt::Failed { .. } | Attempt::NotTried => self.settings.obstacles(),
        }
    }

    /// Why the kernel's network is not had, in one line: what forbids it where that is known, else what failed.
    pub fn why_not(&self) -> String {
        let obstacles = self.obstacles();
        if obstacles.is_empty() {
            let failure = self.in_user_namespace.failure().or_else(|| self.as_it_is.failure());
            return failure.unwrap_or_else(|| "it was not tried".to_owned()).replace('\n', " ");
        }
        obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// What can be done to have it, each by itself; what to have else comes last.
    pub fn remedies(&self) -> Vec<String> {
        let obstacles = self.obstacles();
        let mut remedies: Vec<String> = Vec::new();
        let as_root: Vec<_> = obstacles.iter().map(|obstacle| obstacle.remedy.as_str()).collect();
        if !as_root.is_empty() {
            remedies.push(format!("as root: {}", as_root.join(", and ")));
        } else if self.is_linux() {
            remedies.push(
                "load the kernel's modules veth, nf_tables, nf_nat and nf_conntrack; in a container, allow user namespaces \
                 and a writable /proc/sys (Docker: --privileged)"
                    .to_owned(),
            );
        }
        if self.is_linux() {
            remedies.push("run it as root".to_owned());
        }
        remedies.push("use the in-process model, with --network model or --network auto".to_owned());
        remedies
    }
}
