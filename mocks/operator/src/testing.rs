//! A network for tests: hosts by address, names by table, HTTP servers with given answers.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use acrossk8s_mocks::clock::Clock;
use acrossk8s_mocks::network::{BoxStream, Datagram, Host, Listener};
use acrossk8s_mocks::workloads::{Container, Log, ResolvConf};
use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

type Accepted = (BoxStream, SocketAddrV4);
/// Answers by method and path.
pub(crate) type Answers = Arc<Mutex<BTreeMap<String, String>>>;

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddrV4, mpsc::UnboundedSender<Accepted>>,
    names: BTreeMap<String, Ipv4Addr>,
}

/// The network.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<State>>);

impl Net {
    pub fn name(&self, name: &str, address: [u8; 4]) {
        self.0.lock().names.insert(format!("{name}."), address.into());
    }

    /// A container at an address.
    pub fn container(&self, address: [u8; 4], api: Option<kube::Client>) -> Container {
        Container {
            cluster: "k1".to_owned(),
            namespace: "ns1".to_owned(),
            pod: "pod".to_owned(),
            hostname: "pod".to_owned(),
            image: "pingcap/tidb-operator:v1.6.5".to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            host: Arc::new(TestHost { net: self.clone(), address: address.into() }),
            resolv_conf: ResolvConf { nameservers: vec![Ipv4Addr::new(10, 0, 0, 2)], search: Vec::new(), ndots: 1 },
            files: watch::Sender::default().subscribe(),
            api,
            log: Log::default(),
            ready: watch::Sender::new(false),
            clock: Clock::manual(),
            stop: CancellationToken::new(),
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

struct TestHost {
    net: Net,
    address: Ipv4Addr,
}

#[async_trait]
impl Host for TestHost {
    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn source_for(&self, _: Ipv4Addr) -> Ipv4Addr {
        self.address
    }

    async fn listen(&self, port: u16) -> io::Result<Box<dyn Listener>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.net.0.lock().listeners.insert(SocketAddrV4::new(self.address, port), sender);
        Ok(Box::new(TestListener(tokio::sync::Mutex::new(receiver))))
    }

    async fn connect(&self, to: SocketAddrV4) -> io::Result<BoxStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (near, far) = tokio::io::duplex(65_536);
        let state = self.net.0.lock();
        let listener = state.listeners.get(&to).ok_or_else(refused)?;
        listener.send((Box::new(far), SocketAddrV4::new(self.address, 40_000))).map_err(|_| refused())?;
        Ok(Box::new(near))
    }

    async fn bind(&self, _: u16) -> io::Result<Box<dyn Datagram>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        Ok(Box::new(NameServer { net: self.net.clone(), sender, receiver: tokio::sync::Mutex::new(receiver) }))
    }

    async fn echo(&self, _: Ipv4Addr) -> io::Result<()> {
        Ok(())
    }
}

struct TestListener(tokio::sync::Mutex<mpsc::UnboundedReceiver<Accepted>>);

#[async_trait]
impl Listener for TestListener {
    async fn accept(&self) -> io::Result<Accepted> {
        self.0.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// A socket behind which a name server answers from the table.
struct NameServer {
    net: Net,
    sender: mpsc::UnboundedSender<(Vec<u8>, SocketAddrV4)>,
    receiver: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Vec<u8>, SocketAddrV4)>>,
}

#[async_trait]
impl Datagram for NameServer {
    async fn send_to(&self, payload: &[u8], to: SocketAddrV4) -> io::Result<()> {
        let mut message = Message::from_vec(payload).map_err(io::Error::other)?;
        let name = message.queries.first().ok_or(io::ErrorKind::InvalidData)?.name().clone();
        message.metadata.message_type = MessageType::Response;
        match self.net.0.lock().names.get(&name.to_ascii()) {
            Some(address) => {
                message.add_answer(Record::from_rdata(name, 0, RData::A(A(*address))));
            }
            None => message.metadata.response_code = ResponseCode::NXDomain,
        }
        self.sender.send((message.to_vec().map_err(io::Error::other)?, to)).map_err(io::Error::other)
    }

    async fn recv_from(&self) -> io::Result<(Vec<u8>, SocketAddrV4)> {
        self.receiver.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
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
