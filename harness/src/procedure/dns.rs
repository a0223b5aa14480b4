//! Queries to single CoreDNS pods.

use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::World;
use super::load_balancers::NAMESPACE;
use crate::observation::ProbeResult;
use crate::topology::ClusterIndex;

/// An answer that has not come by then will not come: CoreDNS itself gives up on an upstream after two seconds.
const DNS_DEADLINE: Duration = Duration::from_secs(15);

/// Asks one CoreDNS pod for the addresses of a name, over TCP and through the API server's port forwarding.
///
/// # Errors
/// When the query could not be put at all, or the connection broke.
pub(crate) async fn ask(world: &World, from: ClusterIndex, server: &str, name: &str) -> Result<ProbeResult, String> {
    let client = world.kubernetes(from).await.map_err(|failure| failure.to_string())?;
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let mut forwarder = pods.portforward(server, &[53]).await.map_err(|error| error.to_string())?;
    let mut stream = forwarder.take_stream(53).ok_or("the API forwarded no stream")?;
    let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
    let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, RecordType::A));
    let query = query.to_vec().map_err(|error| error.to_string())?;
    let exchange = async {
        let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&query).await?;
        stream.flush().await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(DNS_DEADLINE, exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Ok(ProbeResult::TimedOut),
    };
    drop(stream);
    forwarder.abort();
    let answer = Message::from_vec(&answer).map_err(|error| error.to_string())?;
    let mut addresses: Vec<Ipv4Addr> = answer
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    Ok(ProbeResult::Dns { code: code(answer.metadata.response_code).to_owned(), addresses })
}

/// The usual names of DNS response codes.
fn code(code: hickory_proto::op::ResponseCode) -> &'static str {
    use hickory_proto::op::ResponseCode as Code;
    match code {
        Code::NoError => "NOERROR",
        Code::NXDomain => "NXDOMAIN",
        Code::ServFail => "SERVFAIL",
        Code::Refused => "REFUSED",
        Code::FormErr => "FORMERR",
        Code::NotImp => "NOTIMP",
        _ => "OTHER",
    }
}
