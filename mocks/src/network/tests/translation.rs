//! kube-proxy, source NAT, and what stays within a node.

use std::collections::BTreeSet;

use super::*;

const WEB: u16 = 80;
const NODE_PORT: u16 = 30_080;

async fn connected(from: &Arc<dyn Host>, to: &Arc<dyn Host>, address: SocketAddrV4) -> io::Result<SocketAddrV4> {
    greet(from, to, WEB, address).await
}

fn service() -> SocketAddrV4 {
    SocketAddrV4::new([172, 20, 0, 80].into(), WEB)
}

/// A service with a cluster address and a node port, in front of these.
async fn serve(two: &Two, vpc: &str, endpoints: &[&Arc<dyn Host>]) {
    let endpoints: Vec<_> = endpoints.iter().map(|host| SocketAddrV4::new(host.address(), WEB)).collect();
    let mut table = ServiceTable::default();
    table.cluster.insert((*service().ip(), WEB, Transport::Tcp), endpoints.clone());
    table.node_ports.insert((NODE_PORT, Transport::Tcp), endpoints);
    two.network.program_services(vpc, table).await;
}

#[rstest]
#[tokio::test]
async fn no_rule_holds_within_a_node(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (a, b, node) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await, two.node(&two.one).await);
    two.strip_rules(&two.one);
    for (from, to) in [(&a, &b), (&node, &a), (&a, &node)] {
        let source = connected(from, to, SocketAddrV4::new(to.address(), WEB)).await.unwrap();
        assert_eq!(*source.ip(), from.address());
    }
}

#[rstest]
#[tokio::test]
async fn a_node_reaches_its_pods_before_aws_knows_their_addresses(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (node, peer) = (two.node(&two.one).await, two.pod(&two.two, true).await);
    let kind = HostKind::Pod { node: node.address(), source_nat: true, excluded: Vec::new() };
    let address = [10, 1, 200, 200].into();
    let spec = HostSpec { name: "pod".to_owned(), vpc: two.one.vpc.clone(), address, kind };
    let pod = two.network.attach(spec).await.unwrap();
    let to = SocketAddrV4::new(address, WEB);
    assert_eq!(*connected(&node, &pod, to).await.unwrap().ip(), node.address());
    assert_eq!(peer.connect(to).await.err().unwrap().kind(), io::ErrorKind::TimedOut);
}

#[rstest]
#[tokio::test]
async fn a_node_answers_its_own_node_ports(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (pod, client, node) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await, two.node(&two.one).await);
    serve(&two, &two.one.vpc, &[&pod]).await;
    for (from, address) in
        [(&node, node.address()), (&node, Ipv4Addr::LOCALHOST), (&client, node.address()), (&pod, node.address())]
    {
        let source = connected(from, &pod, SocketAddrV4::new(address, NODE_PORT)).await.unwrap();
        assert_eq!(*source.ip(), node.address(), "from {} to {address}", from.address());
    }
    let on_a_pod = client.connect(SocketAddrV4::new(client.address(), NODE_PORT)).await.err().unwrap();
    assert_eq!(on_a_pod.kind(), io::ErrorKind::ConnectionRefused);
}

#[rstest]
#[tokio::test]
async fn a_node_port_is_reached_from_the_peer_and_refuses_without_endpoints(
    #[values(Kind::Model, Kind::Kernel)] kind: Kind,
) {
    let two = Two::new(kind).await;
    let (client, pod, node) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await, two.node(&two.two).await);
    serve(&two, &two.two.vpc, &[&pod]).await;
    let to = SocketAddrV4::new(node.address(), NODE_PORT);
    assert_eq!(*connected(&client, &pod, to).await.unwrap().ip(), node.address());
    serve(&two, &two.two.vpc, &[]).await;
    assert_eq!(client.connect(to).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    serve(&two, &two.two.vpc, &[&pod]).await;
    let _listener = pod.listen(WEB).await.unwrap();
    two.close(&two.two, "10.1.0.0/16");
    let error = client.connect(to).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "the node's answer has no way back");
}

#[rstest]
#[tokio::test]
async fn a_service_leads_a_pod_back_to_itself_by_its_node(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let pod = two.pod(&two.one, true).await;
    serve(&two, &two.one.vpc, &[&pod]).await;
    let source = connected(&pod, &pod, service()).await.unwrap();
    assert_eq!(*source.ip(), two.one.nodes[0].address);
    assert_eq!(pod.source_for(*service().ip()), pod.address());
}

#[rstest]
#[tokio::test]
async fn a_service_of_another_cluster_is_not_there(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, pod) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    serve(&two, &two.two.vpc, &[&pod]).await;
    let error = client.connect(service()).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The model knows why; the kernel hears nothing.
    assert!(kind == Kind::Kernel || error.to_string().contains("0.0.0.0/0"), "{error}");
}

#[rstest]
#[tokio::test]
async fn every_endpoint_gets_its_share(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let client = two.pod(&two.one, true).await;
    let (a, b) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await);
    serve(&two, &two.one.vpc, &[&a, &b]).await;
    let (of_a, of_b) = (a.listen(WEB).await.unwrap(), b.listen(WEB).await.unwrap());
    let mut reached = BTreeSet::new();
    for _ in 0..32 {
        let _stream = client.connect(service()).await.unwrap();
        tokio::select! {
            accepted = of_a.accept() => { accepted.unwrap(); reached.insert(a.address()); }
            accepted = of_b.accept() => { accepted.unwrap(); reached.insert(b.address()); }
        }
    }
    assert_eq!(reached, BTreeSet::from([a.address(), b.address()]));
}

#[rstest]
#[tokio::test]
async fn excluded_blocks_and_the_own_vpc_see_the_pod(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let excluded = vec!["10.2.0.0/16".parse().unwrap()];
    let node = two.one.nodes[0].address;
    let address = [10, 1, 200, 200].into();
    let kind = HostKind::Pod { node, source_nat: true, excluded };
    let spec = HostSpec { name: "pod".to_owned(), vpc: two.one.vpc.clone(), address, kind };
    let pod = two.network.attach(spec).await.unwrap();
    for (to, expected) in [
        ([10, 2, 0, 9], address),
        ([10, 1, 0, 9], address),
        ([10, 3, 0, 9], node),
        ([127, 0, 0, 1], Ipv4Addr::LOCALHOST),
    ] {
        assert_eq!(pod.source_for(to.into()), expected, "{to:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_drop_says_what_dropped_it(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let to = SocketAddrV4::new(server.address(), WEB);
    two.strip_rules(&two.two);
    let error = client.connect(to).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(kind == Kind::Kernel || error.to_string().contains("no inbound rule of sg-"), "{error}");
    two.network.detach(&two.two.vpc, server.address()).await;
}

#[rstest]
#[tokio::test]
async fn an_address_without_a_host_does_not_answer(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    two.network.detach(&two.two.vpc, server.address()).await;
    let error = client.connect(SocketAddrV4::new(server.address(), WEB)).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
