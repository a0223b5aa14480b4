//! UDP: answers find their way back through every translation, and losses are told.

use super::*;
use crate::network::Datagram;

const DNS: u16 = 53;

fn at(host: &Arc<dyn Host>, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(host.address(), port)
}

/// Answers one datagram with its own text and gives the source that was seen.
async fn echo(server: &dyn Datagram) -> SocketAddrV4 {
    let (payload, source) = server.recv_from().await.unwrap();
    server.send_to(&payload, source).await.unwrap();
    source
}

#[rstest]
#[tokio::test]
async fn two_pods_behind_one_node_get_their_own_answers(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (a, b, server) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let serving = server.bind(DNS).await.unwrap();
    // The same port on both, so that source NAT has to tell them apart.
    let (of_a, of_b) = (a.bind(5000).await.unwrap(), b.bind(5000).await.unwrap());
    of_a.send_to(b"a", at(&server, DNS)).await.unwrap();
    of_b.send_to(b"b", at(&server, DNS)).await.unwrap();
    let (one, other) = (echo(&*serving).await, echo(&*serving).await);
    assert_eq!((one.ip(), other.ip()), (&two.one.nodes[0].address, &two.one.nodes[0].address));
    assert_ne!(one, other);
    assert_eq!(of_b.recv_from().await.unwrap(), (b"b".to_vec(), at(&server, DNS)));
    assert_eq!(of_a.recv_from().await.unwrap(), (b"a".to_vec(), at(&server, DNS)));
}

#[rstest]
#[tokio::test]
async fn two_services_in_front_of_one_endpoint_answer_as_themselves(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await);
    let services = [10, 11].map(|last| SocketAddrV4::new([172, 20, 0, last].into(), DNS));
    let mut table = ServiceTable::default();
    for service in services {
        table.cluster.insert((*service.ip(), DNS, Transport::Udp), vec![at(&server, DNS)]);
    }
    two.network.program_services(&two.one.vpc, table).await;
    let (asking, serving) = (client.bind(0).await.unwrap(), server.bind(DNS).await.unwrap());
    for service in services {
        asking.send_to(b"x", service).await.unwrap();
    }
    for service in services {
        echo(&*serving).await;
        assert_eq!(asking.recv_from().await.unwrap().1, service);
    }
}

#[rstest]
#[tokio::test]
async fn a_datagram_whose_answer_is_lost_still_arrives(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    two.close(&two.two, "10.1.0.0/16");
    let (asking, serving) = (client.bind(0).await.unwrap(), server.bind(DNS).await.unwrap());
    asking.send_to(b"x", at(&server, DNS)).await.unwrap();
    assert!(unanswered(&*asking).await);
    echo(&*serving).await;
    // The answer told nobody anything: the next news is that of the next datagram.
    asking.send_to(b"x", at(&client, 9)).await.unwrap();
    assert_eq!(asking.recv_from().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    // Nor is it news to the server, whose own exchanges go on.
    serving.send_to(b"x", at(&server, DNS)).await.unwrap();
    assert_eq!(serving.recv_from().await.unwrap().0, b"x");
}

#[tokio::test]
async fn an_answer_to_a_closed_socket_is_no_news_to_the_server() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, false).await, two.pod(&two.two, false).await);
    let serving = server.bind(DNS).await.unwrap();
    let asking = client.bind(0).await.unwrap();
    asking.send_to(b"x", at(&server, DNS)).await.unwrap();
    assert_eq!(two.model.as_ref().unwrap().open_exchanges(), 1);
    drop(asking);
    assert_eq!(two.model.as_ref().unwrap().open_exchanges(), 0);
    echo(&*serving).await;
    client.bind(0).await.unwrap().send_to(b"y", at(&server, DNS)).await.unwrap();
    assert_eq!(serving.recv_from().await.unwrap().0, b"y");
}

#[rstest]
#[tokio::test]
async fn a_closed_port_refuses(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let asking = client.bind(0).await.unwrap();
    asking.send_to(b"x", at(&server, DNS)).await.unwrap();
    assert_eq!(asking.recv_from().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_full_queue_loses_and_tells() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let _unread = server.bind(DNS).await.unwrap();
    let asking = client.bind(0).await.unwrap();
    for _ in 0..300 {
        asking.send_to(b"x", at(&server, DNS)).await.unwrap();
    }
    assert_eq!(asking.recv_from().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[rstest]
#[tokio::test]
async fn a_socket_ends_with_its_host(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let host = two.pod(&two.one, true).await;
    let socket = host.bind(0).await.unwrap();
    socket.send_to(b"unread", at(&host, 5000)).await.unwrap();
    two.network.detach(&two.one.vpc, host.address()).await;
    assert_eq!(socket.recv_from().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(socket.send_to(b"x", at(&host, 1)).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(host.bind(0).await.err().unwrap().kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_port_is_one_sockets() {
    let two = Two::new(Kind::Model).await;
    let host = two.pod(&two.one, true).await;
    let socket = host.bind(DNS).await.unwrap();
    assert_eq!(host.bind(DNS).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    drop(socket);
    // Every ephemeral port but one is taken: that one is found.
    let mut taken = Vec::new();
    for port in 32_768..=60_999 {
        if port != 40_000 {
            taken.push(host.bind(port).await.unwrap());
        }
    }
    taken.push(host.bind(0).await.unwrap());
    assert_eq!(host.bind(40_000).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(host.bind(0).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
}

#[rstest]
#[tokio::test]
async fn the_resolver_of_the_vpc_is_reached_from_within_it_alone(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (near, far) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let spec = HostSpec {
        name: "resolver".to_owned(),
        vpc: two.one.vpc.clone(),
        address: [10, 1, 0, 2].into(),
        kind: HostKind::LoadBalancer,
    };
    let resolver = two.network.attach(spec).await.unwrap();
    let serving = resolver.bind(DNS).await.unwrap();
    let asking = near.bind(0).await.unwrap();
    asking.send_to(b"x", at(&resolver, DNS)).await.unwrap();
    echo(&*serving).await;
    assert_eq!(asking.recv_from().await.unwrap().1, at(&resolver, DNS));
    let asking = far.bind(0).await.unwrap();
    asking.send_to(b"x", at(&resolver, DNS)).await.unwrap();
    assert!(unanswered(&*asking).await);
}
