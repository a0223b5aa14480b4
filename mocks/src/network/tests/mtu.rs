//! The greatest packets, and path MTU discovery, on the kernel's network; the model has no MTU.

use acrossk8s_vpc::{AclEntry, RuleProtocol};
use nix::errno::Errno;

use super::agreement::world::{BalancerPlan, Built, LISTENER, NodePlan, PodPlan, VpcPlan, World};
use super::*;

const WEB: u16 = 8000;
const DNS: u16 = 53;
/// Longer than 8500 bytes with its headers, and shorter than 9001.
const LONG: usize = 8900;
/// Of a transfer.
const MEGABYTES: usize = 4;

/// Two VPCs in one region or in two: one with two nodes, and one with a single node behind a load balancer.
async fn built(regions: [usize; 2]) -> Option<Built> {
    if !kernel_is_allowed().await {
        return None;
    }
    let pod = PodPlan { source_nat: true, excluded: Vec::new(), endpoint: true };
    let node = NodePlan { subnet: 0, second_interface: false, pods: vec![pod] };
    let balancer = BalancerPlan { cross_zone: false, preserve_client_ip: true, groups: false };
    let one = VpcPlan { region: regions[0], nodes: vec![node.clone(), node.clone()], balancer: None };
    let vpcs = vec![one, VpcPlan { region: regions[1], nodes: vec![node], balancer: Some(balancer) }];
    Some(Built::new(&World { vpcs, twins: false }).await)
}

impl Built {
    fn named(&self, name: &str) -> Arc<dyn Host> {
        Arc::clone(&self.hosts.iter().find(|host| host.spec.name == name).unwrap().kernel)
    }

    /// Lets no ICMP into the subnets of the first VPC.
    fn shut_out_icmp(&self) {
        let site = &self.sites[0];
        self.aws.with(site.region, |state, context| {
            let (protocol, ports, cidr_block) = (RuleProtocol::Icmp, (-1, -1), "0.0.0.0/0".parse().unwrap());
            let entry = AclEntry { number: 1, egress: false, allow: false, protocol, ports, cidr_block };
            state.ec2.put_network_acl_entry(context, &site.acls[0], entry, false).unwrap();
        });
    }
}

/// What comes of a long datagram: whether it arrives, or the error that the sender gets.
async fn long_datagram(from: &dyn Datagram, at: &dyn Datagram, to: SocketAddrV4) -> Result<bool, io::Error> {
    from.send_to(&[7; LONG], to).await?;
    tokio::select! {
        arrived = tokio::time::timeout(Duration::from_millis(500), at.recv_from()) => match arrived {
            Ok(arrived) => arrived.map(|(payload, _)| payload == [7; LONG]),
            Err(_) => Ok(false),
        },
        news = from.recv_from() => news.map(|_| false),
    }
}

/// Linux says "don't fragment" in every datagram until it knows better.
#[rstest]
#[case::in_one_region([0, 0], true)]
#[case::between_regions([0, 1], false)]
#[tokio::test]
async fn a_long_datagram_does_not_pass_between_regions(#[case] regions: [usize; 2], #[case] passes: bool) {
    let Some(built) = built(regions).await else { return };
    let (client, near, far) =
        (built.named("vpc0-node0-pod0"), built.named("vpc0-node1"), built.named("vpc1-node0-pod0"));
    let (asking, of_near, of_far) =
        (client.bind(0).await.unwrap(), near.bind(DNS).await.unwrap(), far.bind(DNS).await.unwrap());
    assert!(long_datagram(&*asking, &*of_near, SocketAddrV4::new(near.address(), DNS)).await.unwrap());
    let to = SocketAddrV4::new(far.address(), DNS);
    let first = long_datagram(&*asking, &*of_far, to).await;
    if passes {
        assert!(first.unwrap());
    } else {
        assert_eq!(first.unwrap_err().raw_os_error(), Some(Errno::EMSGSIZE as i32), "message too long");
        // It knows better now, and sends it in two pieces.
        assert!(long_datagram(&*asking, &*of_far, to).await.unwrap());
    }
}

#[tokio::test]
async fn without_icmp_a_long_datagram_is_lost_without_a_word() {
    let Some(built) = built([0, 1]).await else { return };
    built.shut_out_icmp();
    let (client, far) = (built.named("vpc0-node0-pod0"), built.named("vpc1-node0-pod0"));
    let (asking, serving) = (client.bind(0).await.unwrap(), far.bind(DNS).await.unwrap());
    assert!(!long_datagram(&*asking, &*serving, SocketAddrV4::new(far.address(), DNS)).await.unwrap());
}

/// How much of a transfer arrives, each way, before nothing comes any more.
async fn transfer(client: &Arc<dyn Host>, server: &Arc<dyn Host>, port: u16, to: SocketAddrV4) -> [usize; 2] {
    let listener = server.listen(port).await.unwrap();
    let connected =
        tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(client.connect(to), listener.accept()) });
    let (ours, theirs) = connected.await.unwrap();
    let ((mut reading, mut writing), (mut there, mut back)) =
        (tokio::io::split(ours.unwrap()), tokio::io::split(theirs.unwrap().0));
    let payload = vec![7; MEGABYTES << 20];
    let (send, answer) = (payload.clone(), payload);
    let sending = tokio::spawn(async move { writing.write_all(&send).await.and(writing.shutdown().await) });
    let answering = tokio::spawn(async move { back.write_all(&answer).await.and(back.shutdown().await) });
    let counts = tokio::join!(count(&mut there), count(&mut reading));
    sending.abort();
    answering.abort();
    [counts.0, counts.1]
}

async fn count(stream: &mut (impl AsyncRead + Unpin)) -> usize {
    let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
        total += read;
    }
    total
}

#[tokio::test]
async fn a_transfer_between_regions_finds_its_way() {
    let Some(built) = built([0, 1]).await else { return };
    let (client, server) = (built.named("vpc0-node0-pod0"), built.named("vpc1-node0-pod0"));
    let whole = [MEGABYTES << 20; 2];
    assert_eq!(transfer(&client, &server, WEB, SocketAddrV4::new(server.address(), WEB)).await, whole);
    // And where what answers is told by way of the load balancer and the node.
    let balancer = built.sites[1].balancer.as_ref().unwrap().addresses[0];
    let endpoint = super::agreement::world::WEB;
    assert_eq!(transfer(&client, &server, endpoint, SocketAddrV4::new(balancer, LISTENER)).await, whole);
}

/// VPC User Guide, "Network ACLs and path MTU discovery": where ICMP type 3 code 4 is not allowed, greater packets are lost.
#[tokio::test]
async fn without_icmp_a_transfer_gets_stuck() {
    let Some(built) = built([0, 1]).await else { return };
    built.shut_out_icmp();
    let (client, server) = (built.named("vpc0-node0-pod0"), built.named("vpc1-node0-pod0"));
    let [there, back] = transfer(&client, &server, WEB, SocketAddrV4::new(server.address(), WEB)).await;
    assert_eq!(there, 0, "the client does not hear that its packets are too long");
    assert_eq!(back, MEGABYTES << 20, "the server does");
}
