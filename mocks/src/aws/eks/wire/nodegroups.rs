//! Managed node groups on the wire.

use serde_json::{Value, json};

use super::{Answer, arn, input};
use crate::aws::eks::errors::{invalid_parameter, invalid_request};
use crate::aws::eks::nodegroups::find_nodegroup;
use crate::aws::eks::{
    Cluster, NewNodegroup, Nodegroup, Taint, begin_nodegroup_deletion, create_nodegroup, find, tagging,
};
use crate::aws::tags::Tags;
use crate::aws::wire::time::epoch_seconds;
use crate::aws::{AwsError, Context, State};

/// Effects as EKS and as Kubernetes spell them.
const EFFECTS: [(&str, &str); 3] =
    [("NO_SCHEDULE", "NoSchedule"), ("PREFER_NO_SCHEDULE", "PreferNoSchedule"), ("NO_EXECUTE", "NoExecute")];

pub(super) fn create(state: &mut State, context: &Context, cluster: &str, body: &Value) -> Answer {
    if find(state, context, cluster)?.status(context.now, &context.latencies) != "ACTIVE" {
        return Err(invalid_request(format!("Cluster '{cluster}' is not in ACTIVE status")));
    }
    if body.get("launchTemplate").is_some_and(|it| !it.is_null()) {
        return Err(invalid_parameter("Launch templates are not emulated"));
    }
    let scaling = input::object(body, "scalingConfig")?;
    // EKS API reference, NodegroupScalingConfig; without one there are two nodes.
    let desired = input::number(scaling, "desiredSize")?.unwrap_or(2);
    let size = (
        input::number(scaling, "minSize")?.unwrap_or(desired.min(1)),
        desired,
        input::number(scaling, "maxSize")?.unwrap_or(desired.max(1)),
    );
    let mut instance_types = input::texts(body, "instanceTypes")?;
    if instance_types.is_empty() {
        instance_types.push("t3.medium".to_owned());
    }
    let tags = input::texts_by_name(body, "tags")?;
    tagging::check(&tags)?;
    let name = input::required_text(body, "nodegroupName")?;
    let new = NewNodegroup {
        name: name.clone(),
        instance_types,
        size,
        subnets: input::texts(body, "subnets")?,
        role_arn: input::required_text(body, "nodeRole")?,
        security_groups: Vec::new(),
        labels: input::texts_by_name(body, "labels")?,
        taints: input::objects(body, "taints")?.iter().map(taint).collect::<Result<_, _>>()?,
        tags,
        instance_tags: Tags::new(),
    };
    create_nodegroup(state, context, cluster, new)?;
    let record = find(state, context, cluster)?;
    Ok(json!({ "nodegroup": nodegroup(context, cluster, record, &name, find_nodegroup(record, &name)?, "CREATING") }))
}

fn taint(body: &Value) -> Result<Taint, AwsError> {
    let effect = input::required_text(body, "effect")?;
    let (_, kubernetes) = EFFECTS
        .iter()
        .find(|(eks, _)| *eks == effect)
        .ok_or_else(|| invalid_parameter(format!("'{effect}' is not an effect of a taint")))?;
    Ok(Taint {
        key: input::required_text(body, "key")?,
        value: input::text(body, "value")?.unwrap_or_default(),
        effect: (*kubernetes).to_owned(),
    })
}

pub(super) fn describe(state: &mut State, context: &Context, cluster: &str, name: &str) -> Answer {
    shown(state, context, cluster, name)
}

pub(super) fn delete(state: &mut State, context: &Context, cluster: &str, name: &str) -> Answer {
    begin_nodegroup_deletion(state, context, cluster, name)?;
    shown(state, context, cluster, name)
}

fn shown(state: &State, context: &Context, cluster: &str, name: &str) -> Answer {
    let record = find(state, context, cluster)?;
    let found = find_nodegroup(record, name)?;
    let status = found.status(context.now, &context.latencies);
    Ok(json!({ "nodegroup": nodegroup(context, cluster, record, name, found, status) }))
}

fn nodegroup(context: &Context, cluster: &str, record: &Cluster, name: &str, it: &Nodegroup, status: &str) -> Value {
    let taint = |taint: &Taint| {
        let known = EFFECTS.iter().find(|(_, kubernetes)| *kubernetes == taint.effect);
        let effect = known.map_or(taint.effect.as_str(), |(eks, _)| eks);
        json!({ "key": taint.key, "value": taint.value, "effect": effect })
    };
    let (min, desired, max) = it.size;
    json!({
        "nodegroupName": name,
        "nodegroupArn": arn(context, &format!("nodegroup/{cluster}/{name}/{}", it.id)),
        "clusterName": cluster,
        "version": record.version,
        "status": status,
        "createdAt": epoch_seconds(it.created),
        "modifiedAt": epoch_seconds(it.created),
        "scalingConfig": { "minSize": min, "desiredSize": desired, "maxSize": max },
        "instanceTypes": it.instance_types,
        "subnets": it.subnets,
        "nodeRole": it.role_arn,
        "amiType": "AL2023_x86_64_STANDARD",
        "capacityType": "ON_DEMAND",
        "labels": it.labels,
        "taints": it.taints.iter().map(taint).collect::<Vec<_>>(),
        "health": { "issues": [] },
        "tags": it.tags,
    })
}
