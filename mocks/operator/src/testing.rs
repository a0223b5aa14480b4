//! What tests of the operator need: the network of programs' tests with names in it, HTTP servers with given answers, and
//! an API server that knows the operator's types.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use acrossk8s_mocks::workloads::dns::{Request, Responder, Server, reply_to};
use acrossk8s_mocks::workloads::testing::{Net as Hosts, Rig};
use acrossk8s_mocks::workloads::{Container, ResolvConf};
use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use http::{Method, StatusCode};
use parking_lot::Mutex;

/// Answers by method and path.
pub(crate) type Answers = Arc<Mutex<BTreeMap<String, String>>>;

/// Where the name server is.
const NAME_SERVER: [u8; 4] = [10, 0, 0, 2];

/// The names that there are.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, Ipv4Addr>>>);

#[async_trait]
impl Responder for Names {
    async fn respond(&self, request: Request) -> Message {
        let query = &request.message;
        let name = query.queries[0].name().clone();
        let Some(address) = self.0.lock().get(&name.to_ascii()).copied() else {
            return reply_to(query, ResponseCode::NXDomain);
        };
        let mut reply = reply_to(query, ResponseCode::NoError);
        reply.add_answer(Record::from_rdata(name, 0, RData::A(A(address))));
        reply
    }
}

/// The network.
pub(crate) struct Net {
    hosts: Hosts,
    names: Names,
    _name_server: Server,
}

impl Net {
    pub async fn new() -> Self {
        let (hosts, names) = (Hosts::default(), Names::default());
        let server = Server::start(&*hosts.host(NAME_SERVER), 53, Arc::new(names.clone())).await;
        Self { hosts, names, _name_server: server.expect("a name server") }
    }

    pub fn name(&self, name: &str, address: [u8; 4]) {
        self.names.0.lock().insert(format!("{name}."), address.into());
    }

    /// A container at an address.
    pub fn container(&self, address: [u8; 4], api: Option<kube::Client>) -> Container {
        Container {
            image: "pingcap/tidb-operator:v1.6.5".to_owned(),
            resolv_conf: ResolvConf { nameservers: vec![NAME_SERVER.into()], search: Vec::new(), ndots: 1 },
            api,
            ..Rig::new(self.hosts.host(address), &[]).container
        }
    }

    /// An HTTP server with answers that can be changed, and the requests it was sent.
    pub async fn serve(&self, name: &str, address: [u8; 4], port: u16) -> (Answers, Arc<Mutex<Vec<String>>>) {
        self.name(name, address);
        let container = self.container(address, None);
        let listener = container.host.listen(port).await.expect("a port");
        let (answers, asked) = (Answers::default(), Arc::new(Mutex::new(Vec::new())));
        let (given, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        let handler = move |method: Method, path: String| {
            let request = format!("{method} {path}");
            let answer = given.lock().get(&request).cloned();
            noted.lock().push(request);
            async move { answer.map_or((StatusCode::NOT_FOUND, String::new()), |text| (StatusCode::OK, text)) }
        };
        tokio::spawn(async move { crate::http::serve(&container, listener, Arc::new(handler)).await });
        (answers, asked)
    }
}

/// An API server with the definitions, and a `TidbCluster` in it.
pub(crate) async fn api_with(
    tc: &crate::cluster::TidbCluster,
) -> (acrossk8s_mocks::kubernetes::api::ApiServer, kube::Client) {
    use acrossk8s_mocks::kubernetes::api::{ApiServer, ApiServerConfig};
    use k8s_openapi::api::core::v1::Namespace;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::api::{Api, PostParams};

    let server = ApiServer::start(ApiServerConfig::default()).await.expect("an API server");
    let client = server.client();
    let params = PostParams::default();
    for definition in crate::manifest::definitions() {
        let definition: CustomResourceDefinition = serde_json::from_value(definition).expect("a definition");
        Api::all(client.clone()).create(&params, &definition).await.expect("a definition");
    }
    let mut namespace = Namespace::default();
    namespace.metadata.name = tc.metadata.namespace.clone();
    Api::all(client.clone()).create(&params, &namespace).await.expect("a namespace");
    let mut object = serde_json::to_value(tc).expect("a value");
    object["apiVersion"] = "pingcap.com/v1alpha1".into();
    object["kind"] = "TidbCluster".into();
    object["metadata"] = serde_json::json!({"name": tc.name(), "namespace": tc.namespace()});
    // Null is not an object: what is absent has to be left out.
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.retain(|_, value| !value.is_null());
        for component in ["pd", "tikv", "tidb"] {
            if let Some(component) = spec.get_mut(component).and_then(serde_json::Value::as_object_mut) {
                component.retain(|_, value| !value.is_null());
            }
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    let object = serde_json::from_value(object).expect("an object");
    crate::api::clusters(client.clone(), tc.namespace()).create(&params, &object).await.expect("a TidbCluster");
    (server, client)
}
