//! The API of a cluster as a pod sees it: HTTPS at the address of the Service `kubernetes`, with a token and the cluster's
//! certificate authority in files.
//!
//! The emulated API listens on the lab's own loopback interface, where no pod can reach it. A gateway listens in the pod's
//! namespace in its place, at an address that only this pod has, and passes each request on.
//!
//! Simplified: no packet of it leaves the pod, so no rule of AWS decides on it; the token is not one (the API takes any);
//! there is an authority for each container, not one for the cluster; HTTP/1.1 only; nothing is upgraded.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::network::kernel::process::Place;

/// Where the files of a pod's service account are.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Names that the API's certificate is for, beside its address.
const NAMES: [&str; 4] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// A gateway to the API. It ends when this is dropped, and what it carries with it.
pub(super) struct Gateway {
    _tasks: JoinSet<()>,
}

impl Gateway {
    /// Opens one, and says which files belong to it.
    pub(super) async fn open(
        place: &Place,
        at: SocketAddrV4,
        client: kube::Client,
        namespace: &str,
    ) -> io::Result<(Self, BTreeMap<PathBuf, Bytes>)> {
        let (acceptor, authority) = certify(at)?;
        let listener = place.listen_inside(at).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, client));
        let file = |name: &str, content: String| (PathBuf::from(SERVICE_ACCOUNT).join(name), Bytes::from(content));
        let files =
            [file("ca.crt", authority), file("token", "acrossk8s".to_owned()), file("namespace", namespace.to_owned())];
        Ok((Self { _tasks: tasks }, files.into()))
    }
}

/// A certificate for the address, and the authority that vouches for it, in PEM.
fn certify(at: SocketAddrV4) -> io::Result<(TlsAcceptor, String)> {
    let mut authority = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(authority, key).map_err(io::Error::other)?;
    let names: Vec<String> = NAMES.map(str::to_owned).into_iter().chain([at.ip().to_string()]).collect();
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &authority))
        .map_err(io::Error::other)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], private)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, client: kube::Client) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, acceptor.clone(), client.clone()))),
                // Out of descriptors, or a client that went at once: the next accept tells.
                Err(error) => tracing::debug!(%error, "a connection to the API could not be accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, client: kube::Client) {
    // A client that does not trust the certificate, or goes away, is no error here.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| forward(client.clone(), request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Passes a request on, and its answer back, which may go on for as long as a watch does.
async fn forward(client: kube::Client, request: Request<Incoming>) -> Result<Response<Body>, kube::Error> {
    let (mut parts, body) = request.into_parts();
    // These are about this connection.
    parts.headers.remove(header::HOST);
    parts.headers.remove(header::CONNECTION);
    let body = body.collect().await.map_err(kube::Error::HyperError)?.to_bytes();
    client.send(Request::from_parts(parts, Body::from(body))).await
}
