//! What the API refuses: formats of names and labels here, the rules of the types beside.

mod specs;
mod updates;

use serde_json::{Value, json};

use super::object;
use super::resources::{NameFormat, ResourceType};
use super::status::FieldError;

pub(super) use specs::spec;
pub(super) use updates::update;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What is wrong with a DNS-1123 label, if anything.
pub(super) fn dns_label(text: &str) -> Option<String> {
    too_long(text, 63).or_else(|| (!is_label(text)).then(|| LABEL.to_owned()))
}

/// What is wrong with a DNS-1123 subdomain, if anything.
pub(super) fn dns_subdomain(text: &str) -> Option<String> {
    too_long(text, 253).or_else(|| (!text.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned()))
}

fn too_long(text: &str, limit: usize) -> Option<String> {
    (text.len() > limit).then(|| format!("must be no more than {limit} characters"))
}

fn is_name_part(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().last().is_some_and(|c| c.is_ascii_alphanumeric())
}

/// What is wrong with a label's key, if anything.
pub(super) fn label_key(text: &str) -> Option<String> {
    let name = match text.split_once('/') {
        None => text,
        Some(("", _)) => return Some("prefix part must be non-empty".to_owned()),
        Some((prefix, name)) => match dns_subdomain(prefix) {
            Some(why) => return Some(format!("prefix part {why}")),
            None => name,
        },
    };
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    too_long(name, 63).or_else(|| (!is_name_part(name)).then(|| QUALIFIED_NAME.to_owned()))
}

/// What is wrong with a label's value, if anything.
pub(super) fn label_value(text: &str) -> Option<String> {
    too_long(text, 63).or_else(|| (!text.is_empty() && !is_name_part(text)).then(|| LABEL_VALUE.to_owned()))
}

/// What is wrong with a name of the type, if anything.
fn name_format(format: NameFormat, name: &str) -> Option<String> {
    match format {
        NameFormat::Subdomain => dns_subdomain(name),
        NameFormat::Label => dns_label(name),
        NameFormat::Label1035 => too_long(name, 63).or_else(|| {
            (!is_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase())).then(|| LABEL_1035.to_owned())
        }),
        NameFormat::PathSegment => {
            if name == "." || name == ".." {
                return Some(format!("may not be '{name}'"));
            }
            name.chars().find(|c| "/%".contains(*c)).map(|c| format!("may not contain '{c}'"))
        }
    }
}

/// Checks name, labels, annotations and finalizers.
pub(super) fn metadata(ty: &ResourceType, object: &Value, errors: &mut Vec<FieldError>) {
    let name = object::name(object);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Some(why) = name_format(ty.names, name) {
        errors.push(FieldError::invalid("metadata.name", &json!(name), &why));
    }
    labels("metadata.labels", object.pointer("/metadata/labels"), errors);
    for (key, _) in object.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten() {
        if let Some(why) = label_key(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", &json!(key), &why));
        }
    }
    for finalizer in object::finalizers(object) {
        if let Some(why) = label_key(finalizer) {
            errors.push(FieldError::invalid("metadata.finalizers", &json!(finalizer), &why));
        }
    }
}

fn labels(field: &str, labels: Option<&Value>, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        if let Some(why) = label_key(key) {
            errors.push(FieldError::invalid(field, &json!(key), &why));
        }
        if let Some(why) = label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(field, value, &why));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(NameFormat::Subdomain, "a.b-c.1", true)]
    #[case(NameFormat::Subdomain, "a..b", false)]
    #[case(NameFormat::Subdomain, "A", false)]
    #[case(NameFormat::Label, "a.b", false)]
    #[case(NameFormat::Label, "1-a", true)]
    #[case(NameFormat::Label1035, "1-a", false)]
    #[case(NameFormat::Label1035, "a-1", true)]
    #[case(NameFormat::PathSegment, "system:node", true)]
    #[case(NameFormat::PathSegment, "a/b", false)]
    #[case(NameFormat::PathSegment, "..", false)]
    fn names(#[case] format: NameFormat, #[case] name: &str, #[case] valid: bool) {
        assert_eq!(name_format(format, name).is_none(), valid, "{name}");
    }

    #[test]
    fn length_of_names() {
        assert!(dns_label(&"a".repeat(63)).is_none());
        assert!(dns_label(&"a".repeat(64)).is_some());
        assert!(label_value(&"a".repeat(64)).is_some());
    }
}
