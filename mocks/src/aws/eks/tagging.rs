//! Tags of clusters, node groups and add-ons, by ARN.

use crate::aws::eks::clusters::find_mut;
use crate::aws::eks::errors::invalid_parameter;
use crate::aws::tags::Tags;
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// Tags a resource has at most.
///
/// Source: EKS user guide, "Organize Amazon EKS resources with tags".
const MAX_TAGS: usize = 50;

/// Checks tags that are to be set.
///
/// # Errors
/// `InvalidParameterException` for a reserved key, a text that is too long, or too many.
pub(super) fn check(tags: &Tags) -> Result<(), AwsError> {
    for (key, value) in tags {
        if key.is_empty() || key.starts_with("aws:") {
            return Err(invalid_parameter(format!("Tag key '{key}' is empty or reserved")));
        }
        if key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid_parameter(format!("Tag '{key}' is too long")));
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(invalid_parameter(format!("A resource has {MAX_TAGS} tags at most")));
    }
    Ok(())
}

/// The tags of the resource with an ARN.
///
/// # Errors
/// `NotFoundException` when there is none; `BadRequestException` for what is no ARN of EKS's.
pub(super) fn tags_of<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut Tags, AwsError> {
    let prefix = format!("arn:aws:eks:{}:{ACCOUNT}:", context.region);
    let malformed = || AwsError::client("BadRequestException", format!("Invalid ARN: {arn}"));
    let missing = || AwsError::with_status(404, "NotFoundException", format!("No resource found for ARN: {arn}"));
    let rest = arn.strip_prefix(&prefix).ok_or_else(malformed)?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["cluster", name] => Ok(&mut find_mut(state, context, name).map_err(|_| missing())?.tags),
        ["nodegroup", cluster, name, id] => {
            let cluster = find_mut(state, context, cluster).map_err(|_| missing())?;
            let found = cluster.nodegroups.get_mut(*name).filter(|it| it.id == *id);
            found.map(|it| &mut it.tags).ok_or_else(missing)
        }
        ["addon", cluster, name, id] => {
            let cluster = find_mut(state, context, cluster).map_err(|_| missing())?;
            let found = cluster.addons.get_mut(*name).filter(|it| it.id == *id);
            found.map(|it| &mut it.tags).ok_or_else(missing)
        }
        _ => Err(malformed()),
    }
}

/// Adds tags, all or none.
///
/// # Errors
/// As for [`tags_of`]; `InvalidParameterException` where the resource had too many then.
pub(super) fn add(state: &mut State, context: &Context, arn: &str, new: Tags) -> Result<(), AwsError> {
    check(&new)?;
    let own = tags_of(state, context, arn)?;
    if own.len() + new.keys().filter(|key| !own.contains_key(*key)).count() > MAX_TAGS {
        return Err(invalid_parameter(format!("A resource has {MAX_TAGS} tags at most")));
    }
    own.extend(new);
    Ok(())
}
