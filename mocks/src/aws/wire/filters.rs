//! Filters of EC2's Describe actions.

use crate::aws::AwsError;
use crate::aws::tags::Tags;
use crate::aws::wire::params::Params;

/// The filters of a request, with names checked.
///
/// Values of one filter are alternatives, and all filters have to match. A value may hold the wildcards `*` and `?`,
/// which a backslash makes literal. Case counts. A filter without values matches nothing.
///
/// Source: Amazon EC2 User Guide, "List and filter using the CLI and API".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<Filter>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filters {
    /// Reads `Filter.N.Name` and `Filter.N.Value.M`. `supported` names the filters of the action; `tag:<key>` and
    /// `tag-key` are always understood.
    ///
    /// # Errors
    /// `MissingParameter` for a filter without a name, `InvalidParameterValue` for one that the action does not have.
    pub fn parse(params: &Params, supported: &[&str]) -> Result<Self, AwsError> {
        let mut filters = Vec::new();
        for filter in params.structs("Filter") {
            let name = filter.require("Name")?.to_owned();
            if !supported.contains(&name.as_str()) && name != "tag-key" && !name.starts_with("tag:") {
                return Err(AwsError::invalid_value(format!("The filter '{name}' is invalid")));
            }
            filters.push(Filter { name, values: filter.list("Value") });
        }
        Ok(Self(filters))
    }

    /// Whether a resource with these tags matches. `field` gives the resource's values of a filter: one for a plain
    /// field, several for a list, none where it has no value.
    pub fn matches(&self, tags: &Tags, mut field: impl FnMut(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|filter| {
            let actual = match filter.name.as_str() {
                "tag-key" => tags.keys().cloned().collect(),
                name => match name.strip_prefix("tag:") {
                    Some(key) => tags.get(key).cloned().into_iter().collect(),
                    None => field(name),
                },
            };
            filter.values.iter().any(|pattern| actual.iter().any(|value| matches_pattern(pattern, value)))
        })
    }

    /// The filters themselves, for the fingerprint in a pagination token.
    pub fn describe(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Whether `value` matches `pattern` with `*` (any characters), `?` (one character) and `\` (the next is literal).
pub fn matches_pattern(pattern: &str, value: &str) -> bool {
    #[derive(Clone, Copy)]
    enum Piece {
        Any,
        One,
        Literal(char),
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Literal(chars.next().unwrap_or('\\')),
            c => Piece::Literal(c),
        });
    }
    let value: Vec<char> = value.chars().collect();
    // Greedy with one point to come back to: linear memory, at worst the product of both lengths in time.
    let (mut p, mut v, mut back) = (0, 0, None);
    while v < value.len() {
        match pieces.get(p) {
            Some(Piece::Any) => {
                back = Some((p, v));
                p += 1;
            }
            Some(Piece::One) => (p, v) = (p + 1, v + 1),
            Some(Piece::Literal(c)) if *c == value[v] => (p, v) = (p + 1, v + 1),
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    (p, v) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pieces[p..].iter().all(|piece| matches!(piece, Piece::Any))
}
