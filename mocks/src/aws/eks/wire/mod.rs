//! EKS's REST protocol.

mod addons;
mod clusters;
mod input;
mod nodegroups;
mod versions;

use serde_json::{Value, json};

use crate::aws::eks::{find, tagging};
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::{ACCOUNT, AwsError, Context, State};

/// What an operation gives: the body of its answer.
type Answer = Result<Value, AwsError>;

/// Answers a request to EKS with its JSON body. `path_segments` are percent-decoded; `body` is null where there is none.
///
/// # Errors
/// The service's own exceptions; `InvalidAction` for what is not emulated.
pub fn handle(
    state: &mut State,
    context: &Context,
    method: &str,
    path_segments: &[String],
    query: &Params,
    body: Value,
) -> Answer {
    let segments: Vec<&str> = path_segments.iter().map(String::as_str).collect();
    match (method, segments.as_slice()) {
        ("GET", ["clusters"]) => {
            let here = state.eks.clusters.keys().filter(|(region, _)| *region == context.region);
            names("clusters", here.map(|(_, name)| name), query)
        }
        ("POST", ["clusters"]) => clusters::create(state, context, &body),
        ("GET", ["clusters", name]) => clusters::describe(state, context, name),
        ("DELETE", ["clusters", name]) => clusters::delete(state, context, name),
        (_, ["clusters", cluster, "node-groups", rest @ ..]) => match (method, rest) {
            ("GET", []) => names("nodegroups", find(state, context, cluster)?.nodegroups.keys(), query),
            ("POST", []) => nodegroups::create(state, context, cluster, &body),
            ("GET", [name]) => nodegroups::describe(state, context, cluster, name),
            ("DELETE", [name]) => nodegroups::delete(state, context, cluster, name),
            _ => Err(not_emulated(method, path_segments)),
        },
        (_, ["clusters", cluster, "addons", rest @ ..]) => match (method, rest) {
            ("GET", []) => names("addons", find(state, context, cluster)?.addons.keys(), query),
            ("POST", []) => addons::create(state, context, cluster, &body),
            ("GET", [name]) => addons::describe(state, context, cluster, name),
            ("DELETE", [name]) => addons::delete(state, context, cluster, name),
            ("POST", [name, "update"]) => addons::update(state, context, cluster, name, &body),
            _ => Err(not_emulated(method, path_segments)),
        },
        ("GET", ["clusters", cluster, "updates"]) => {
            let updates = &find(state, context, cluster)?.updates;
            let of = |addon: &str| query.get("addonName").is_none_or(|name| name == addon);
            names("updateIds", updates.iter().filter(|(_, update)| of(&update.addon)).map(|(id, _)| id), query)
        }
        ("GET", ["clusters", cluster, "updates", id]) => addons::describe_update(state, context, cluster, id),
        ("GET", ["clusters", cluster, "access-entries"]) => none(state, context, cluster, "accessEntries"),
        ("GET", ["clusters", cluster, "pod-identity-associations"]) => none(state, context, cluster, "associations"),
        ("GET", ["clusters", cluster, "fargate-profiles"]) => none(state, context, cluster, "fargateProfileNames"),
        ("GET", ["clusters", cluster, "capabilities"]) => none(state, context, cluster, "capabilities"),
        ("GET", ["cluster-versions"]) => versions::clusters(query),
        ("GET", ["addons", "supported-versions"]) => versions::addons(query),
        // The ARN is one segment when its slashes are encoded, as the SDKs do, and several when they are not.
        (_, ["tags", arn @ ..]) if !arn.is_empty() => tags(state, context, method, &arn.join("/"), query, &body),
        _ => Err(not_emulated(method, path_segments)),
    }
}

fn not_emulated(method: &str, segments: &[String]) -> AwsError {
    AwsError::not_emulated("EKS", &format!("{method} /{}", segments.join("/")))
}

fn tags(state: &mut State, context: &Context, method: &str, arn: &str, query: &Params, body: &Value) -> Answer {
    match method {
        "GET" => Ok(json!({ "tags": *tagging::tags_of(state, context, arn)? })),
        "POST" => {
            tagging::add(state, context, arn, input::texts_by_name(body, "tags")?)?;
            Ok(json!({}))
        }
        "DELETE" => {
            let keys = query.list("tagKeys");
            tagging::tags_of(state, context, arn)?.retain(|key, _| !keys.contains(key));
            Ok(json!({}))
        }
        _ => Err(AwsError::not_emulated("EKS", &format!("{method} /tags"))),
    }
}

/// A page of names.
fn names<'a>(key: &str, all: impl Iterator<Item = &'a String>, query: &Params) -> Answer {
    let page = PageRequest::eks(query, key)?.page(all.cloned().collect(), String::as_str);
    let mut answer = json!({ key: page.items });
    if let Some(next) = page.next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

/// The list of what a cluster never has here.
fn none(state: &State, context: &Context, cluster: &str, key: &str) -> Answer {
    find(state, context, cluster)?;
    Ok(json!({ key: [] }))
}

fn arn(context: &Context, rest: &str) -> String {
    format!("arn:aws:eks:{}:{ACCOUNT}:{rest}", context.region)
}
