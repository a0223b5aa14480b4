//! What is on the wire: tables, metadata, discovery, content types, errors of HTTP.

use super::*;

async fn call(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = soon(request.send()).await.unwrap();
    let code = response.status().as_u16();
    let text = response.text().await.unwrap();
    (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn get(server: &ApiServer, path: &str, accept: &str) -> reqwest::RequestBuilder {
    reqwest::Client::new().get(format!("{}{path}", server.url())).header("accept", accept)
}

#[tokio::test]
async fn tables() {
    let server = server().await;
    create(&Api::default_namespaced(server.client()), &pod("p")).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (code, table) = call(get(&server, "/api/v1/namespaces/default/pods", accept)).await;
    assert_eq!((code, &table["kind"]), (200, &json!("Table")));
    assert_eq!(table["columnDefinitions"][1]["name"], "Ready");
    assert_eq!(table["rows"][0]["cells"], json!(["p", "0/1", "Pending", "0", "0s", "<none>", "n1"]));
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "p");
}

#[tokio::test]
async fn metadata_only() {
    let server = server().await;
    let api: Api<Namespace> = Api::all(server.client());
    assert_eq!(api.list_metadata(&kube::api::ListParams::default()).await.unwrap().items.len(), 4);
    assert_eq!(api.get_metadata("default").await.unwrap().metadata.name.as_deref(), Some("default"));
}

#[tokio::test]
async fn discovery_in_both_forms() {
    let server = server().await;
    let client = server.client();
    assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.34.2");
    let legacy = kube::Discovery::new(client.clone()).run().await.unwrap();
    let aggregated = kube::Discovery::new(client).run_aggregated().await.unwrap();
    for discovery in [legacy, aggregated] {
        let mut names = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let subresources = capabilities.subresources.len();
                names.push(format!("{}/{}+{subresources}", group.name(), resource.plural));
            }
        }
        assert!(names.contains(&"/pods+6".to_owned()), "{names:?}");
        assert!(names.contains(&"apps/deployments+2".to_owned()), "{names:?}");
        assert!(names.contains(&"apiextensions.k8s.io/customresourcedefinitions+1".to_owned()), "{names:?}");
    }
}

#[rstest::rstest]
#[case("/healthz", 200)]
#[case("/readyz", 200)]
#[case("/livez/ping", 200)]
#[case("/openapi/v3", 200)]
#[case("/openapi/v3/apis/apps/v1", 200)]
#[case("/nowhere", 404)]
#[case("/api/v2/pods", 404)]
#[case("/apis/apps/v1/nothings", 404)]
#[case("/api/v1/pods/no-namespace", 404)]
#[case("/api/v1/namespaces/default/nodes", 404)]
#[case("/api/v1/pods?labelSelector=a%20b", 400)]
#[case("/api/v1/pods?fieldSelector=spec.x%3D1", 400)]
#[case("/api/v1/pods?limit=many", 400)]
#[case("/api/v1/pods?resourceVersion=999999", 504)]
#[tokio::test]
async fn codes(#[case] path: &str, #[case] code: u16) {
    let server = server().await;
    assert_eq!(call(get(&server, path, "*/*")).await.0, code);
}

#[tokio::test]
async fn bodies_are_read_or_refused() {
    let server = server().await;
    let post = |content_type: &str, body: &str| {
        let url = format!("{}/api/v1/namespaces/default/configmaps", server.url());
        call(reqwest::Client::new().post(url).header("content-type", content_type).body(body.to_owned()))
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: b\n";
    let (code, made) = post("application/yaml", yaml).await;
    assert_eq!((code, &made["data"]["a"]), (201, &json!("b")));
    for (content_type, body, expected) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", r#"{"kind":"Secret"}"#, 400),
        ("application/json", r#"{"apiVersion":"v2"}"#, 400),
        ("application/json", r#"{"metadata":{"name":"x"},"data":{"a":1}}"#, 400),
        ("application/json", r#"{"metadata":{"name":"x","namespace":"other"}}"#, 400),
        ("application/vnd.kubernetes.protobuf", "k8s", 415),
    ] {
        let (code, status) = post(content_type, body).await;
        assert_eq!((code, &status["kind"]), (expected, &json!("Status")), "{body}");
    }
    let (code, _) = post("application/json", &" ".repeat(3 * 1024 * 1024 + 1)).await;
    assert_eq!(code, 413);
    let (code, _) = call(reqwest::Client::new().put(format!("{}/api/v1/pods", server.url()))).await;
    assert_eq!(code, 405);
    assert_eq!(call(get(&server, "/api/v1/pods", "text/html")).await.0, 406);
}

#[tokio::test]
async fn unknown_fields_are_dropped_warned_of_or_refused() {
    let server = server().await;
    let post = |name: &str, validation: &str| {
        let url = format!("{}/api/v1/namespaces/default/configmaps?fieldValidation={validation}", server.url());
        reqwest::Client::new().post(url).json(&json!({ "metadata": { "name": name, "odd": 1 }, "dta": {} }))
    };
    let response = post("a", "Warn").send().await.unwrap();
    let warnings: Vec<_> = response.headers().get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(warnings, [r#"299 - "unknown field \"metadata.odd\"""#, r#"299 - "unknown field \"dta\"""#]);
    let (code, made) = call(post("b", "Ignore")).await;
    assert_eq!((code, made.get("dta")), (201, None));
    let (code, status) = call(post("c", "Strict")).await;
    assert_eq!(code, 400);
    assert!(status["message"].as_str().unwrap().contains("unknown field"), "{status}");
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let server = server().await;
    let listen = server.url().trim_start_matches("http://").parse().unwrap();
    let error = ApiServer::start(ApiServerConfig { listen, ..ApiServerConfig::default() }).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let tiny = ApiServerConfig { service_cidr: "10.0.0.0/32".parse().unwrap(), ..ApiServerConfig::default() };
    assert_eq!(ApiServer::start(tiny).await.err().unwrap().kind(), std::io::ErrorKind::InvalidInput);
}
