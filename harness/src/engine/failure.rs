//! Why a task failed, for the person who has to do something about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a task failed: what happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What happened, and where.
    pub what: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether trying again may help.
    #[serde(default)]
    pub retryable: bool,
    /// What the failed attempt may have left behind.
    #[serde(default)]
    pub leftovers: Leftovers,
}

/// What a failed attempt left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leftovers {
    /// Nothing: the other side refused.
    Nothing,
    /// Unknown: the call may have happened.
    #[default]
    Unknown,
}

impl Failure {
    /// A failure that trying again does not mend.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: None, advice: None, retryable: false, leftovers: Leftovers::Unknown }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says that trying again may help.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Says that the other side refused, so that nothing was left behind.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.leftovers = Leftovers::Nothing;
        self
    }

    /// Whether the other side refused.
    pub fn is_refusal(&self) -> bool {
        self.leftovers == Leftovers::Nothing
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
