//! What names, attributes and tags have to satisfy.

use std::collections::BTreeMap;

use crate::aws::AwsError;
use crate::aws::elbv2::errors::validation;
use crate::aws::tags::Tags;

/// Tags a resource has at most.
///
/// Source: Elastic Load Balancing API reference, "Tag".
const MAX_TAGS: usize = 50;

/// Checks the name of a load balancer or target group: 32 letters, digits and dashes at most, no dash at an end.
///
/// Source: API reference, CreateLoadBalancer and CreateTargetGroup.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), AwsError> {
    let refuse = |why: &str| Err(validation(format!("The {what} name '{name}' {why}")));
    if name.is_empty() {
        return refuse("cannot be empty");
    }
    if name.chars().count() > 32 {
        return refuse("cannot be longer than '32' characters");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return refuse("can only contain characters that are alphanumeric characters and hyphens(-)");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return refuse("cannot begin or end with a hyphen(-)");
    }
    Ok(())
}

/// Sets attributes, all or none. A resource has its attributes from the beginning; those whose value is a boolean take no
/// other.
///
/// # Errors
/// `ValidationError` for an attribute that the resource has not, and for a value that is no boolean where one belongs.
pub(super) fn set_attributes(
    what: &str,
    own: &mut BTreeMap<String, String>,
    new: &[(String, String)],
) -> Result<(), AwsError> {
    let is_bool = |value: &str| matches!(value, "true" | "false");
    for (key, value) in new {
        let Some(old) = own.get(key) else {
            return Err(validation(format!("{what} attribute key '{key}' is not recognized")));
        };
        if is_bool(old) && !is_bool(value) {
            let message = format!("{what} attribute value '{value}' for key '{key}' is not one of 'true' and 'false'");
            return Err(validation(message));
        }
    }
    own.extend(new.iter().cloned());
    Ok(())
}

/// Tags as a request lists them.
///
/// # Errors
/// `DuplicateTagKeys`, `TooManyTags`; `ValidationError` for a key that is reserved or a text that is too long.
pub(super) fn tags(pairs: Vec<(String, String)>) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.starts_with("aws:") {
            return Err(validation(format!("Tag key '{key}' is reserved: keys cannot begin with 'aws:'")));
        }
        if key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(validation(format!(
                "Tag '{key}' is too long: keys have 128 and values 256 characters at most"
            )));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(AwsError::client("DuplicateTagKeys", format!("Tag key '{key}' was specified more than once")));
        }
    }
    check_count(tags.len())?;
    Ok(tags)
}

/// Adds tags to those of a resource.
///
/// # Errors
/// `TooManyTags`.
pub(super) fn add_tags(own: &mut Tags, new: &Tags) -> Result<(), AwsError> {
    check_count(own.len() + new.keys().filter(|key| !own.contains_key(*key)).count())?;
    own.extend(new.clone());
    Ok(())
}

fn check_count(count: usize) -> Result<(), AwsError> {
    if count > MAX_TAGS {
        return Err(AwsError::client("TooManyTags", format!("A resource has {MAX_TAGS} tags at most")));
    }
    Ok(())
}

pub(super) fn owned<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}
