//! The procedure as a list of checkable statements, each under the heading of the document that it stands under.
//!
//! # Ids
//!
//! `C2.10` is statement 10 of part 2. Parts: 0 prerequisites, 1 "Start the Kubernetes cluster", 2 "Configure the
//! network", 3 "Verify the network interconnectivity", 4 "Deploy TiDB Operator", 5 "Deploy TiDB clusters", 6 teardown.
//! A bare id is mostly a `must`: what the document says. Where the document is silent, a bare id is a `should`: what has
//! to be true for the procedure to hold. An `s` behind an id (`C2.10s`) is the `should` that goes beyond the statement of
//! the same number: C2.10 demands that the load balancer is active, C2.10s that it also has a healthy target.

mod clauses;

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use clauses::{CLAUSES, NOT_COVERED};

/// Id of a clause; see the module for the scheme. Ordered as the document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClauseId {
    part: u8,
    number: u8,
    beyond: bool,
}

impl ClauseId {
    /// The id `C<part>.<number>`.
    pub const fn new(part: u8, number: u8) -> Self {
        Self { part, number, beyond: false }
    }

    /// The id `C<part>.<number>s`: what goes beyond the document's own words.
    pub const fn beyond(part: u8, number: u8) -> Self {
        Self { part, number, beyond: true }
    }

    /// The part of the document, 0 to 6.
    pub const fn part(self) -> u8 {
        self.part
    }
}

impl fmt::Display for ClauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}.{}{}", self.part, self.number, if self.beyond { "s" } else { "" })
    }
}

/// A text that is not the id of a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not the id of a clause: they look like C2.3 or C2.10s")]
pub struct NotAClauseId(String);

impl FromStr for ClauseId {
    type Err = NotAClauseId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NotAClauseId(text.to_owned());
        let rest = text.strip_prefix('C').ok_or_else(error)?;
        let (rest, beyond) = rest.strip_suffix('s').map_or((rest, false), |rest| (rest, true));
        let (part, number) = rest.split_once('.').ok_or_else(error)?;
        let digits = |text: &str| match text.chars().all(|c| c.is_ascii_digit()) {
            true => text.parse().map_err(|_| error()),
            false => Err(error()),
        };
        Ok(Self { part: digits(part)?, number: digits(number)?, beyond })
    }
}

impl Serialize for ClauseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClauseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ClauseId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClauseId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^C[0-9]+\.[0-9]+s?$"})
    }
}

/// How binding a clause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The document says so.
    Must,
    /// The document is silent, but the procedure does not hold without it.
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "must",
            Self::Should => "should",
        })
    }
}

/// A section of the document, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the section of that heading")]
pub enum Section {
    Prerequisites,
    StartClusters,
    VpcPeering,
    SecurityGroups,
    LoadBalancers,
    CoreDns,
    Verify,
    Operator,
    TidbClusters,
    Teardown,
}

impl Section {
    /// Every section, in the document's order; the last one is ours, for the document has no teardown.
    pub const ALL: [Self; 10] = [
        Self::Prerequisites,
        Self::StartClusters,
        Self::VpcPeering,
        Self::SecurityGroups,
        Self::LoadBalancers,
        Self::CoreDns,
        Self::Verify,
        Self::Operator,
        Self::TidbClusters,
        Self::Teardown,
    ];

    /// The heading, as the document has it.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Prerequisites => "Prerequisites",
            Self::StartClusters => "Step 1. Start the Kubernetes cluster",
            Self::VpcPeering => "Set up VPC peering",
            Self::SecurityGroups => "Update the security groups for the instances",
            Self::LoadBalancers => "Configure load balancers",
            Self::CoreDns => "Configure CoreDNS",
            Self::Verify => "Step 3. Verify the network interconnectivity",
            Self::Operator => "Step 4. Deploy TiDB Operator",
            Self::TidbClusters => "Step 5. Deploy TiDB clusters",
            Self::Teardown => "Teardown (not in the document)",
        }
    }

    /// The heading above it, for the sections that are parts of step 2.
    pub const fn step(self) -> Option<&'static str> {
        match self {
            Self::VpcPeering | Self::SecurityGroups | Self::LoadBalancers | Self::CoreDns => {
                Some("Step 2. Configure the network")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.heading())
    }
}

