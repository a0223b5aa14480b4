//! What stands when the state changes under it.
//!
//! AWS (EC2 User Guide, "Security group connection tracking"): a rule that is removed ends no tracked connection; a network
//! ACL ends it, and so does a route that is gone. The kernel's network does that. The model decides about a connection as
//! a whole when it begins (see [`model`](crate::network::model)): there it stands whatever happens.

use acrossk8s_vpc::AclEntry;

use super::*;

const WEB: u16 = 80;

/// A connection that has carried something, and its other end.
async fn standing(two: &Two) -> (BoxStream, BoxStream, Arc<dyn Host>, SocketAddrV4) {
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(WEB).await.unwrap();
    let to = SocketAddrV4::new(server.address(), WEB);
    let mut ours = client.connect(to).await.unwrap();
    let (mut theirs, _) = listener.accept().await.unwrap();
    assert!(carries(&mut ours, &mut theirs).await);
    (ours, theirs, client, to)
}

/// Whether a byte still gets there and back.
async fn carries(ours: &mut BoxStream, theirs: &mut BoxStream) -> bool {
    let exchange = async {
        ours.write_u8(1).await?;
        theirs.read_u8().await?;
        theirs.write_u8(2).await?;
        ours.read_u8().await
    };
    tokio::time::timeout(Duration::from_millis(600), exchange).await.is_ok_and(|byte| byte.is_ok())
}

#[rstest]
#[tokio::test]
async fn a_connection_outlives_the_rules_that_allowed_it(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (mut ours, mut theirs, client, to) = standing(&two).await;
    two.strip_rules(&two.one);
    two.strip_rules(&two.two);
    assert_eq!(client.connect(to).await.err().unwrap().kind(), io::ErrorKind::TimedOut, "a new one does not pass");
    assert!(carries(&mut ours, &mut theirs).await);
}

#[rstest]
#[tokio::test]
async fn a_connection_ends_with_its_route_or_by_an_acl(#[values(true, false)] route: bool) {
    let two = Two::new(Kind::Kernel).await;
    if two.model.is_some() {
        return;
    }
    let (mut ours, mut theirs, client, to) = standing(&two).await;
    if route {
        two.close(&two.two, "10.1.0.0/16");
    } else {
        two.aws.with(REGION, |state, context| {
            let acl = state.ec2.network_acls.iter().find(|(_, acl)| acl.vpc == two.two.vpc).unwrap().0.clone();
            let cidr_block = "10.1.0.0/16".parse().unwrap();
            let (protocol, ports) = (acrossk8s_vpc::RuleProtocol::Tcp, (1024, 65535));
            let entry = AclEntry { number: 1, egress: true, allow: false, protocol, ports, cidr_block };
            state.ec2.put_network_acl_entry(context, &acl, entry, false).unwrap();
        });
    }
    assert_eq!(client.connect(to).await.err().unwrap().kind(), io::ErrorKind::TimedOut, "nor does a new one pass");
    assert!(!carries(&mut ours, &mut theirs).await);
}
