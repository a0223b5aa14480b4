//! Exec, logs and port forwarding through `kube`, with a kubelet made for the test.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::AsyncReadExt as _;
use kube::api::{AttachParams, LogParams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::kubernetes::api::{Kubelet, KubeletError, LogOptions};
use crate::network::BoxStream;
use crate::workloads::ExecIo;

/// Runs `cat`, `exit N` and `flood N`; echoes on port 7; logs what it was asked for.
struct TestKubelet;

#[async_trait]
impl Kubelet for TestKubelet {
    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: Vec<String>,
        _tty: bool,
        mut io: ExecIo,
    ) -> Result<i32, KubeletError> {
        assert_eq!((namespace, pod, container), ("default", "p", Some("main")));
        let number = command.get(1).and_then(|number| number.parse().ok()).unwrap_or_default();
        match command[0].as_str() {
            "cat" => {
                while let Some(chunk) = io.stdin.recv().await {
                    io.stdout.send(chunk).await.unwrap();
                }
                io.stderr.send("end of input".into()).await.unwrap();
                Ok(0)
            }
            "flood" => {
                for _ in 0..number {
                    io.stdout.send(Bytes::from(vec![b'x'; 1024])).await.unwrap();
                }
                Ok(0)
            }
            "exit" => Ok(number),
            other => Err(KubeletError::Internal(format!("no {other}"))),
        }
    }

    async fn logs(
        &self,
        _namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Bytes>, KubeletError> {
        if options.previous {
            let (pod, container) = (pod.to_owned(), container.to_owned());
            return Err(KubeletError::NotRunning { pod, container, reason: "ContainerCreating".to_owned() });
        }
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let asked = (options.tail_lines, options.since, options.timestamps);
            let _ = sender.send(Bytes::from(format!("{asked:?}\n"))).await;
            if options.follow {
                sender.closed().await;
            }
        });
        Ok(receiver)
    }

    async fn port_forward(&self, _namespace: &str, _pod: &str, port: u16) -> Result<BoxStream, KubeletError> {
        if port != 7 {
            return Err(KubeletError::PortRefused { port, reason: "connection refused".to_owned() });
        }
        let (near, far) = tokio::io::duplex(64);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        Ok(Box::new(near))
    }
}

async fn with_pod() -> (ApiServer, Api<Pod>) {
    let server = server().await;
    server.set_kubelet("n1", Arc::new(TestKubelet));
    let api: Api<Pod> = Api::default_namespaced(server.client());
    create(&api, &pod("p")).await;
    (server, api)
}

#[tokio::test]
async fn exec_carries_all_streams() {
    let (_server, api) = with_pod().await;
    let params = AttachParams::default().stdin(true);
    let mut process = api.exec("p", ["cat"], &params).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
    let status = process.take_status().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let read = async { tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err)) };
    soon(read).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("hello", "end of input"));
    assert_eq!(soon(status).await.unwrap().status.as_deref(), Some("Success"));
    soon(process.join()).await.unwrap();
}

#[tokio::test]
async fn exec_says_how_the_command_ended() {
    let (_server, api) = with_pod().await;
    let mut process = api.exec("p", ["exit", "3"], &AttachParams::default()).await.unwrap();
    let status = soon(process.take_status().unwrap()).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.unwrap().causes.unwrap();
    assert_eq!((causes[0].reason.as_deref(), causes[0].message.as_deref()), (Some("ExitCode"), Some("3")));
    let mut process = api.exec("p", ["fly"], &AttachParams::default()).await.unwrap();
    let status = soon(process.take_status().unwrap()).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("InternalError"));
}

#[tokio::test]
async fn what_a_command_wrote_last_arrives() {
    let (_server, api) = with_pod().await;
    let mut process = api.exec("p", ["flood", "500"], &AttachParams::default()).await.unwrap();
    let mut stdout = process.stdout().unwrap();
    let mut out = Vec::new();
    soon(stdout.read_to_end(&mut out)).await.unwrap();
    assert_eq!(out.len(), 500 * 1024);
}

#[tokio::test]
async fn exec_is_refused_where_it_cannot_be() {
    let (server, api) = with_pod().await;
    let wrong = AttachParams::default().container("other");
    let pending = {
        let mut pending = pod("pending");
        pending.spec.as_mut().unwrap().node_name = None;
        create(&api, &pending).await;
        api.exec("pending", ["cat"], &AttachParams::default()).await
    };
    for refused in
        [api.exec("p", ["cat"], &wrong).await, api.exec("none", ["cat"], &AttachParams::default()).await, pending]
    {
        assert!(refused.is_err());
    }
    server.remove_kubelet("n1");
    assert!(api.exec("p", ["cat"], &AttachParams::default()).await.is_err());
}

#[tokio::test]
async fn logs_pass_the_options_on() {
    let (server, api) = with_pod().await;
    let params = LogParams { tail_lines: Some(3), since_seconds: Some(9), timestamps: true, ..LogParams::default() };
    assert_eq!(api.logs("p", &params).await.unwrap(), "(Some(3), Some(9s), true)\n");
    let (code, _, message) = failure(api.logs("p", &LogParams { previous: true, ..LogParams::default() }).await);
    assert_eq!(code, 400);
    insta::assert_snapshot!(message, @r#"container "main" in pod "p" is waiting to start: ContainerCreating"#);
    let mut follow = Box::pin(api.log_stream("p", &LogParams { follow: true, ..LogParams::default() }).await.unwrap());
    let mut line = [0; 12];
    soon(follow.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"(None, None,");
    // A log that is followed does not hold the server.
    soon(server.shutdown()).await;
}

#[tokio::test]
async fn ports_are_forwarded_or_refused() {
    let (_server, api) = with_pod().await;
    let mut forwarder = api.portforward("p", &[7, 8]).await.unwrap();
    let mut stream = forwarder.take_stream(7).unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ping");
    let why = soon(forwarder.take_error(8).unwrap()).await.unwrap();
    assert!(why.contains("connection refused"), "{why}");
}
