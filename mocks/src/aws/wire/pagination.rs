//! Pages of lists, as each service cuts them.
//!
//! A token holds the key of the last item that was given, so that items made or deleted between two pages make none
//! appear twice. It is opaque, and belongs to one action.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::aws::AwsError;
use crate::aws::wire::params::Params;

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    scope: String,
    size: Option<usize>,
    after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// Token of the next page, where there is one.
    pub next: Option<String>,
}

impl PageRequest {
    /// EC2's `MaxResults` and `NextToken`. `ids` names the parameter with ids when the request has any: ids and
    /// `MaxResults` exclude each other. Without `MaxResults` everything is on one page.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a `MaxResults` outside 5 to 1000, `InvalidNextToken` for a token of something else,
    /// `InvalidParameterCombination` for ids together with `MaxResults`.
    pub fn ec2(params: &Params, action: &str, ids: Option<&str>) -> Result<Self, AwsError> {
        let size = params.int("MaxResults")?;
        if let (Some(_), Some(ids)) = (size, ids) {
            return Err(AwsError::invalid_combination(format!(
                "The parameter {ids} cannot be used with the parameter maxResults"
            )));
        }
        let size = size
            .map(|size| {
                usize::try_from(size).ok().filter(|size| (5..=1000).contains(size)).ok_or_else(|| {
                    AwsError::invalid_value(format!(
                        "Value ( {size} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
                    ))
                })
            })
            .transpose()?;
        let invalid = |token: &str| AwsError::client("InvalidNextToken", format!("The token '{token}' is invalid"));
        let after = token(params.get("NextToken"), action, invalid)?;
        Ok(Self { scope: action.to_owned(), size, after })
    }

    /// ELBv2's `PageSize` (1 to 400, by default 400) and `Marker`.
    ///
    /// # Errors
    /// `ValidationError` for another size or a marker of something else.
    pub fn elbv2(params: &Params, action: &str) -> Result<Self, AwsError> {
        let size = match params.get("PageSize") {
            None => 400,
            Some(text) => text.parse().ok().filter(|size| (1..=400).contains(size)).ok_or_else(|| {
                AwsError::client(
                    "ValidationError",
                    format!(
                        "1 validation error detected: Value '{text}' at 'pageSize' failed to satisfy constraint: \
                         Member must have value between 1 and 400"
                    ),
                )
            })?,
        };
        let invalid = |marker: &str| AwsError::client("ValidationError", format!("Invalid marker '{marker}'"));
        let after = token(params.get("Marker"), action, invalid)?;
        Ok(Self { scope: action.to_owned(), size: Some(size), after })
    }

    /// EKS's `maxResults` (1 to 100, by default 100) and `nextToken` of the query string.
    ///
    /// # Errors
    /// `InvalidParameterException` for another size or a token of something else.
    pub fn eks(query: &Params, action: &str) -> Result<Self, AwsError> {
        let invalid = |message: String| AwsError::client("InvalidParameterException", message);
        let size = match query.get("maxResults") {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=100).contains(size))
                .ok_or_else(|| invalid(format!("maxResults must be a number between 1 and 100, not '{text}'")))?,
        };
        let after =
            token(query.get("nextToken"), action, |token| invalid(format!("The nextToken '{token}' is not valid")))?;
        Ok(Self { scope: action.to_owned(), size: Some(size), after })
    }

    /// Cuts the page out of all items. Items are ordered by `key`, which is unique among them.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> &str) -> Page<T> {
        items.sort_by(|a, b| key(a).cmp(key(b)));
        if let Some(after) = &self.after {
            items.retain(|item| key(item) > after.as_str());
        }
        let more = self.size.is_some_and(|size| items.len() > size);
        if let Some(size) = self.size {
            items.truncate(size);
        }
        let next =
            items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(format!("{}\n{}", self.scope, key(last))));
        Page { items, next }
    }
}

/// The key in a token, or the service's error when the token was not made here for this action.
fn token(token: Option<&str>, scope: &str, invalid: impl Fn(&str) -> AwsError) -> Result<Option<String>, AwsError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match text.as_deref().and_then(|text| text.split_once('\n')) {
        Some((made_for, key)) if made_for == scope => Ok(Some(key.to_owned())),
        _ => Err(invalid(token)),
    }
}
