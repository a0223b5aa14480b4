#![expect(clippy::unwrap_used, reason = "tests")]

mod agreement;
mod datagrams;
mod icmp;
mod mtu;
mod standing;
mod streams;
mod translation;

use std::net::SocketAddrV4;
use std::time::Duration;

use acrossk8s_vpc::PeeringState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use rstest::rstest;

use super::kernel::Kernel;
use super::model::Model;
use super::*;
use crate::aws::ec2::{NewInterface, SecurityGroupRule};
use crate::aws::elbv2::{self, ServiceLoadBalancer};
use crate::aws::{Aws, ec2::PeeringRequest};
use crate::clock::{Clock, Latencies};
use crate::eksctl::{ClusterConfig, Created, create_cluster, delete_cluster};
use crate::network::{HostKind, Transport};

const REGION: &str = "us-west-2";

fn cluster(aws: &Arc<Aws>, name: &str, block: &str) -> Created {
    let yaml = format!(
        "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {{name: {name}, region: {REGION}}}\nvpc: {{cidr: {block}}}\n\
         nodeGroups: [{{name: admin, desiredCapacity: 1, privateNetworking: true}}]\n"
    );
    let config = ClusterConfig::parse(&yaml).unwrap();
    aws.with(REGION, |state, context| create_cluster(state, context, &config)).unwrap()
}

/// Which network a test is about. What both have to do is tested on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Kernel,
}

/// Whether the kernel's network can be tested. It cannot without privilege, and then the test says so and is about the
/// model once more; where `ACROSSK8S_KERNEL_TESTS` is set, as in CI, that is an error.
pub(crate) async fn kernel_is_allowed() -> bool {
    let allowed = Kernel::try_out().await;
    if let Err(error) = &allowed {
        assert!(std::env::var_os("ACROSSK8S_KERNEL_TESTS").is_none(), "no kernel network: {error}");
        eprintln!("not on the kernel's network: {error}");
    }
    allowed.is_ok()
}

fn route_tables(state: &crate::aws::State, vpc: &str) -> Vec<String> {
    let tables = state.ec2.route_tables.iter().filter(|(_, table)| table.vpc == vpc);
    tables.map(|(id, _)| id.clone()).collect()
}

/// Two clusters of one node each, peered, routed and opened; nothing else.
struct Two {
    aws: Arc<Aws>,
    network: Arc<dyn Network>,
    /// The same, if it is the model.
    model: Option<Arc<Model>>,
    one: Created,
    two: Created,
    peering: String,
}

impl Two {
    async fn new(kind: Kind) -> Self {
        let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
        let (one, two) = (cluster(&aws, "one", "10.1.0.0/16"), cluster(&aws, "two", "10.2.0.0/16"));
        let request = PeeringRequest {
            requester: one.vpc.clone(),
            accepter: two.vpc.clone(),
            accepter_region: None,
            accepter_account: None,
            tags: Default::default(),
        };
        let peering = aws.with(REGION, |state, context| {
            let crate::aws::State { ids, ec2, .. } = state;
            let id = ec2.create_peering(ids, context, request).unwrap();
            ec2.accept_peering(context, &id).unwrap();
            id
        });
        let kind = if kind == Kind::Kernel && !kernel_is_allowed().await { Kind::Model } else { kind };
        let model = Model::new(aws.clone());
        let network: Arc<dyn Network> = match kind {
            Kind::Model => model.clone(),
            Kind::Kernel => Kernel::new(aws.clone()).await.unwrap(),
        };
        let model = Some(model).filter(|_| kind == Kind::Model);
        let this = Self { network, model, aws, one, two, peering };
        this.open(&this.one, "10.2.0.0/16");
        this.open(&this.two, "10.1.0.0/16");
        this
    }

    /// Routes and rules of a cluster for a block.
    fn open(&self, cluster: &Created, block: &str) {
        let block = block.parse().unwrap();
        self.aws.with(REGION, |state, context| {
            for table in route_tables(state, &cluster.vpc) {
                state.ec2.create_route(context, &table, block, &self.peering).unwrap();
            }
            let group = state.ec2.interfaces[&cluster.nodes[0].interface].groups[0].clone();
            let rule = SecurityGroupRule::cidr(false, "-1", (-1, -1), block);
            state.ec2.authorize(&mut state.ids, context, &group, vec![rule]).unwrap();
        });
    }

    /// Deletes the routes of a cluster to a block.
    fn close(&self, cluster: &Created, block: &str) {
        self.aws.with(REGION, |state, context| {
            for table in route_tables(state, &cluster.vpc) {
                state.ec2.delete_route(context, &table, block.parse().unwrap()).unwrap();
            }
        });
    }

