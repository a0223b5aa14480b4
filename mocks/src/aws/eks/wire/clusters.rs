//! Clusters on the wire.

use serde_json::json;

use super::{Answer, arn, input};
use crate::aws::eks::errors::invalid_parameter;
use crate::aws::eks::{Cluster, NewCluster, begin_deletion, create_cluster, find, tagging, versions};
use crate::aws::wire::time::epoch_seconds;
use crate::aws::{AwsError, Context, State};

pub(super) fn create(state: &mut State, context: &Context, body: &serde_json::Value) -> Answer {
    let vpc = input::object(body, "resourcesVpcConfig")?;
    let network = input::object(body, "kubernetesNetworkConfig")?;
    let compute = input::object(body, "computeConfig")?;
    if compute["enabled"] == true {
        return Err(invalid_parameter("EKS Auto Mode (computeConfig.enabled) is not emulated"));
    }
    if input::text(network, "ipFamily")?.is_some_and(|family| family != "ipv4") {
        return Err(invalid_parameter("Only the IP family ipv4 is emulated"));
    }
    let service_cidr = input::text(network, "serviceIpv4Cidr")?
        .map(|text| text.parse().map_err(|_| invalid_parameter(format!("'{text}' is not a valid CIDR block"))))
        .transpose()?;
    let name = input::required_text(body, "name")?;
    let tags = input::texts_by_name(body, "tags")?;
    tagging::check(&tags)?;
    let new = NewCluster {
        name: name.clone(),
        version: input::text(body, "version")?.unwrap_or_else(|| versions::DEFAULT.to_owned()),
        role_arn: input::required_text(body, "roleArn")?,
        subnets: input::texts(vpc, "subnetIds")?,
        security_groups: input::texts(vpc, "securityGroupIds")?,
        service_cidr,
        tags,
    };
    create_cluster(state, context, new)?;
    Ok(json!({ "cluster": cluster(context, &name, find(state, context, &name)?, "CREATING") }))
}

pub(super) fn describe(state: &mut State, context: &Context, name: &str) -> Answer {
    shown(state, context, name)
}

pub(super) fn delete(state: &mut State, context: &Context, name: &str) -> Answer {
    begin_deletion(state, context, name)?;
    shown(state, context, name)
}

fn shown(state: &State, context: &Context, name: &str) -> Result<serde_json::Value, AwsError> {
    let found = find(state, context, name)?;
    Ok(json!({ "cluster": cluster(context, name, found, found.status(context.now, &context.latencies)) }))
}

fn cluster(context: &Context, name: &str, it: &Cluster, status: &str) -> serde_json::Value {
    let mut shape = json!({
        "name": name,
        "arn": arn(context, &format!("cluster/{name}")),
        "version": it.version,
        "status": status,
        "createdAt": epoch_seconds(it.created),
        "roleArn": it.role_arn,
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
        "kubernetesNetworkConfig": { "serviceIpv4Cidr": it.service_cidr, "ipFamily": "ipv4" },
        "accessConfig": { "authenticationMode": "API_AND_CONFIG_MAP" },
        "computeConfig": { "enabled": false },
        "health": { "issues": [] },
        "logging": { "clusterLogging": [] },
        "upgradePolicy": { "supportType": "EXTENDED" },
        "tags": it.tags,
    });
    // Only a cluster that has come up has an endpoint and an issuer. Its Kubernetes API speaks plain HTTP here, so that
    // there is no certificate to trust.
    if status != "CREATING" && !it.endpoint.is_empty() {
        shape["endpoint"] = it.endpoint.clone().into();
        shape["certificateAuthority"] = json!({ "data": "" });
        let issuer = format!("https://oidc.eks.{}.amazonaws.com/id/{}", context.region, it.oidc_id);
        shape["identity"] = json!({ "oidc": { "issuer": issuer } });
    }
    shape
}
