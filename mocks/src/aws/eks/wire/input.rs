//! Reading the JSON of a request: a value of the wrong type is told, not taken for a missing one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::aws::AwsError;
use crate::aws::eks::errors::invalid_parameter;

fn wrong(name: &str, expected: &str) -> AwsError {
    invalid_parameter(format!("The parameter {name} must be {expected}"))
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, AwsError> {
    value.ok_or_else(|| invalid_parameter(format!("The parameter {name} is missing")))
}

/// A member, where it is neither missing nor null.
fn member<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

pub(super) fn text(body: &Value, name: &str) -> Result<Option<String>, AwsError> {
    let read = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a string"));
    member(body, name).map(read).transpose()
}

pub(super) fn required_text(body: &Value, name: &str) -> Result<String, AwsError> {
    required(name, text(body, name)?)
}

pub(super) fn number(body: &Value, name: &str) -> Result<Option<u32>, AwsError> {
    let read = |value: &Value| {
        value.as_u64().and_then(|it| u32::try_from(it).ok()).ok_or_else(|| wrong(name, "a whole number"))
    };
    member(body, name).map(read).transpose()
}

pub(super) fn texts(body: &Value, name: &str) -> Result<Vec<String>, AwsError> {
    let Some(value) = member(body, name) else { return Ok(Vec::new()) };
    let all = value.as_array().and_then(|items| items.iter().map(|it| it.as_str().map(str::to_owned)).collect());
    all.ok_or_else(|| wrong(name, "a list of strings"))
}

pub(super) fn texts_by_name(body: &Value, name: &str) -> Result<BTreeMap<String, String>, AwsError> {
    let Some(value) = member(body, name) else { return Ok(BTreeMap::new()) };
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    value.as_object().and_then(|it| it.iter().map(pair).collect()).ok_or_else(|| wrong(name, "a map of strings"))
}

pub(super) fn objects<'a>(body: &'a Value, name: &str) -> Result<&'a [Value], AwsError> {
    let Some(value) = member(body, name) else { return Ok(&[]) };
    let items = value.as_array().filter(|items| items.iter().all(Value::is_object));
    items.map(Vec::as_slice).ok_or_else(|| wrong(name, "a list of structures"))
}

pub(super) fn object<'a>(body: &'a Value, name: &str) -> Result<&'a Value, AwsError> {
    match member(body, name) {
        None => Ok(&Value::Null),
        Some(value) if value.is_object() => Ok(value),
        Some(_) => Err(wrong(name, "a structure")),
    }
}
