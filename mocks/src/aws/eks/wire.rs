//! EKS's REST protocol.

use serde_json::{Value, json};

use crate::aws::eks::state::*;
use crate::aws::eks::{NewCluster, begin_deletion, create_addon, create_cluster, create_nodegroup, find};
use crate::aws::tags::Tags;
use crate::aws::wire::pagination::PageRequest;
use crate::aws::wire::params::Params;
use crate::aws::wire::time::epoch_seconds;
use crate::aws::{ACCOUNT, AwsError, Context, State};

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
) -> Result<Value, AwsError> {
    let segments: Vec<&str> = path_segments.iter().map(String::as_str).collect();
    match (method, segments.as_slice()) {
        ("GET", ["clusters"]) => {
            let here = state.eks.clusters.keys().filter(|(region, _)| *region == context.region);
            names("clusters", here.map(|(_, name)| name.clone()).collect(), query)
        }
        ("POST", ["clusters"]) => create(state, context, &body),
        ("GET", ["clusters", name]) => Ok(json!({ "cluster": cluster(state, context, name)? })),
        ("DELETE", ["clusters", name]) => {
            begin_deletion(state, context, name)?;
            Ok(json!({ "cluster": cluster(state, context, name)? }))
        }
        ("GET", ["clusters", name, "node-groups"]) => {
            names("nodegroups", find(state, context, name)?.nodegroups.keys().cloned().collect(), query)
        }
        ("POST", ["clusters", name, "node-groups"]) => create_group(state, context, name, &body),
        ("GET", ["clusters", name, "node-groups", group]) => {
            Ok(json!({ "nodegroup": nodegroup(state, context, name, group)? }))
        }
        ("DELETE", ["clusters", name, "node-groups", group]) => {
            let gone = nodegroup(state, context, name, group)?;
            let key = (context.region.clone(), (*name).to_owned());
            if let Some(cluster) = state.eks.clusters.get_mut(&key) {
                cluster.nodegroups.remove(*group);
            }
            Ok(json!({ "nodegroup": gone }))
        }
        ("GET", ["clusters", name, "addons"]) => {
            names("addons", find(state, context, name)?.addons.keys().cloned().collect(), query)
        }
        ("POST", ["clusters", name, "addons"]) => {
            let addon_name = text(&body, "addonName")?;
            let version = body["addonVersion"].as_str().unwrap_or("v1.0.0-eksbuild.1").to_owned();
            create_addon(
                state,
                context,
                name,
                &addon_name,
                Addon { version, created: context.now, tags: tags(&body) },
            )?;
            Ok(json!({ "addon": addon(state, context, name, &addon_name)? }))
        }
        ("GET", ["clusters", name, "addons", addon_name]) => {
            Ok(json!({ "addon": addon(state, context, name, addon_name)? }))
        }
        ("DELETE", ["clusters", name, "addons", addon_name]) => {
            let gone = addon(state, context, name, addon_name)?;
            let key = (context.region.clone(), (*name).to_owned());
            if let Some(cluster) = state.eks.clusters.get_mut(&key) {
                cluster.addons.remove(*addon_name);
            }
            Ok(json!({ "addon": gone }))
        }
        ("GET", ["clusters", name, "access-entries"]) => empty(state, context, name, "accessEntries"),
        ("GET", ["clusters", name, "pod-identity-associations"]) => empty(state, context, name, "associations"),
        ("GET", ["clusters", name, "fargate-profiles"]) => empty(state, context, name, "fargateProfileNames"),
        ("GET", ["tags", arn]) => Ok(json!({ "tags": tags_of(state, context, arn)?.clone() })),
        ("POST", ["tags", arn]) => {
            let added = tags(&body);
            tags_of(state, context, arn)?.extend(added);
            Ok(json!({}))
        }
        ("DELETE", ["tags", arn]) => {
            let keys: Vec<String> = query.get("tagKeys").map(str::to_owned).into_iter().collect();
            tags_of(state, context, arn)?.retain(|key, _| !keys.contains(key));
            Ok(json!({}))
        }
        _ => Err(AwsError::not_emulated("EKS", &format!("{method} /{}", path_segments.join("/")))),
    }
}

