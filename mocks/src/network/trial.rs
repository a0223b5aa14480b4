//! What came of trying out, one after the other, what the kernel's network needs: the only honest test of it. Kernels,
//! security modules and containers forbid these things in too many ways to read it off anywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came of one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attempt", rename_all = "snake_case")]
pub enum Attempt {
    /// It was not tried: not asked for, or in vain without another.
    #[default]
    NotTried,
    /// It can be had.
    Worked,
    /// It cannot.
    Failed {
        /// Why.
        why: String,
    },
}

impl Attempt {
    /// Of a result.
    pub fn of<T, E: fmt::Display>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Attempt::Worked,
            Err(error) => Attempt::Failed { why: error.to_string() },
        }
    }
}

/// What came of everything that the kernel's network needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// A user namespace of the process's own, where that was asked for.
    pub user_namespace: Attempt,
    /// Network namespaces and their settings.
    pub namespaces: Attempt,
    /// Links between them (veth).
    pub links: Attempt,
    /// nftables with NAT and connection tracking.
    pub filter: Attempt,
}

impl Trial {
    /// A trial that could not even begin.
    pub fn in_vain(why: impl fmt::Display) -> Self {
        Self { namespaces: Attempt::Failed { why: why.to_string() }, ..Self::default() }
    }

    /// Whether the kernel's network can be had.
    pub fn worked(&self) -> bool {
        [&self.namespaces, &self.links, &self.filter].into_iter().all(|attempt| *attempt == Attempt::Worked)
    }

    /// The first thing that cannot be had, and why.
    pub fn failure(&self) -> Option<String> {
        let parts = [
            ("a user namespace", &self.user_namespace),
            ("network namespaces", &self.namespaces),
            ("links between them (veth)", &self.links),
            ("nftables", &self.filter),
        ];
        parts.into_iter().find_map(|(what, attempt)| match attempt {
            Attempt::Failed { why } => Some(format!("{what}: {why}")),
            Attempt::NotTried | Attempt::Worked => None,
        })
    }
}
