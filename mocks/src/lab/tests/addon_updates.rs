//! Updates of the add-on coredns, after somebody has edited the Corefile.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};

use super::{ONE, Side, config, lab, until};
use crate::lab::addons::COREFILE;

const EDITED: &str = ".:53 {\n    whoami\n}\n";
const CONFIGURED: &str = ".:53 {\n    whoami\n    reload\n}\n";

#[rstest]
#[case::overwrite(json!({ "resolveConflicts": "OVERWRITE" }), "Successful", COREFILE)]
#[case::preserve(json!({ "resolveConflicts": "PRESERVE" }), "Successful", EDITED)]
#[case::none(json!({ "resolveConflicts": "NONE" }), "Failed", EDITED)]
#[case::not_said(json!({}), "Failed", EDITED)]
#[case::configured(
    json!({ "resolveConflicts": "OVERWRITE", "configurationValues": json!({ "corefile": CONFIGURED }).to_string() }),
    "Successful",
    CONFIGURED
)]
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_corefile(#[case] update: Value, #[case] status: &str, #[case] corefile: &str) {
    let lab = lab().await;
    lab.create_cluster(&config(ONE)).await.expect("a cluster");
    let side = Side::new(&lab, ONE, "ns-1").await;
    let api: Api<ConfigMap> = Api::namespaced(side.client.clone(), "kube-system");
    let edit = Patch::Merge(json!({ "data": { "Corefile": EDITED } }));
    api.patch("coredns", &PatchParams::default(), &edit).await.expect("an edit");

    let url = |path: &str| format!("{}/clusters/{}/{path}", lab.aws_url(), ONE.0);
    let http = reqwest::Client::new();
    let credential = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{}/eks/aws4_request, SignedHeaders=host, Signature=0",
        ONE.1
    );
    let send = |request: reqwest::RequestBuilder| {
        let request = request.header("authorization", &credential).header("content-type", "application/json");
        async { request.send().await.expect("an answer").json::<Value>().await.expect("JSON") }
    };
    let made = send(http.post(url("addons/coredns/update")).body(update.to_string())).await;
    let id = made["update"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let done = until("the update is carried out", || async {
        let seen = send(http.get(url(&format!("updates/{id}?addonName=coredns")))).await;
        (seen["update"]["status"] != "InProgress").then_some(seen)
    })
    .await;
    assert_eq!(done["update"]["status"], status, "{done}");
    let code = done["update"]["errors"][0]["errorCode"].as_str();
    assert_eq!(code, (status == "Failed").then_some("ConfigurationConflict"));
    let seen = api.get("coredns").await.expect("the ConfigMap").data.expect("data");
    assert_eq!(seen["Corefile"], corefile);
    lab.shutdown().await;
}
