//! With the real programs: `ci/real-programs.sh` sets what makes these tests run, and where they may not be passed over.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::kubernetes::api::{ApiServer, ApiServerConfig};
use crate::network::kernel::Kernel;
use crate::network::kernel::tests::kernel;
use crate::network::{Host, HostKind, HostSpec, Network as _};
use crate::workloads::testing::Rig;

/// Where a program of this machine is.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap();
    path.split(':').chain(["/usr/sbin"]).map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}

/// A network and the programs, where both are.
async fn with<const N: usize>(names: [&str; N]) -> Option<(Arc<Kernel>, [PathBuf; N])> {
    let required = std::env::var_os("ACROSSK8S_REAL_PROGRAMS").is_some();
    if !required {
        eprintln!("not tested: ACROSSK8S_REAL_PROGRAMS is not set (ci/real-programs.sh sets it)");
        return None;
    }
    let kernel = kernel().await.expect("the kernel's network");
    Some((kernel, names.map(|name| find(name).unwrap_or_else(|| panic!("no {name} on the PATH")))))
}

async fn host(kernel: &Kernel) -> Arc<dyn Host> {
    let (vpc, address) = ("vpc-1".to_owned(), [10, 1, 0, 53].into());
    let kind = HostKind::Pod { node: [10, 1, 0, 9].into(), source_nat: false, excluded: Vec::new() };
    kernel.attach(HostSpec { name: "pod".into(), vpc, address, kind }).await.unwrap()
}

async fn ready(rig: &Rig) {
    let waited =
        tokio::time::timeout(Duration::from_secs(30), rig.ready.clone().wait_for(|ready| *ready)).await.is_ok();
    assert!(waited, "not ready: {:#?}", rig.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_serves_its_welcome_page_to_curl_in_the_pod() {
    let Some((kernel, [nginx, curl])) = with(["nginx", "curl"]).await else { return };
    let rig = Rig::new(host(&kernel).await, &[]);
    let program = Nginx::new(Some(nginx), Some(curl));
    let running = rig.run(program.clone());
    ready(&rig).await;

    let command = ["curl", "-sS", "-A", "agent/1", "-w", "%{http_code}", "http://pod-1/"];
    let (code, output, errors) = rig.exec(program.clone(), &command).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{:#?}", rig.log());
    assert!(output.contains("Welcome to nginx!") && output.ends_with("200"), "{output}");
    let line = rig.logged("agent/1").await;
    assert!(line.starts_with("10.1.0.53 - - [") && line.contains("\"GET / HTTP/1.1\" 200 615"), "{line}");

    assert_eq!(rig.exec(program.clone(), &["hostname"]).await.1, "pod-1\n");
    let (code, _, errors) = rig.exec(program.clone(), &["not-there-on-any-machine"]).await;
    assert!(code == 127 && errors.contains("executable file not found in $PATH"), "{errors}");
    let (code, _, errors) = rig.exec(program, &["curl", "-sS", "http://10.1.0.53:81/"]).await;
    assert_eq!(code, 7, "{errors}");

    rig.container.stop.cancel();
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap(), 0, "{:#?}", rig.log());
    assert!(!*rig.ready.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn coredns_watches_its_corefile_and_the_api() {
    let Some((kernel, [coredns])) = with(["coredns"]).await else { return };
    let api = ApiServer::start(ApiServerConfig::default()).await.unwrap();
    let client = api.client();
    let services: kube::Api<k8s_openapi::api::core::v1::Service> = kube::Api::namespaced(client.clone(), "default");
    let service = json!({
        "metadata": { "name": "web" },
        "spec": { "clusterIP": "10.100.0.80", "ports": [{ "port": 80 }] },
    });
    services.create(&kube::api::PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();

    let corefile = |more: &str| format!(".:53 {{\n ready\n reload 2s 1s\n kubernetes cluster.local\n{more}}}\n");
    let host = host(&kernel).await;
    let mut rig = Rig::new(Arc::clone(&host), &[("/etc/coredns/Corefile", &corefile(""))]);
    rig.container.args = vec!["-conf".into(), "/etc/coredns/Corefile".into()];
    rig.container.env = [("KUBERNETES_SERVICE_HOST", "10.100.0.1"), ("KUBERNETES_SERVICE_PORT", "443")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    rig.container.api = Some(client);
    let program = CoreDns::new(coredns);
    let running = rig.run(program.clone());
    ready(&rig).await;
    let resolve = async |name: &str| {
        let conf = crate::workloads::ResolvConf { nameservers: vec![host.address()], ..Default::default() };
        crate::workloads::resolver::resolve(host.as_ref(), &conf, name).await
    };
    assert_eq!(resolve("web.default.svc.cluster.local").await, Ok(vec![[10, 100, 0, 80].into()]), "{:#?}", rig.log());

    rig.mount(&[("/etc/coredns/Corefile", &corefile(" hosts {\n  10.9.9.9 new.test\n }\n"))]);
    rig.logged("Reloading complete").await;
    assert_eq!(resolve("new.test").await, Ok(vec![[10, 9, 9, 9].into()]), "{:#?}", rig.log());

    let (code, output, _) = rig.exec(program.clone(), &["/coredns", "-version"]).await;
    assert!(code == 0 && output.starts_with("CoreDNS-"), "{output}");
    assert_eq!(rig.exec(program, &["sh"]).await.0, 127);
    rig.container.stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn coredns_says_in_the_log_why_it_ends() {
    let Some((kernel, [coredns])) = with(["coredns"]).await else { return };
    let mut rig = Rig::new(host(&kernel).await, &[("/etc/coredns/Corefile", ".:53 {\n nonsense\n}\n")]);
    rig.container.args = vec!["-conf".into(), "/etc/coredns/Corefile".into()];
    assert_eq!(rig.run(CoreDns::new(coredns)).await.unwrap(), 1);
    assert!(rig.logged("nonsense").await.contains("Unknown directive"), "{:#?}", rig.log());
}

#[tokio::test]
async fn without_namespaces_the_log_says_what_is_missing() {
    let rig = Rig::new(crate::workloads::testing::Net::default().host([10, 1, 0, 1]), &[]);
    assert_eq!(rig.run(CoreDns::new("/coredns".into())).await.unwrap(), NOT_STARTED);
    rig.logged("real programs need the kernel's network").await;
}
