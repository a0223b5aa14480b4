//! The parameters of a query-protocol request: a form body or a query string.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::aws::AwsError;

/// The most items of a list that are read. AWS's own lists are shorter; a request with more is cut here.
pub const MAX_LIST: usize = 1000;

/// Decoded parameters. The order they arrived in means nothing; of repeated names the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    prefix: String,
    values: BTreeMap<String, String>,
}

impl Params {
    /// Decodes `a=b&c=d`. Both `%20` and `+` stand for a space: the AWS SDKs for Rust and Python differ in this.
    /// Whatever the bytes are, this succeeds: what is not UTF-8 after decoding is replaced.
    pub fn decode(form: &[u8]) -> Self {
        let values =
            form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { prefix: String::new(), values }
    }

    /// Decodes the query string of a REST request, where a list repeats its name: `a=1&a=2` is read by `list("a")`.
    pub fn decode_repeated(query: &[u8]) -> Self {
        let mut params = Self::decode(query);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query) {
            let count = counts.entry(name.clone().into_owned()).or_default();
            *count += 1;
            params.values.insert(format!("{name}.{count}"), value.into_owned());
        }
        params
    }

    /// Encodes as a form body, for clients and tests.
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.values).finish()
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The full name of a parameter of this structure, as it stood in the request, for messages.
    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// A parameter's value.
    ///
    /// # Errors
    /// `MissingParameter` when it is absent or empty.
    pub fn require(&self, name: &str) -> Result<&str, AwsError> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| AwsError::missing_parameter(&self.full_name(name)))
    }

    /// A boolean parameter.
    ///
    /// # Errors
    /// `InvalidParameterValue` unless it is `true` or `false`.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, AwsError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(value) => Err(AwsError::invalid_value(format!(
                "Invalid value '{value}' for boolean parameter {}",
                self.full_name(name)
            ))),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// `InvalidParameterValue` unless it is a whole number that fits.
    pub fn int(&self, name: &str) -> Result<Option<i64>, AwsError> {
        self.parsed(name)
    }

    /// An IPv4 CIDR block. Host bits are kept; AWS clears them where it stores a block.
    ///
    /// # Errors
    /// `InvalidParameterValue` unless it is a CIDR block.
    pub fn cidr(&self, name: &str) -> Result<Option<Ipv4Net>, AwsError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    AwsError::invalid_value(format!(
                        "Value ({value}) for parameter {} is invalid. This is not a valid CIDR block.",
                        lower_first(&self.full_name(name))
                    ))
                })
            })
            .transpose()
    }

    /// An IPv4 address.
    ///
    /// # Errors
    /// `InvalidParameterValue` unless it is an address.
    pub fn address(&self, name: &str) -> Result<Option<Ipv4Addr>, AwsError> {
        self.parsed(name)
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, AwsError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    AwsError::invalid_value(format!("Invalid value '{value}' for parameter {}", self.full_name(name)))
                })
            })
            .transpose()
    }

    /// A flattened list as EC2 sends it: `VpcId.1`, `VpcId.2`, in order of the numbers.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.indexed(name).into_values().filter_map(|item| item.values.get("").cloned()).collect()
    }

    /// A list as ELBv2 sends it: `Names.member.1`, in order of the numbers.
    pub fn members(&self, name: &str) -> Vec<String> {
        self.list(&format!("{name}.member"))
    }

    /// A flattened list of structures: of `Filter.1.Name`, `Filter.1.Value.1` this makes one `Params` with `Name` and
    /// `Value.1`. For ELBv2 name the list `Tags.member`.
    pub fn structs(&self, name: &str) -> Vec<Params> {
        self.indexed(name).into_values().collect()
    }

    /// One nested structure: of `EnableDnsSupport.Value` this makes `Value`.
    pub fn nested(&self, name: &str) -> Params {
        let prefix = format!("{name}.");
        let values = self
            .values
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| (key[prefix.len()..].to_owned(), value.clone()))
            .collect();
        Params { prefix: self.full_name(name), values }
    }

    /// The items of a list by number; a scalar item has its value under the empty name.
    fn indexed(&self, name: &str) -> BTreeMap<u32, Params> {
        let prefix = format!("{name}.");
        let mut items: BTreeMap<u32, Params> = BTreeMap::new();
        for (key, value) in self.values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            let rest = &key[prefix.len()..];
            let (number, field) = rest.split_once('.').unwrap_or((rest, ""));
            let Ok(number) = number.parse::<u32>() else { continue };
            let item = items.entry(number).or_insert_with(|| Params {
                prefix: format!("{}.{number}", self.full_name(name)),
                values: BTreeMap::new(),
            });
            item.values.insert(field.to_owned(), value.clone());
        }
        while items.len() > MAX_LIST {
            items.pop_last();
        }
        items
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { prefix: String::new(), values }
    }
}

/// AWS names parameters in messages with a small first letter.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}
