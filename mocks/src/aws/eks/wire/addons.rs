//! Add-ons and their updates on the wire.

use serde_json::{Value, json};

use super::{Answer, arn, input};
use crate::aws::eks::addons::{begin_addon_deletion, find_addon, update_addon};
use crate::aws::eks::errors::{invalid_parameter, not_found};
use crate::aws::eks::{Addon, NewAddon, Update, UpdateStatus, create_addon, find, tagging};
use crate::aws::wire::time::epoch_seconds;
use crate::aws::{AwsError, Context, State};

/// What an update may do with what somebody else has changed.
const CONFLICTS: [&str; 3] = ["NONE", "OVERWRITE", "PRESERVE"];

/// The configuration of a request, which has to be a JSON or YAML mapping.
fn configuration(body: &Value) -> Result<Option<String>, AwsError> {
    let text = input::text(body, "configurationValues")?;
    if let Some(text) = text.as_deref().filter(|text| !text.trim().is_empty())
        && !serde_saphyr::from_str::<Value>(text).is_ok_and(|value| value.is_object())
    {
        return Err(invalid_parameter("ConfigurationValue is not in valid JSON or YAML format"));
    }
    Ok(text)
}

fn conflicts(body: &Value) -> Result<Option<String>, AwsError> {
    let how = input::text(body, "resolveConflicts")?;
    match how.as_deref() {
        Some(how) if !CONFLICTS.contains(&how) => {
            Err(invalid_parameter(format!("resolveConflicts '{how}' is not one of {}", CONFLICTS.join(", "))))
        }
        _ => Ok(how),
    }
}

pub(super) fn create(state: &mut State, context: &Context, cluster: &str, body: &Value) -> Answer {
    let name = input::required_text(body, "addonName")?;
    conflicts(body)?;
    let tags = input::texts_by_name(body, "tags")?;
    tagging::check(&tags)?;
    let new = NewAddon {
        name: name.clone(),
        version: input::text(body, "addonVersion")?,
        configuration: configuration(body)?,
        tags,
    };
    create_addon(state, context, cluster, new)?;
    let record = find(state, context, cluster)?;
    Ok(json!({ "addon": addon(context, cluster, &name, find_addon(record, cluster, &name)?, "CREATING") }))
}

pub(super) fn describe(state: &mut State, context: &Context, cluster: &str, name: &str) -> Answer {
    shown(state, context, cluster, name)
}

pub(super) fn delete(state: &mut State, context: &Context, cluster: &str, name: &str) -> Answer {
    begin_addon_deletion(state, context, cluster, name)?;
    shown(state, context, cluster, name)
}

pub(super) fn update(state: &mut State, context: &Context, cluster: &str, name: &str, body: &Value) -> Answer {
    let new = NewAddon {
        name: name.to_owned(),
        version: input::text(body, "addonVersion")?,
        configuration: configuration(body)?,
        ..NewAddon::default()
    };
    let id = update_addon(state, context, cluster, new, conflicts(body)?)?;
    let made = find(state, context, cluster)?.updates.get(&id).map(|made| shape(&id, made, &UpdateStatus::InProgress));
    Ok(json!({ "update": made }))
}

pub(super) fn describe_update(state: &mut State, context: &Context, cluster: &str, id: &str) -> Answer {
    let found = find(state, context, cluster)?.updates.get(id);
    let found = found.ok_or_else(|| not_found(format!("No update found for ID: {id}")))?;
    Ok(json!({ "update": shape(id, found, &found.status) }))
}

fn shape(id: &str, it: &Update, status: &UpdateStatus) -> Value {
    let (status, errors) = match status {
        UpdateStatus::InProgress => ("InProgress", json!([])),
        UpdateStatus::Successful => ("Successful", json!([])),
        UpdateStatus::Failed(why) => {
            ("Failed", json!([{ "errorCode": "ConfigurationConflict", "errorMessage": why, "resourceIds": [] }]))
        }
    };
    let params: Vec<_> = it.params.iter().map(|(kind, value)| json!({ "type": kind, "value": value })).collect();
    json!({
        "id": id,
        "status": status,
        "type": it.kind,
        "params": params,
        "createdAt": epoch_seconds(it.created),
        "errors": errors,
    })
}

fn shown(state: &State, context: &Context, cluster: &str, name: &str) -> Answer {
    let record = find(state, context, cluster)?;
    let found = find_addon(record, cluster, name)?;
    let status = found.status(record, context.now, &context.latencies);
    Ok(json!({ "addon": addon(context, cluster, name, found, status) }))
}

fn addon(context: &Context, cluster: &str, name: &str, it: &Addon, status: &str) -> Value {
    let mut shape = json!({
        "addonName": name,
        "addonArn": arn(context, &format!("addon/{cluster}/{name}/{}", it.id)),
        "addonVersion": it.version,
        "clusterName": cluster,
        "status": status,
        "health": { "issues": [] },
        "createdAt": epoch_seconds(it.created),
        "modifiedAt": epoch_seconds(it.modified),
        "tags": it.tags,
    });
    if let Some(configuration) = &it.configuration {
        shape["configurationValues"] = configuration.clone().into();
    }
    shape
}
