//! Add-ons and their updates.

use rstest::rstest;
use serde_json::{Value, json};

use super::Site;

const PATH: &str = "/clusters/one/addons";

#[test]
fn an_add_on_is_created_updated_and_deleted() {
    let site = Site::new();
    site.create();
    let made = site.ok("POST", PATH, &json!({ "addonName": "coredns", "resolveConflicts": "OVERWRITE" }));
    assert_eq!(made["addon"]["status"], "CREATING");
    assert_eq!(made["addon"]["addonVersion"], "v1.13.2-eksbuild.1");
    assert_eq!(site.get(&format!("{PATH}/coredns"))["addon"]["status"], "ACTIVE");
    assert_eq!(site.get(PATH), json!({ "addons": ["coredns"] }));

    let configured = json!({ "configurationValues": "{\"corefile\": \".:53 {}\"}", "resolveConflicts": "PRESERVE" });
    let update = site.ok("POST", &format!("{PATH}/coredns/update"), &configured);
    assert_eq!(update["update"]["status"], "InProgress");
    assert_eq!(update["update"]["type"], "AddonUpdate");
    let id = update["update"]["id"].as_str().unwrap();
    assert_eq!(site.get(&format!("/clusters/one/updates/{id}?addonName=coredns"))["update"]["status"], "Successful");
    assert_eq!(site.get("/clusters/one/updates?addonName=coredns"), json!({ "updateIds": [id] }));
    assert_eq!(site.get("/clusters/one/updates?addonName=vpc-cni"), json!({ "updateIds": [] }));
    let seen = site.get(&format!("{PATH}/coredns"));
    assert_eq!(seen["addon"]["configurationValues"], configured["configurationValues"]);
    assert_eq!(seen["addon"]["addonVersion"], "v1.13.2-eksbuild.1", "as it was");

    let arn = seen["addon"]["addonArn"].as_str().unwrap();
    site.ok("POST", &format!("/tags/{arn}"), &json!({ "tags": { "a": "1" } }));
    assert_eq!(site.get(&format!("{PATH}/coredns"))["addon"]["tags"], json!({ "a": "1" }));

    let deleted = site.ok("DELETE", &format!("{PATH}/coredns"), &Value::Null);
    assert_eq!(deleted["addon"]["status"], "DELETING");
    assert_eq!(
        site.refused("GET", &format!("{PATH}/coredns"), &Value::Null),
        (404, "ResourceNotFoundException".to_owned())
    );
}

#[rstest]
#[case::unknown("POST", "", json!({ "addonName": "istio" }), 400, "InvalidParameterException")]
#[case::version("POST", "", json!({ "addonName": "coredns", "addonVersion": "1.0" }), 400, "InvalidParameterException")]
#[case::conflicts("POST", "", json!({ "addonName": "coredns", "resolveConflicts": "ASK" }), 400, "InvalidParameterException")]
#[case::values("POST", "", json!({ "addonName": "coredns", "configurationValues": "[" }), 400, "InvalidParameterException")]
#[case::no_name("POST", "", json!({}), 400, "InvalidParameterException")]
#[case::again("POST", "", json!({ "addonName": "vpc-cni" }), 409, "ResourceInUseException")]
#[case::update_of_none("POST", "/coredns/update", json!({}), 404, "ResourceNotFoundException")]
#[case::delete_of_none("DELETE", "/coredns", Value::Null, 404, "ResourceNotFoundException")]
#[case::not_json("POST", "/vpc-cni/update", json!({ "addonVersion": 1 }), 400, "InvalidParameterException")]
fn what_cannot_be_done_is_refused(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: Value,
    #[case] status: u16,
    #[case] code: &str,
) {
    let site = Site::new();
    site.create();
    site.ok("POST", PATH, &json!({ "addonName": "vpc-cni" }));
    assert_eq!(site.refused(method, &format!("{PATH}{path}"), &body), (status, code.to_owned()));
}
