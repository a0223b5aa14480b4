//! Why a probe failed, as an event tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a probe failed, or how it got through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Id of the invariant that judges the probe.
    pub invariant: String,
    /// What that is judged for, as in its verdict.
    pub subject: String,
    /// The probe, for example `curl http://… in sample-nginx`.
    pub probe: String,
    /// What it came to.
    pub result: String,
    /// The path, leg by leg, up to the first thing that stops it.
    pub path: Vec<Leg>,
    /// The first thing that stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why it is not known what stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_known: Option<String>,
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// From what to what.
    pub title: String,
    /// Whether it was passed whole, there and back.
    pub passed: bool,
    /// What was passed, in order.
    pub hops: Vec<Hop>,
}

/// Which of the two packets of an exchange is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The request.
    Forward,
    /// Its answer.
    Return,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// Whether the request or its answer passed it.
    pub way: Way,
    /// What was passed.
    pub through: String,
}

/// The first thing that stops a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// Its code.
    pub code: String,
    /// Whether the code is one of VPC Reachability Analyzer's; else it is ours.
    pub of_reachability_analyzer: bool,
    /// Whether the request or its answer is stopped.
    pub way: Way,
    /// What it is about: what is to be mended first.
    pub resources: Vec<Resource>,
    /// What it is, in words.
    pub explanation: String,
    /// Commands that mend it, in order.
    pub commands: Vec<String>,
    /// What no command does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Something with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Its kind, for example `route-table` or `configmap`.
    pub kind: String,
    /// Its id, or its namespace and name.
    pub id: String,
    /// Name of the cluster that it belongs to, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}