/// A page of names.
fn names(key: &str, all: Vec<String>, query: &Params) -> Result<Value, AwsError> {
    let page = PageRequest::eks(query, key)?.page(all, String::as_str);
    let mut answer = json!({ key: page.items });
    if let Some(next) = page.next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

fn empty(state: &State, context: &Context, name: &str, key: &str) -> Result<Value, AwsError> {
    find(state, context, name)?;
    Ok(json!({ key: [] }))
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::client("InvalidParameterException", message)
}

fn text(body: &Value, key: &str) -> Result<String, AwsError> {
    body[key].as_str().map(str::to_owned).ok_or_else(|| invalid(format!("The parameter {key} is missing")))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

fn tags(body: &Value) -> Tags {
    let pairs = body["tags"].as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn create(state: &mut State, context: &Context, body: &Value) -> Result<Value, AwsError> {
    let network = &body["resourcesVpcConfig"];
    let service_cidr = match body["kubernetesNetworkConfig"]["serviceIpv4Cidr"].as_str() {
        Some(cidr) => cidr.parse().map_err(|_| invalid(format!("'{cidr}' is no CIDR block")))?,
        None => ipnet::Ipv4Net::new_assert([10, 100, 0, 0].into(), 16),
    };
    let name = text(body, "name")?;
    let new = NewCluster {
        name: name.clone(),
        version: body["version"].as_str().unwrap_or("1.34").to_owned(),
        subnets: texts(&network["subnetIds"]),
        security_groups: texts(&network["securityGroupIds"]),
        service_cidr,
        tags: tags(body),
    };
    create_cluster(state, context, new)?;
    let mut made = cluster(state, context, &name)?;
    made["status"] = "CREATING".into();
    Ok(json!({ "cluster": made }))
}

fn arn(context: &Context, rest: &str) -> String {
    format!("arn:aws:eks:{}:{ACCOUNT}:{rest}", context.region)
}

fn cluster(state: &State, context: &Context, name: &str) -> Result<Value, AwsError> {
    let it = find(state, context, name)?;
    let status = it.status(context.now, &context.latencies);
    let issuer = format!("https://oidc.eks.{}.amazonaws.com/id/{}", context.region, name.to_ascii_uppercase());
    let mut shape = json!({
        "name": name,
        "arn": arn(context, &format!("cluster/{name}")),
        "version": it.version,
        "status": status,
        "createdAt": epoch_seconds(it.created),
        "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/eksctl-{name}-cluster-ServiceRole"),
        "platformVersion": "eks.1",
        "resourcesVpcConfig": {
            "vpcId": it.vpc,
            "subnetIds": it.subnets,
            "securityGroupIds": it.security_groups,
            "clusterSecurityGroupId": it.cluster_security_group,
            "endpointPublicAccess": true,
            "endpointPrivateAccess": false,
            "publicAccessCidrs": ["0.0.0.0/0"],
        },
        "kubernetesNetworkConfig": { "serviceIpv4Cidr": it.service_cidr.to_string(), "ipFamily": "ipv4" },
        "accessConfig": { "authenticationMode": "API_AND_CONFIG_MAP" },
        "identity": { "oidc": { "issuer": issuer } },
        "computeConfig": { "enabled": false },
        "logging": { "clusterLogging": [] },
        "tags": it.tags,
    });
    // Only a cluster that has come up has an endpoint. The emulated one speaks HTTP, so its certificate is empty.
    if status != "CREATING" && !it.endpoint.is_empty() {
        shape["endpoint"] = it.endpoint.clone().into();
        shape["certificateAuthority"] = json!({ "data": "" });
    }
    Ok(shape)
}

fn create_group(state: &mut State, context: &Context, name: &str, body: &Value) -> Result<Value, AwsError> {
    let group = text(body, "nodegroupName")?;
    let nodegroup_record = Nodegroup {
        instance_types: texts(&body["instanceTypes"]),
        desired: body["scalingConfig"]["desiredSize"].as_u64().and_then(|it| u32::try_from(it).ok()).unwrap_or(2),
        subnets: texts(&body["subnets"]),
        created: context.now,
        tags: tags(body),
    };
    create_nodegroup(state, context, name, &group, nodegroup_record)?;
    Ok(json!({ "nodegroup": nodegroup(state, context, name, &group)? }))
}

fn nodegroup(state: &State, context: &Context, name: &str, group: &str) -> Result<Value, AwsError> {
    let missing =
        || AwsError::with_status(404, "ResourceNotFoundException", format!("No node group found for name: {group}."));
    let it = find(state, context, name)?.nodegroups.get(group).ok_or_else(missing)?;
    Ok(json!({
        "nodegroupName": group,
        "nodegroupArn": arn(context, &format!("nodegroup/{name}/{group}")),
        "clusterName": name,
        "status": it.status(context.now, &context.latencies),
        "createdAt": epoch_seconds(it.created),
        "scalingConfig": { "desiredSize": it.desired, "minSize": it.desired, "maxSize": it.desired },
        "instanceTypes": it.instance_types,
        "subnets": it.subnets,
        "amiType": "AL2023_x86_64_STANDARD",
        "capacityType": "ON_DEMAND",
        "health": { "issues": [] },
        "tags": it.tags,
    }))
}

fn addon(state: &State, context: &Context, name: &str, addon: &str) -> Result<Value, AwsError> {
    let missing = || {
        AwsError::with_status(404, "ResourceNotFoundException", format!("No addon: {addon} found in cluster: {name}"))
    };
    let it = find(state, context, name)?.addons.get(addon).ok_or_else(missing)?;
    Ok(json!({
        "addonName": addon,
        "addonArn": arn(context, &format!("addon/{name}/{addon}")),
        "addonVersion": it.version,
        "clusterName": name,
        "status": "ACTIVE",
        "health": { "issues": [] },
        "createdAt": epoch_seconds(it.created),
        "tags": it.tags,
    }))
}

fn tags_of<'a>(state: &'a mut State, context: &Context, arn: &str) -> Result<&'a mut Tags, AwsError> {
    let missing = || AwsError::with_status(404, "NotFoundException", format!("No resource found for ARN: {arn}"));
    let name = arn.split_once(":cluster/").map(|(_, name)| name).ok_or_else(missing)?;
    let key = (context.region.clone(), name.to_owned());
    state.eks.clusters.get_mut(&key).map(|cluster| &mut cluster.tags).ok_or_else(missing)
}
