//! Managed node groups.

use rstest::rstest;
use serde_json::{Value, json};

use super::{REGION, Site, merge};
use crate::clock::Latencies;

const PATH: &str = "/clusters/one/node-groups";

fn group(site: &Site, changed: &Value) -> Value {
    let mut body = json!({
        "nodegroupName": "workers",
        "nodeRole": "arn:aws:iam::123456789012:role/node",
        "subnets": site.subnets[..2],
        "instanceTypes": ["c5.2xlarge"],
        "scalingConfig": { "minSize": 1, "desiredSize": 3, "maxSize": 4 },
        "labels": { "dedicated": "tidb" },
        "taints": [{ "key": "dedicated", "value": "tidb", "effect": "NO_SCHEDULE" }],
        "tags": { "run": "r1" },
    });
    merge(&mut body, changed);
    body
}

#[test]
fn its_nodes_carry_the_clusters_group_and_are_spread() {
    let site = Site::new();
    let cluster = site.create();
    let own = &cluster["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"];
    assert_eq!(site.ok("POST", PATH, &group(&site, &json!({})))["nodegroup"]["status"], "CREATING");
    let seen = site.get(&format!("{PATH}/workers"));
    let seen = &seen["nodegroup"];
    assert_eq!(seen["status"], "ACTIVE");
    assert_eq!(seen["scalingConfig"], json!({ "minSize": 1, "desiredSize": 3, "maxSize": 4 }));
    assert_eq!(seen["taints"][0]["effect"], "NO_SCHEDULE");
    assert_eq!(site.get(PATH), json!({ "nodegroups": ["workers"] }));
    site.aws.read(REGION, |state, _| {
        let instances: Vec<_> = state.ec2.instances.values().collect();
        assert_eq!(instances.len(), 3);
        for subnet in &site.subnets[..2] {
            assert!(instances.iter().any(|it| it.subnet == *subnet));
        }
        for instance in instances {
            assert_eq!(json!(state.ec2.interfaces[&instance.interface].groups), json!([own]));
            assert_eq!(instance.tags["eks:nodegroup-name"], "workers");
            assert_eq!(instance.tags["kubernetes.io/cluster/one"], "owned");
            assert_eq!(instance.instance_type, "c5.2xlarge");
        }
    });
    let tags = format!("/tags/{}", seen["nodegroupArn"].as_str().unwrap());
    assert_eq!(site.get(&tags)["tags"], json!({ "run": "r1" }));
}

#[test]
fn it_goes_with_its_instances_and_before_the_cluster() {
    let site = Site::with(Latencies::REALISTIC);
    site.create();
    let clock = site.aws.clock();
    assert_eq!(
        site.refused("POST", PATH, &group(&site, &json!({}))),
        (400, "InvalidRequestException".to_owned()),
        "the cluster is not active yet"
    );
    clock.advance(Latencies::REALISTIC.cluster_create);
    site.ok("POST", PATH, &group(&site, &json!({})));
    let status = || site.get(&format!("{PATH}/workers"))["nodegroup"]["status"].clone();
    assert_eq!(status(), "CREATING");
    clock.advance(Latencies::REALISTIC.nodegroup_create);
    assert_eq!(status(), "ACTIVE");
    assert_eq!(site.refused("DELETE", "/clusters/one", &Value::Null), (409, "ResourceInUseException".to_owned()));
    let deleted = site.ok("DELETE", &format!("{PATH}/workers"), &Value::Null);
    assert_eq!(deleted["nodegroup"]["status"], "DELETING");
    assert_eq!(status(), "DELETING");
    clock.advance(Latencies::REALISTIC.cluster_delete);
    assert_eq!(site.refused("GET", &format!("{PATH}/workers"), &Value::Null).0, 404);
    site.aws.read(REGION, |state, _| assert!(state.ec2.instances.values().all(|it| it.state == "terminated")));
    assert_eq!(site.refused("DELETE", &format!("{PATH}/workers"), &Value::Null).0, 404);
    site.ok("DELETE", "/clusters/one", &Value::Null);
}

#[rstest]
#[case::name(json!({ "nodegroupName": "-" }), 400, "InvalidParameterException")]
#[case::sizes(json!({ "scalingConfig": { "minSize": 4 } }), 400, "InvalidParameterException")]
#[case::negative(json!({ "scalingConfig": { "minSize": -1 } }), 400, "InvalidParameterException")]
#[case::subnet(json!({ "subnets": ["subnet-1"] }), 400, "InvalidParameterException")]
#[case::effect(json!({ "taints": [{ "key": "a", "effect": "NoSchedule" }] }), 400, "InvalidParameterException")]
#[case::label(json!({ "labels": { "a": 1 } }), 400, "InvalidParameterException")]
#[case::template(json!({ "launchTemplate": { "id": "lt-1" } }), 400, "InvalidParameterException")]
#[case::taken(json!({ "nodegroupName": "taken" }), 409, "ResourceInUseException")]
fn what_no_node_group_can_be_is_refused(#[case] changed: Value, #[case] status: u16, #[case] code: &str) {
    let site = Site::new();
    site.create();
    site.ok("POST", PATH, &group(&site, &json!({ "nodegroupName": "taken" })));
    assert_eq!(site.refused("POST", PATH, &group(&site, &changed)), (status, code.to_owned()));
    site.aws.read(REGION, |state, _| assert_eq!(state.ec2.instances.len(), 3));
}

#[test]
fn without_addresses_none_of_its_instances_remain() {
    let site = Site::new();
    site.create();
    let many = group(&site, &json!({ "scalingConfig": { "desiredSize": 600, "maxSize": 600 } }));
    assert_eq!(site.refused("POST", PATH, &many).1, "InsufficientFreeAddressesInSubnet");
    site.aws.read(REGION, |state, _| {
        assert!(state.ec2.instances.values().all(|it| it.state == "terminated"));
        assert_eq!(state.ec2.interfaces.len(), 2, "the control plane's");
    });
}
