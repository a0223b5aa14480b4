//! Tags: `CreateTags`, `DeleteTags`, `DescribeTags` and tag specifications.

use super::{Answer, done};
use crate::aws::ec2::resource::Kind;
use crate::aws::ec2::tagging::MAX_TAGS;
use crate::aws::tags::Tags;
use crate::aws::wire::filters::Filters;
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::wire::xml::Element;
use crate::aws::{AwsError, Context, State};

/// The tags that a request wants on the resource it makes: those of the `TagSpecification` for its kind.
///
/// # Errors
/// `InvalidParameterValue` for a specification for another kind (unless it is among `others`), and for tags that are not
/// allowed.
pub(super) fn specified(params: &Params, kind: Kind, others: &[&str]) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
    for specification in params.structs("TagSpecification") {
        let resource_type = specification.require("ResourceType")?;
        if resource_type == kind.resource_type {
            tags.extend(listed(&specification, "Tag")?);
        } else if !others.contains(&resource_type) {
            return Err(AwsError::invalid_value(format!(
                "'{resource_type}' is not a valid taggable resource type for this operation."
            )));
        }
    }
    Ok(tags)
}

/// A list of tags.
fn listed(params: &Params, name: &str) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
    for tag in params.structs(name) {
        let key = tag.require("Key")?;
        let value = tag.get("Value").unwrap_or_default();
        if key.starts_with("aws:") {
            return Err(AwsError::invalid_value("Tag keys starting with 'aws:' are reserved for internal use"));
        }
        if key.chars().count() > 128 {
            return Err(AwsError::invalid_value(format!(
                "Tag key exceeds the maximum length of 128 characters: '{key}'"
            )));
        }
        if value.chars().count() > 256 {
            return Err(AwsError::invalid_value(format!(
                "Tag value exceeds the maximum length of 256 characters: '{value}'"
            )));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(AwsError::invalid_value(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(AwsError::client(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        ));
    }
    Ok(tags)
}

fn resources(params: &Params) -> Result<Vec<String>, AwsError> {
    let resources = params.list("ResourceId");
    if resources.is_empty() { Err(AwsError::missing_parameter("resourceIdSet")) } else { Ok(resources) }
}

pub(super) fn create(state: &mut State, context: &Context, params: &Params) -> Answer {
    let tags = listed(params, "Tag")?;
    if tags.is_empty() {
        return Err(AwsError::missing_parameter("tagSet"));
    }
    state.ec2.create_tags(context, &resources(params)?, &tags)?;
    done()
}

pub(super) fn delete(state: &mut State, context: &Context, params: &Params) -> Answer {
    let mut tags = Vec::new();
    for tag in params.structs("Tag") {
        tags.push((tag.require("Key")?.to_owned(), tag.get("Value").map(str::to_owned)));
    }
    state.ec2.delete_tags(context, &resources(params)?, &tags)?;
    done()
}

pub(super) fn describe(state: &mut State, context: &Context, params: &Params) -> Answer {
    let request = PageRequest::ec2(params, "DescribeTags", None)?;
    let filters = Filters::parse(params, &["key", "resource-id", "resource-type", "value"])?;
    let mut rows = Vec::new();
    for (id, kind, tags) in state.ec2.all_tags(context) {
        for (key, value) in tags {
            let tag = Tags::from([(key.clone(), value.clone())]);
            let matches = filters.matches(&tag, |name| {
                vec![match name {
                    "key" => key.clone(),
                    "resource-id" => id.clone(),
                    "resource-type" => kind.resource_type.to_owned(),
                    _ => value.clone(),
                }]
            });
            if matches {
                rows.push((
                    format!("{id}\t{key}"),
                    vec![
                        Element::text("resourceId", &id),
                        Element::text("resourceType", kind.resource_type),
                        Element::text("key", key),
                        Element::text("value", value),
                    ],
                ));
            }
        }
    }
    let page = request.page(rows, |(key, _)| key);
    let mut answer = vec![Element::items("tagSet", page.items.into_iter().map(|(_, row)| row))];
    answer.extend(Element::optional("nextToken", page.next));
    Ok(answer)
}
