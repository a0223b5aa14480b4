//! TCP connections: their ends, their limits and how they break.

use tokio::io::split;
use tokio::task::JoinHandle;

use super::*;

const WEB: u16 = 80;

#[tokio::test]
async fn both_halves_of_a_stream_learn_that_it_broke() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(WEB).await.unwrap();
    let stream = client.connect(SocketAddrV4::new(server.address(), WEB)).await.unwrap();
    let _accepted = listener.accept().await.unwrap();
    let (mut reader, mut writer) = split(stream);
    let reading = tokio::spawn(async move { reader.read_u8().await });
    // More than the buffers hold: the writer waits too.
    let writing = tokio::spawn(async move { writer.write_all(&vec![0; 1 << 20]).await });
    while !reading.is_finished() && !writing.is_finished() {
        tokio::task::yield_now().await;
        two.network.detach(&two.two.vpc, server.address()).await;
    }
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[rstest]
#[tokio::test]
async fn closing_one_direction_leaves_the_other(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(WEB).await.unwrap();
    let mut ours = client.connect(SocketAddrV4::new(server.address(), WEB)).await.unwrap();
    let (mut theirs, _) = listener.accept().await.unwrap();
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut question = Vec::new();
    theirs.read_to_end(&mut question).await.unwrap();
    theirs.write_all(b"answer").await.unwrap();
    drop(theirs);
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).await.unwrap();
    assert_eq!((question.as_slice(), answer.as_slice()), (&b"question"[..], &b"answer"[..]));
}

/// So many connections at once.
fn connect(from: &Arc<dyn Host>, to: SocketAddrV4, count: usize) -> Vec<JoinHandle<io::Result<()>>> {
    let one = |from: Arc<dyn Host>| tokio::spawn(async move { from.connect(to).await.map(drop) });
    std::iter::repeat_with(|| one(from.clone())).take(count).collect()
}

#[tokio::test]
async fn a_full_backlog_makes_clients_wait() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(WEB).await.unwrap();
    let to = SocketAddrV4::new(server.address(), WEB);
    let clients = connect(&client, to, 400);
    for _ in 0..400 {
        listener.accept().await.unwrap();
    }
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_host_that_leaves_tells_those_who_wait() {
    let two = Two::new(Kind::Model).await;
    let (client, server) = (two.pod(&two.one, true).await, two.pod(&two.two, true).await);
    let listener = server.listen(WEB).await.unwrap();
    let to = SocketAddrV4::new(server.address(), WEB);
    let clients = connect(&client, to, 400);
    while clients.iter().filter(|client| client.is_finished()).count() < 256 {
        tokio::task::yield_now().await;
    }
    two.network.detach(&two.two.vpc, server.address()).await;
    let mut lost = 0;
    for client in clients {
        lost += usize::from(client.await.unwrap().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut));
    }
    assert_eq!(lost, 400 - 256);
    assert_eq!(listener.accept().await.err().unwrap().kind(), io::ErrorKind::NotConnected);
}

#[rstest]
#[tokio::test]
async fn loopback_is_local(#[values(Kind::Model, Kind::Kernel)] kind: Kind) {
    let two = Two::new(kind).await;
    let (one, other) = (two.pod(&two.one, true).await, two.pod(&two.one, true).await);
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, WEB);
    let source = greet(&one, &one, WEB, to).await.unwrap();
    assert_eq!(*source.ip(), Ipv4Addr::LOCALHOST);
    let own = SocketAddrV4::new(one.address(), WEB);
    assert_eq!(*greet(&one, &one, WEB, own).await.unwrap().ip(), one.address());
    let _elsewhere = other.listen(WEB).await.unwrap();
    assert_eq!(one.connect(to).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}