    /// Takes every rule from the security groups on the node of a cluster.
    fn strip_rules(&self, cluster: &Created) {
        self.aws.with(REGION, |state, _| {
            let groups = state.ec2.interfaces[&cluster.nodes[0].interface].groups.clone();
            for group in groups {
                state.ec2.security_groups.get_mut(&group).unwrap().rules.clear();
            }
        });
    }

    async fn node(&self, cluster: &Created) -> Arc<dyn Host> {
        let node = &cluster.nodes[0];
        let spec =
            HostSpec { name: node.name.clone(), vpc: cluster.vpc.clone(), address: node.address, kind: HostKind::Node };
        self.network.attach(spec).await.unwrap()
    }

    async fn pod(&self, cluster: &Created, source_nat: bool) -> Arc<dyn Host> {
        let node = &cluster.nodes[0];
        let address =
            self.aws.with(REGION, |state, context| state.ec2.assign_private_address(context, &node.interface)).unwrap();
        let kind = HostKind::Pod { node: node.address, source_nat, excluded: Vec::new() };
        self.network.attach(HostSpec { name: "pod".to_owned(), vpc: cluster.vpc.clone(), address, kind }).await.unwrap()
    }
}

/// Whether no answer comes: the model knows it at once, on the kernel's network one has to wait.
async fn unanswered(socket: &dyn Datagram) -> bool {
    match tokio::time::timeout(Duration::from_millis(200), socket.recv_from()).await {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => error.kind() == io::ErrorKind::TimedOut,
        Err(_) => true,
    }
}

async fn greet(from: &Arc<dyn Host>, to: &Arc<dyn Host>, port: u16, address: SocketAddrV4) -> io::Result<SocketAddrV4> {
    let listener = to.listen(port).await?;
    let client = async {
        let mut stream = from.connect(address).await?;
        stream.write_all(b"hello").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"HELLO");
        Ok::<_, io::Error>(())
    };
    let server = async {
        let (mut stream, source) = listener.accept().await?;
        let mut request = [0; 5];
        stream.read_exact(&mut request).await?;
        stream.write_all(&request.to_ascii_uppercase()).await?;
        Ok::<_, io::Error>(source)
    };
    tokio::pin!(server);
    tokio::select! {
        result = client => { result?; server.await }
        source = &mut server => source,
    }
}

#[rstest]
#[tokio::test]
async fn a_pod_reaches_a_peered_pod_and_is_seen_as_its_node(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let source = greet(&client, &server, 80, SocketAddrV4::new(server.address(), 80)).await.unwrap();
    assert_eq!(*source.ip(), two.one.nodes[0].address);
    assert_eq!(client.source_for(server.address()), two.one.nodes[0].address);
}

#[rstest]
#[tokio::test]
async fn without_source_nat_it_is_seen_as_itself(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, false).await, two.pod(&two.two, false).await);
    let source = greet(&client, &server, 80, SocketAddrV4::new(server.address(), 80)).await.unwrap();
    assert_eq!(*source.ip(), client.address());
}

#[rstest]
#[tokio::test]
async fn nothing_passes_once_the_peering_is_gone(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let to = SocketAddrV4::new(server.address(), 80);
    assert_eq!(client.connect(to).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    two.aws.with(REGION, |state, context| state.ec2.delete_peering(context, &two.peering)).unwrap();
    two.aws.read(REGION, |state, context| {
        let peering = &state.ec2.peerings[&two.peering];
        assert_ne!(peering.state(context.now, &context.latencies), PeeringState::Active);
    });
    assert_eq!(client.connect(to).await.err().unwrap().kind(), io::ErrorKind::TimedOut);
    let socket = client.bind(0).await.unwrap();
    socket.send_to(b"x", to).await.unwrap();
    assert!(unanswered(&*socket).await);
}

#[rstest]
#[tokio::test]
async fn a_route_missing_on_either_side_drops(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    for side in [0, 1] {
        let two = Two::new(kind).await;
        let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
        let (cluster, block) = if side == 0 { (&two.one, "10.2.0.0/16") } else { (&two.two, "10.1.0.0/16") };
        two.close(cluster, block);
        let error = client.connect(SocketAddrV4::new(server.address(), 80)).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "side {side}");
    }
}