/// One checkable statement of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// Its id.
    pub id: ClauseId,
    /// The section it stands in.
    pub section: Section,
    /// How binding it is.
    pub level: Level,
    /// The statement, in our own words.
    pub statement: &'static str,
}

impl Clause {
    /// The document's heading that it stands under.
    pub const fn heading(&self) -> &'static str {
        self.section.heading()
    }
}

/// A clause that this version does not cover, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NotCovered {
    /// Its id.
    pub id: ClauseId,
    /// The section it stands in.
    pub section: Section,
    /// The statement, in our own words.
    pub statement: &'static str,
    /// Why it is not covered.
    pub reason: &'static str,
}

/// The clause with an id.
pub fn clause(id: ClauseId) -> Option<&'static Clause> {
    CLAUSES.iter().find(|clause| clause.id == id)
}

/// The clauses of a section, in order.
pub fn clauses_of(section: Section) -> impl Iterator<Item = &'static Clause> {
    CLAUSES.iter().filter(move |clause| clause.section == section)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn clauses_are_in_the_order_of_the_document_and_each_is_there_once() {
        for pair in CLAUSES.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} stands before {}", pair[0].id, pair[1].id);
            assert!(pair[0].section <= pair[1].section, "{} and {}: sections", pair[0].id, pair[1].id);
        }
        for pair in NOT_COVERED.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} stands before {}", pair[0].id, pair[1].id);
        }
        assert!(NOT_COVERED.iter().all(|not_covered| clause(not_covered.id).is_none()));
    }

    #[test]
    fn every_number_of_parts_0_to_3_has_its_bare_clause() {
        for (part, count) in [(0, 4), (1, 7), (2, 16), (3, 6)] {
            for number in 1..=count {
                assert!(clause(ClauseId::new(part, number)).is_some(), "C{part}.{number}");
            }
            assert!(clause(ClauseId::new(part, count + 1)).is_none());
        }
    }

    #[test]
    fn what_goes_beyond_is_a_should_and_has_a_bare_clause_of_the_same_number() {
        for clause_beyond in CLAUSES.iter().filter(|clause| clause.id.beyond) {
            assert_eq!(clause_beyond.level, Level::Should, "{}", clause_beyond.id);
            let bare = ClauseId { beyond: false, ..clause_beyond.id };
            assert!(clause(bare).is_some(), "{bare}");
        }
    }

    #[test]
    fn statements_are_one_sentence() {
        for clause in CLAUSES {
            assert!(clause.statement.ends_with('.') && !clause.statement.contains(". "), "{}", clause.id);
        }
    }

    #[test]
    fn sections_are_listed_in_their_order_and_together_hold_every_clause() {
        assert!(Section::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        let count: usize = Section::ALL.iter().map(|section| clauses_of(*section).count()).sum();
        assert_eq!(count, CLAUSES.len());
    }

    #[test]
    fn ids_round_trip_and_sort_by_number() {
        for clause in CLAUSES {
            assert_eq!(clause.id.to_string().parse::<ClauseId>().unwrap(), clause.id);
            let json = serde_json::to_string(&clause.id).unwrap();
            assert_eq!(serde_json::from_str::<ClauseId>(&json).unwrap(), clause.id);
        }
        assert!(ClauseId::new(2, 2) < ClauseId::new(2, 10));
        assert!(ClauseId::new(2, 2) < ClauseId::beyond(2, 2));
    }

    #[rstest::rstest]
    #[case("")]
    #[case("C")]
    #[case("2.3")]
    #[case("C2")]
    #[case("C2.")]
    #[case("C2.+3")]
    #[case("C2.3ss")]
    #[case("C2.300")]
    fn what_is_not_an_id_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<ClauseId>(), Err(NotAClauseId(text.to_owned())));
    }
}
