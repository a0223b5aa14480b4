//! ICMP: echoes, and how refusals come back, under security groups and network ACLs.

use acrossk8s_vpc::{AclEntry, RuleProtocol};

use super::*;

const DNS: u16 = 53;
const NODE_PORT: u16 = 30_053;

async fn echo(from: &Arc<dyn Host>, to: &Arc<dyn Host>) -> Result<(), io::ErrorKind> {
    from.echo(to.address()).await.map_err(|error| error.kind())
}

impl Two {
    /// Lets ICMP messages of a type and code in, from everywhere.
    fn allow_icmp(&self, cluster: &Created, kind: i32, code: i32) {
        self.aws.with(REGION, |state, context| {
            let group = state.ec2.interfaces[&cluster.nodes[0].interface].groups[0].clone();
            let rule = SecurityGroupRule::cidr(false, "icmp", (kind, code), "0.0.0.0/0".parse().unwrap());
            state.ec2.authorize(&mut state.ids, context, &group, vec![rule]).unwrap();
        });
    }

    /// Puts entries before those of the network ACL that all subnets of a cluster have.
    fn put_entries(&self, cluster: &Created, entries: &[(bool, bool, RuleProtocol, (i32, i32))]) {
        self.aws.with(REGION, |state, context| {
            let mut acls = state.ec2.network_acls.iter().filter(|(_, acl)| acl.vpc == cluster.vpc);
            let acl = acls.next().unwrap().0.clone();
            for (number, (egress, allow, protocol, ports)) in (1..).zip(entries.iter().copied()) {
                let cidr_block = "0.0.0.0/0".parse().unwrap();
                let entry = AclEntry { number, egress, allow, protocol, ports, cidr_block };
                state.ec2.put_network_acl_entry(context, &acl, entry, false).unwrap();
            }
        });
    }
}

#[rstest]
#[tokio::test]
async fn an_echo_needs_an_inbound_rule_for_its_type(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    assert_eq!(echo(&client, &server).await, Ok(()));
    assert_eq!(echo(&client, &client).await, Ok(()));
    two.strip_rules(&two.two);
    two.allow_icmp(&two.two, 3, 4);
    two.allow_icmp(&two.two, 8, 1);
    assert_eq!(echo(&client, &server).await, Err(io::ErrorKind::TimedOut));
    two.allow_icmp(&two.two, 8, -1);
    assert_eq!(echo(&client, &server).await, Ok(()), "no outbound rule is asked about the reply");
    assert_eq!(echo(&server, &client).await, Err(io::ErrorKind::TimedOut), "there is none for requests");
}

#[rstest]
#[case::request_in((false, false, RuleProtocol::Icmp, (8, -1)), false)]
#[case::reply_out((true, false, RuleProtocol::Icmp, (0, 0)), false)]
#[case::all_icmp_out((true, false, RuleProtocol::Icmp, (-1, -1)), false)]
#[case::other_type((false, false, RuleProtocol::Icmp, (0, -1)), true)]
#[case::other_code((true, false, RuleProtocol::Icmp, (0, 1)), true)]
#[case::other_protocol((true, false, RuleProtocol::Tcp, (0, 65535)), true)]
#[tokio::test]
async fn network_acls_look_at_type_and_code_each_way(
    #[values(Kind::Model, Kind::Kernel)] kind: Kind,
    #[case] entry: (bool, bool, RuleProtocol, (i32, i32)),
    #[case] passes: bool,
) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    two.put_entries(&two.two, &[entry]);
    assert_eq!(echo(&client, &server).await, if passes { Ok(()) } else { Err(io::ErrorKind::TimedOut) });
}

/// Whether a closed UDP port at an address is told.
async fn refuses(from: &Arc<dyn Host>, to: SocketAddrV4) -> bool {
    let socket = from.bind(0).await.unwrap();
    socket.send_to(b"x", to).await.unwrap();
    match tokio::time::timeout(Duration::from_millis(300), socket.recv_from()).await {
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

#[rstest]
#[tokio::test]
async fn a_refusal_is_icmp_to_network_acls(
    #[values(Kind::Model, Kind::Kernel)] kind: Kind,
    #[values(true, false)] port_unreachable: bool,
) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let node = two.node(&two.two).await;
    // Without endpoints, kube-proxy refuses TCP by ICMP as well.
    let mut table = ServiceTable::default();
    table.node_ports.insert((NODE_PORT, Transport::Tcp), Vec::new());
    two.network.program_services(&two.two.vpc, table).await;
    let code = if port_unreachable { 3 } else { 4 };
    two.put_entries(&two.two, &[(true, false, RuleProtocol::Icmp, (3, code))]);
    assert_eq!(refuses(&client, SocketAddrV4::new(server.address(), DNS)).await, !port_unreachable);
    let error = client.connect(SocketAddrV4::new(node.address(), NODE_PORT)).await.err().unwrap();
    let wanted = if port_unreachable { io::ErrorKind::TimedOut } else { io::ErrorKind::ConnectionRefused };
    assert_eq!(error.kind(), wanted);
    // A closed TCP port says so by TCP.
    let error = client.connect(SocketAddrV4::new(server.address(), DNS)).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

/// Linux would tell six of them at once, and then one a second.
#[rstest]
#[tokio::test]
async fn every_refusal_is_told(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let to = SocketAddrV4::new(server.address(), DNS);
    let told = futures::future::join_all((0..40).map(|_| refuses(&client, to))).await;
    assert_eq!(told.iter().filter(|told| **told).count(), 40);
}