#[rstest]
#[tokio::test]
async fn a_service_address_leads_to_an_endpoint_and_answers_come_from_it(
    #[values(Kind::Model, Kind::Kernel)] kind: Kind,
) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await);
    let service = SocketAddrV4::new([172, 20, 0, 10].into(), 53);
    let mut table = ServiceTable::default();
    table.cluster.insert((*service.ip(), 53, Transport::Udp), vec![SocketAddrV4::new(server.address(), 53)]);
    table.cluster.insert((*service.ip(), 54, Transport::Udp), Vec::new());
    two.network.program_services(&two.one.vpc, table).await;
    let (asking, answering) = (client.bind(0).await.unwrap(), server.bind(53).await.unwrap());
    asking.send_to(b"question", service).await.unwrap();
    let (question, source) = answering.recv_from().await.unwrap();
    assert_eq!((question.as_slice(), *source.ip()), (&b"question"[..], client.address()));
    answering.send_to(b"answer", source).await.unwrap();
    assert_eq!(asking.recv_from().await.unwrap(), (b"answer".to_vec(), service));
    asking.send_to(b"question", SocketAddrV4::new(*service.ip(), 54)).await.unwrap();
    assert_eq!(asking.recv_from().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[rstest]
#[tokio::test]
async fn a_load_balancer_leads_to_the_pod_behind_the_node_port(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server, node) =
        (two.pod(&two.one, true).await, two.pod(&two.two, true).await, two.node(&two.two).await);
    let wanted = ServiceLoadBalancer {
        cluster: "two".to_owned(),
        vpc: two.two.vpc.clone(),
        namespace: "kube-system".to_owned(),
        service: "across-cluster-dns-tcp".to_owned(),
        uid: "0b15ed35-c02a-4528-8000-000000000000".to_owned(),
        internal: true,
        cross_zone: true,
        ports: vec![(53, 30053)],
        instances: vec![two.two.nodes[0].instance.clone()],
        source_ranges: Vec::new(),
        extra_tags: Default::default(),
    };
    let arn = two
        .aws
        .with(REGION, |state, context| elbv2::ensure_service_load_balancer(state, context, &wanted))
        .unwrap()
        .arn;
    let address = two.aws.read(REGION, |state, _| {
        let zone = &state.elbv2.load_balancers[&arn].zones[0];
        state.ec2.interfaces[&zone.interface].addresses[0]
    });
    let name = "across-cluster-dns-tcp".to_owned();
    let spec = HostSpec { name, vpc: two.two.vpc.clone(), address, kind: HostKind::LoadBalancer };
    let _interface = two.network.attach(spec).await.unwrap();
    let mut table = ServiceTable::default();
    table.node_ports.insert((30053, Transport::Tcp), vec![SocketAddrV4::new(server.address(), 53)]);
    two.network.program_services(&two.two.vpc, table).await;
    let source = greet(&client, &server, 53, SocketAddrV4::new(address, 53)).await.unwrap();
    assert_eq!(*source.ip(), node.address(), "kube-proxy puts the node in the client's place");
    let other = client.connect(SocketAddrV4::new(address, 54)).await.err().unwrap();
    assert_eq!(other.kind(), io::ErrorKind::TimedOut, "no listener");
}

#[tokio::test]
async fn a_detached_host_breaks_its_connections_and_frees_its_address() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(80).await.unwrap();
    let mut stream = client.connect(SocketAddrV4::new(server.address(), 80)).await.unwrap();
    let _accepted = listener.accept().await.unwrap();
    two.network.detach(&two.two.vpc, server.address()).await;
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(listener.accept().await.err().unwrap().kind(), io::ErrorKind::NotConnected);
    assert_eq!(server.listen(81).await.err().unwrap().kind(), io::ErrorKind::NotConnected);
    let kind = HostKind::Node;
    let spec = HostSpec { name: "next".to_owned(), vpc: two.two.vpc.clone(), address: server.address(), kind };
    two.network.attach(spec.clone()).await.unwrap();
    assert_eq!(two.network.attach(spec).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
}

#[rstest]
#[tokio::test]
async fn a_port_is_taken_until_its_listener_is_dropped(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let host = two.pod(&two.one, true).await;
    let listener = host.listen(80).await.unwrap();
    assert_eq!(host.listen(80).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    host.listen(80).await.unwrap();
}

#[test]
fn clusters_with_the_same_block_are_apart() {
    let aws = Aws::new(Clock::manual(), Latencies::INSTANT);
    let (one, two) = (cluster(&aws, "one", "10.1.0.0/16"), cluster(&aws, "two", "10.1.0.0/16"));
    assert_ne!(one.vpc, two.vpc);
    let subnet = two.subnets[0].clone();
    aws.with(REGION, |state, context| {
        state.ec2.create_interface(&mut state.ids, context, NewInterface::new(&subnet, &[], "x")).unwrap();
        assert!(delete_cluster(state, context, "two").is_err());
        delete_cluster(state, context, "one").unwrap();
    });
}
