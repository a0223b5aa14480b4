//! Clusters, their tags, and the versions there are.

use rstest::rstest;
use serde_json::{Value, json};

use super::{REGION, Site};
use crate::aws::eks;
use crate::clock::Latencies;

#[test]
fn a_cluster_comes_up_with_its_group_and_interfaces() {
    let site = Site::with(Latencies::REALISTIC);
    let made = site.create();
    let made = &made["cluster"];
    assert_eq!(made["status"], "CREATING");
    assert!(made.get("endpoint").is_none() && made.get("certificateAuthority").is_none());
    let clock = site.aws.clock();
    assert_eq!(site.get("/clusters/one")["cluster"]["status"], "CREATING");
    clock.advance(Latencies::REALISTIC.cluster_create);
    let seen = site.get("/clusters/one");
    let seen = &seen["cluster"];
    assert_eq!(seen["status"], "ACTIVE");
    assert_eq!(seen["arn"], "arn:aws:eks:us-west-2:123456789012:cluster/one");
    assert_eq!(seen["endpoint"], "http://127.0.0.1:1");
    assert!(seen["certificateAuthority"]["data"].is_string());
    let issuer = seen["identity"]["oidc"]["issuer"].as_str().unwrap();
    let id = issuer.strip_prefix("https://oidc.eks.us-west-2.amazonaws.com/id/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()), "{id}");
    assert_eq!(seen["kubernetesNetworkConfig"], json!({ "serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4" }));
    assert_eq!(seen["computeConfig"]["enabled"], false);
    let vpc = &seen["resourcesVpcConfig"];
    assert_eq!((vpc["vpcId"].as_str(), &vpc["subnetIds"]), (Some(site.vpc.as_str()), &json!(site.subnets)));
    let group = vpc["clusterSecurityGroupId"].as_str().unwrap();
    site.aws.read(REGION, |state, _| {
        let tags = &state.ec2.security_groups[group].tags;
        assert!(tags["Name"].starts_with("eks-cluster-sg-one-"));
        assert_eq!(tags["kubernetes.io/cluster/one"], "owned");
        assert_eq!(tags["aws:eks:cluster-name"], "one");
        let plane: Vec<_> = state.ec2.interfaces.values().filter(|it| it.description == "Amazon EKS one").collect();
        assert_eq!(plane.len(), 2);
        assert!(plane.iter().all(|it| it.groups == [group, &site.group]));
        assert_ne!(plane[0].subnet, plane[1].subnet);
    });
}

#[test]
fn a_deleted_cluster_takes_its_group_and_interfaces_with_it() {
    let site = Site::with(Latencies::REALISTIC);
    site.create();
    let clock = site.aws.clock();
    clock.advance(Latencies::REALISTIC.cluster_create);
    assert_eq!(site.ok("DELETE", "/clusters/one", &Value::Null)["cluster"]["status"], "DELETING");
    assert_eq!(site.get("/clusters/one")["cluster"]["status"], "DELETING");
    clock.advance(Latencies::REALISTIC.cluster_delete);
    assert_eq!(site.refused("GET", "/clusters/one", &Value::Null), (404, "ResourceNotFoundException".to_owned()));
    site.aws.read(REGION, |state, _| {
        assert!(state.ec2.interfaces.is_empty());
        assert!(state.ec2.security_groups.values().all(|it| !it.name.starts_with("eks-")));
    });
    assert_eq!(site.refused("DELETE", "/clusters/one", &Value::Null).0, 404);
}

#[rstest]
#[case::name(json!({ "name": "-one" }), 400, "InvalidParameterException")]
#[case::no_name(json!({ "name": null }), 400, "InvalidParameterException")]
#[case::name_is_a_number(json!({ "name": 1 }), 400, "InvalidParameterException")]
#[case::no_role(json!({ "roleArn": null }), 400, "InvalidParameterException")]
#[case::version(json!({ "version": "1.19" }), 400, "InvalidParameterException")]
#[case::no_subnets(json!({ "resourcesVpcConfig": { "subnetIds": [] } }), 400, "InvalidParameterException")]
#[case::subnets_are_text(json!({ "resourcesVpcConfig": { "subnetIds": "x" } }), 400, "InvalidParameterException")]
#[case::unknown_subnet(json!({ "resourcesVpcConfig": { "subnetIds": ["subnet-1"] } }), 400, "InvalidParameterException")]
#[case::group(json!({ "resourcesVpcConfig": { "securityGroupIds": ["sg-1"] } }), 400, "InvalidParameterException")]
#[case::overlap(json!({ "kubernetesNetworkConfig": { "serviceIpv4Cidr": "10.1.0.0/20" } }), 400, "InvalidParameterException")]
#[case::around(json!({ "kubernetesNetworkConfig": { "serviceIpv4Cidr": "10.0.0.0/12" } }), 400, "InvalidParameterException")]
#[case::public(json!({ "kubernetesNetworkConfig": { "serviceIpv4Cidr": "8.8.0.0/16" } }), 400, "InvalidParameterException")]
#[case::small(json!({ "kubernetesNetworkConfig": { "serviceIpv4Cidr": "10.9.0.0/25" } }), 400, "InvalidParameterException")]
#[case::no_block(json!({ "kubernetesNetworkConfig": { "serviceIpv4Cidr": "ten" } }), 400, "InvalidParameterException")]
#[case::six(json!({ "kubernetesNetworkConfig": { "ipFamily": "ipv6" } }), 400, "InvalidParameterException")]
#[case::auto_mode(json!({ "computeConfig": { "enabled": true } }), 400, "InvalidParameterException")]
#[case::reserved_tag(json!({ "tags": { "aws:x": "y" } }), 400, "InvalidParameterException")]
#[case::taken(json!({ "name": "taken" }), 409, "ResourceInUseException")]
fn what_no_cluster_can_be_is_refused_and_leaves_nothing(
    #[case] changed: Value,
    #[case] status: u16,
    #[case] code: &str,
) {
    let site = Site::new();
    site.ok("POST", "/clusters", &site.cluster(&json!({ "name": "taken" })));
    let count = || site.aws.read(REGION, |state, _| (state.ec2.interfaces.len(), state.ec2.security_groups.len()));
    let before = count();
    assert_eq!(site.refused("POST", "/clusters", &site.cluster(&changed)), (status, code.to_owned()));
    assert_eq!(count(), before);
    assert_eq!(site.get("/clusters")["clusters"], json!(["taken"]));
}

#[test]
fn subnets_are_in_two_zones_at_least() {
    let site = Site::new();
    let one = site.cluster(&json!({ "resourcesVpcConfig": { "subnetIds": [site.subnets[0]] } }));
    let (_, _, body) = site.send("POST", "/clusters", &one);
    assert_eq!(body["message"], "Subnets specified must be in at least two different AZs");
}

#[rstest]
#[case("10.1.0.0/16", "172.20.0.0/16")]
#[case("10.100.0.0/16", "172.20.0.0/16")]
#[case("192.168.0.0/16", "10.100.0.0/16")]
#[case("172.20.0.0/16", "10.100.0.0/16")]
fn the_service_block_depends_on_the_vpc(#[case] vpc: &str, #[case] expected: &str) {
    assert_eq!(eks::default_service_cidr(vpc.parse().unwrap()), expected.parse().unwrap());
}

#[test]
fn tags_are_added_read_and_removed_by_arn() {
    let site = Site::new();
    site.create();
    let path = "/tags/arn%3Aaws%3Aeks%3Aus-west-2%3A123456789012%3Acluster%2Fone";
    site.ok("POST", path, &json!({ "tags": { "a": "1", "b": "2", "c": "3" } }));
    assert_eq!(site.get(path)["tags"], json!({ "a": "1", "b": "2", "c": "3", "run": "r1" }));
    site.ok("DELETE", &format!("{path}?tagKeys=a&tagKeys=c"), &Value::Null);
    let plain = "/tags/arn:aws:eks:us-west-2:123456789012:cluster/one";
    assert_eq!(site.get(plain)["tags"], json!({ "b": "2", "run": "r1" }));
    assert_eq!(site.get("/clusters/one")["cluster"]["tags"]["b"], "2");
    assert_eq!(
        site.refused("GET", &plain.replace("/one", "/two"), &Value::Null),
        (404, "NotFoundException".to_owned())
    );
    assert_eq!(site.refused("GET", "/tags/arn", &Value::Null), (400, "BadRequestException".to_owned()));
    let many: serde_json::Map<_, _> = (0..50).map(|n| (n.to_string(), json!("x"))).collect();
    assert_eq!(site.refused("POST", path, &json!({ "tags": many })), (400, "InvalidParameterException".to_owned()));
}

#[test]
fn what_a_cluster_never_has_is_listed_as_empty() {
    let site = Site::new();
    site.create();
    for (path, key) in [
        ("access-entries", "accessEntries"),
        ("pod-identity-associations", "associations"),
        ("fargate-profiles", "fargateProfileNames"),
        ("capabilities", "capabilities"),
    ] {
        assert_eq!(site.get(&format!("/clusters/one/{path}"))[key], json!([]));
        assert_eq!(site.refused("GET", &format!("/clusters/two/{path}"), &Value::Null).0, 404);
    }
    assert_eq!(site.refused("POST", "/clusters/one/update-config", &json!({})).1, "InvalidAction");
}

#[test]
fn clusters_are_listed_in_pages_of_their_region() {
    let site = Site::new();
    for name in ["b", "a", "c"] {
        site.ok("POST", "/clusters", &site.cluster(&json!({ "name": name })));
    }
    let first = site.get("/clusters?maxResults=2");
    assert_eq!(first["clusters"], json!(["a", "b"]));
    let token = first["nextToken"].as_str().unwrap();
    let rest = site.get(&format!("/clusters?maxResults=2&nextToken={token}"));
    assert_eq!(rest, json!({ "clusters": ["c"] }));
    let elsewhere = site.aws.read("us-east-1", |state, context| eks::find(state, context, "a").is_ok());
    assert!(!elsewhere);
}

#[test]
fn versions_are_told() {
    let site = Site::new();
    let default = site.get("/cluster-versions?defaultOnly=true");
    assert_eq!(default["clusterVersions"][0]["clusterVersion"], "1.34");
    let two = site.get("/cluster-versions?clusterVersions=1.30&clusterVersions=1.36");
    let names: Vec<_> = two["clusterVersions"].as_array().unwrap().iter().map(|it| &it["clusterVersion"]).collect();
    assert_eq!(names, ["1.36", "1.30"]);
    let coredns = site.get("/addons/supported-versions?addonName=coredns&kubernetesVersion=1.34");
    assert_eq!(coredns["addons"][0]["addonVersions"][0]["addonVersion"], "v1.13.2-eksbuild.1");
}
